"""Checks that the processes of a run have the same settings, run folder and data."""

import dataclasses
import hashlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from afn_jax.near_names import printable
from train.config import flatten
from train.data_record import DataRecord, Listed, VideoDigest, digest_of
from train.hosts.connect import this_process
from train.hosts.together import gather, leads, wait_for_all
from train.parallel import devices_by_process

# Settings that each host may have its own value of: where things are and how they are read.
OWN = {
    "run_dir",
    "data.root",
    "data.annotations",
    "data.num_threads",
    "data.num_workers",
    "data.index_cache",
    "data.prefetch",
    "compilation_cache",
    *("data_root", "root", "annotations"),  # of evaluations
}
_MOST_NAMED = 3
_PATIENCE_S = 5.0  # guessed; a network file system shows new files late


def check_same_settings(config: Any) -> None:
    """Raises ValueError in all processes if one has other settings or devices than process 0.

    Args:
        config: of training or of an evaluation.
    """
    devices_by_process()  # an exchange needs equally many
    own = {name: repr(value) for name, value in flatten(config).items() if name not in OWN}
    (first, settings), *others = gather([this_process(), own])
    for name, other in others:
        differ = [field for field in settings if settings[field] != other.get(field)]
        if differ:
            raise ValueError(
                f"{name} was started with other settings than {first}: "
                + "; ".join(f"{f}: {other.get(f)}, not {settings[f]}" for f in differ)
                + ". Start all processes with the same command."
            )


def check_shared_folder(run_dir: Path) -> None:
    """Raises ValueError in all processes if one does not see what process 0 writes.

    Args:
        run_dir: the run folder, which exists in process 0.
    """
    if jax.process_count() == 1:
        return
    token = run_dir / gather(f"shared-{secrets.token_hex(8)}")[0]
    if leads():
        token.touch()
    wait_for_all()
    deadline = time.monotonic() + _PATIENCE_S
    while not (seen := token.exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    (first, _, place), *others = gather([this_process(), seen, str(run_dir.absolute())])
    if leads():
        token.unlink()
    for name, seen, other_place in others:
        if not seen:
            raise ValueError(
                f"run_dir: {name} does not see in {other_place} what {first} writes to {place}. "
                "All processes need the same folder: give --run-dir on a shared file system."
            )


def check_same_data(record: DataRecord) -> None:
    """Raises ValueError in all processes if one has other videos than process 0."""
    videos = {split: dataclasses.asdict(getattr(record, split)) for split in ("train", "test")}
    (first, classes, right), *others = gather([this_process(), record.class_names, videos])
    for process, (name, other_classes, other) in enumerate(others, 1):
        if difference := _difference(classes, right, other_classes, other):
            lists = gather(record.lists)
            raise ValueError(
                f"data: {name} has {difference} than {first}{_examples(lists[0], lists[process])}. "
                "Every host needs the same dataset, with the same damaged videos, if any: compare "
                "the folders, e.g. with python -m afn_jax.data.check, and copy what differs."
            )


def check_same_videos(videos: Sequence[Listed], class_names: Sequence[str] = ()) -> None:
    """Raises ValueError in all processes if one is about to evaluate other videos than process 0.

    Args:
        videos: in the order of the source.
        class_names: by label.
    """
    lists = {"test": list(videos)}
    check_same_data(
        DataRecord(tuple(class_names), VideoDigest(0), digest_of(videos), code="", lists=lists)
    )


def check_same_network(run_dir: Path, variables: Any, step: int) -> None:
    """Raises ValueError in all processes if one has loaded another network than process 0.

    Args:
        run_dir: the folder of the run.
        variables: the arrays of the network.
        step: of the checkpoint.
    """
    if jax.process_count() == 1:
        return
    digest = hashlib.sha256()
    for array in jax.tree.leaves(jax.device_get(variables)):
        digest.update(np.ascontiguousarray(array))
    (first, right, content), *others = gather([this_process(), step, digest.hexdigest()])
    for name, step, other in others:
        if other != content:
            what = "other parameters" if step == right else f"step {step}, not {right},"
            raise ValueError(
                f"run: {name} has read {what} of {run_dir}, unlike {first}. All processes need "
                "the same folder, on a shared file system, in which no training is writing."
            )


def _difference(
    classes: Sequence[str],
    right: dict[str, Any],
    other_classes: Sequence[str],
    other: dict[str, Any],
) -> str:
    if classes != other_classes:
        return f"other classes ({len(other_classes)}, not {len(classes)})"
    for split, what in (("train", "training"), ("test", "test")):
        a, b = right[split], other[split]
        if a["count"] != b["count"]:
            return f"other {what} videos ({b['count']}, not {a['count']})"
        if a["content"] != b["content"]:
            return f"other names or labels of {what} videos"
        if a["order"] != b["order"]:
            return f"another order of {what} videos"
        if a["data"] != b["data"]:
            return f"other lengths or file sizes of {what} videos"
    return ""


def _examples(right: dict[str, list[Listed]], other: dict[str, list[Listed]]) -> str:
    """Names videos that only one of two processes has, or has otherwise; "" if there are none."""
    differ = {video.name for split in right for video in {*right[split]} ^ {*other.get(split, ())}}
    if not differ:
        return ""
    more = f" and {len(differ) - _MOST_NAMED} more" if len(differ) > _MOST_NAMED else ""
    return f" ({', '.join(map(printable, sorted(differ)[:_MOST_NAMED]))}{more})"
