"""Compares the data of a run with what its run folder remembers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from afn_jax.data.source import Source
from afn_jax.data.sources import source_spec
from train.checkpoint import load_record, newest_step
from train.class_names import check_classes_of_run, spelling_difference
from train.config import TrainConfig
from train.data_record import DataRecord, describe_data
from train.saved_classes import check_num_classes
from train.video_changes import changes_of_videos, leak_note


def remember_data(
    config: TrainConfig, source: Source, test_source: Source, console: Console
) -> DataRecord:
    """Returns what the run is trained on from now on; reports changes if it resumes.

    Nothing is written: the record is saved with each checkpoint.

    Raises:
        ValueError: the classes are not those that the run was trained on.
    """
    run_dir, now = Path(config.run_dir), describe_data(config, source, test_source)
    newest = newest_step(run_dir)
    if newest is None:
        return now
    step, former = load_record(run_dir)
    step = newest if step is None else step
    if former is None:
        if config.objective.action:
            otherwise = "Use the data that it was trained on, or choose another --run-dir."
            check_num_classes(run_dir, now.class_names, otherwise)
        if config.objective.action and not source_spec(config.data.source).generated:
            warn(console, unrecorded(run_dir))
        return replace(now, changes=(f"step {newest}: recorded from here on",))
    if config.objective.action:
        check_classes_of_run(
            run_dir,
            former.class_names,
            now.class_names,
            option=option_for_classes(config, "--data.classes"),
            otherwise="choose another --run-dir",
        )
        note = spelling_note(run_dir, former.class_names, now.class_names)
        if note:
            warn(console, note)
    digests = {"train": now.train, "test": now.test}
    parts = changes_of_videos(former, digests, now.lists, run_dir)
    changes = list(former.changes)
    if former.code != now.code:
        changes.append(f"step {step}: code is now {now.code}")
    if parts:
        if former.train.order != now.train.order:
            parts.append("the order of the examples differs from here on")
        changes.append(f"step {step}: {'; '.join(parts)}")
        warn(console, f"the data changed since step {step}: {'; '.join(parts)}")
        note = leak_note(run_dir, now.lists.get("test", ()))
        if note:
            warn(console, note)
    return replace(now, changes=tuple(changes))


def unrecorded(run_dir: str | Path) -> str:
    """Says that the classes of a run of an older version cannot be compared."""
    return (
        f"{run_dir} was made before class names were recorded, so they cannot be compared with "
        "those of the data"
    )


def spelling_note(run_dir: str | Path, run: Sequence[str], data: Sequence[str]) -> str:
    """Says that class names are spelled differently; "" if they are not."""
    pair = spelling_difference(run, data)
    if pair is None:
        return ""
    return f"{pair[0]!r} of {run_dir} is {pair[1]!r} in the data; they count as the same class"


def option_for_classes(config: TrainConfig, option: str) -> str:
    """Returns `option` if it can choose the classes of the dataset, otherwise ""."""
    return option if source_spec(config.data.source).read_list is not None else ""


def warn(console: Console, text: str) -> None:
    """Prints one yellow line."""
    console.print(f"warning: {text}", style="yellow", soft_wrap=True, highlight=False, markup=False)
