"""`dataset.json`, the description of a folder of shards, written before the first shard.

It does not depend on when, where or by how many processes the shards are made. All runs on one
folder therefore agree on the file, and a run with different settings is rejected.
"""

import dataclasses
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from afn_jax.atomic import naming_path
from afn_jax.data.shards.flow_codec import FlowFormat
from afn_jax.data.shards.frame_codec import FrameFormat
from afn_jax.data.shards.record import shard_name
from afn_jax.data.source import Skipped, Source, Unused, unused_of
from afn_jax.near_names import printable

FILE = "dataset.json"
VERSION = 1  # of this file and of the shards; readers reject any other
_FRAMES_PER_SHARD = 10_000  # guessed: 50 to 300 MB of JPEG images, a minute of one core
# Settings that may differ between runs: the digest shows whether the videos are the same.
_MAY_MOVE = {"source.root", "source.annotations", "source.index_cache"}
_MOST_SHARDS = 99_999  # their file names have five digits
_MIN_SHARDS = 16  # guessed: work for 16 cores, if there are as many videos


@dataclasses.dataclass(frozen=True)
class StoredFlow:
    """Description of the flow that is stored with the frames.

    Attributes:
        origin: argument `kind` of `prepare.pseudo_labels.create_flow_origin`.
        stride: distance in frames between the two frames of a pair.
        form: format of the stored flow.
    """

    origin: str
    stride: int = 1
    form: FlowFormat = FlowFormat()


@dataclasses.dataclass(frozen=True)
class Split:
    """Description of one split.

    Attributes:
        num_shards: number of files. Video i of the source is in shard i modulo this number.
        num_videos: number of videos in the source; the shards have those that can be decoded.
        digest: hash of the names, labels and lengths of these videos, in order.
        skipped: files that the source already left out.
        unused: what else lies in the folder of the source.
    """

    num_shards: int
    num_videos: int
    digest: str
    skipped: tuple[Skipped, ...] = ()
    unused: tuple[Unused, ...] = ()


@dataclasses.dataclass(frozen=True)
class PreparedDataset:
    """Description of a folder of shards.

    Attributes:
        class_names: names of the classes, by label.
        frames: format of the stored frames.
        flow: the stored flow, or None.
        splits: the splits by name.
        source: settings of the source of the videos.
        version: version of the format.
    """

    class_names: tuple[str, ...]
    frames: FrameFormat
    flow: StoredFlow | None
    splits: dict[str, Split]
    source: dict[str, Any]
    version: int = VERSION


def describe_split(source: Source, num_shards: int | None) -> Split:
    """Describes a split by the list of its videos, without decoding them.

    Args:
        source: the videos of the split.
        num_shards: number of shards; None: chosen by the number of frames.

    Raises:
        ValueError: `num_shards` is not from 1 to the number of videos.
    """
    digest, frames = hashlib.sha256(), 0
    for i in range(len(source)):
        video = source[i]
        digest.update(f"{video.name}\n{video.label}\n{video.num_frames}\n".encode(errors="replace"))
        frames += video.num_frames
    if num_shards is None:
        num_shards = min(len(source), max(_MIN_SHARDS, -(-frames // _FRAMES_PER_SHARD)))
    if not 1 <= num_shards <= len(source):
        raise ValueError(
            f"num_shards: got {num_shards}; allowed: 1 to {len(source)}, the number of videos"
        )
    return Split(
        num_shards,
        len(source),
        digest.hexdigest()[:16],
        tuple(source.skipped),
        unused_of(source),
    )


def claim_folder(folder: Path, dataset: PreparedDataset) -> None:
    """Creates the folder and its `dataset.json`, or checks that the existing one is equal.

    Raises:
        ValueError: the folder has other contents, or a dataset with different settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists():
        others = sorted({p.name for p in folder.iterdir() if p.name[0] != "."} - {FILE})
        if others:
            raise ValueError(
                f"output: the folder {str(folder)!r} is not empty (it contains {others[0]!r}) and "
                f"has no {FILE}; give a new folder"
            )
        temporary = folder / f".{FILE}.{uuid.uuid4().hex}"
        try:
            with naming_path(path):
                temporary.write_text(json.dumps(_to_json(dataset), indent=1) + "\n")
            _publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    _check_same(folder, _to_json(read_dataset(folder)), _to_json(dataset))


def _publish(temporary: Path, path: Path) -> None:
    """Gives a file its final name, unless another run was first."""
    try:
        os.link(temporary, path)  # unlike renaming, this never replaces a file
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(temporary, path)


def read_dataset(folder: str | Path) -> PreparedDataset:
    """Reads the `dataset.json` of a folder.

    Raises:
        ValueError: it is missing or damaged, or has another version.
    """
    path = Path(folder) / FILE
    try:
        data = json.loads(path.read_text())
        version = data["version"]
        dataset = _from_json(data) if version == VERSION else None
    except FileNotFoundError:
        raise ValueError(
            f"{str(folder)!r} has no {FILE}; give a folder that python -m afn_jax.data.prepare made"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error!r}; prepare the videos again") from error
    if dataset is None:
        raise ValueError(
            f"{path}: version {version} of the format, but this program reads version {VERSION}; "
            "prepare the videos again"
        )
    return dataset


def missing_shards(folder: Path, name: str, split: Split) -> list[str]:
    """Returns the file names of the shards of a split that do not exist yet."""
    names = [shard_name(name, number, split.num_shards) for number in range(split.num_shards)]
    there = {path.name for path in folder.iterdir()}
    return [name for name in names if name not in there]


def _to_json(dataset: PreparedDataset) -> dict[str, Any]:
    # To JSON and back, so that tuples compare equal to the lists read from a file.
    return json.loads(json.dumps(dataclasses.asdict(dataset)))


def _from_json(data: dict[str, Any]) -> PreparedDataset:
    flow = data["flow"]
    if flow is not None:
        flow = StoredFlow(**flow | {"form": FlowFormat(**flow["form"])})
        _check_type("flow.stride", flow.stride, int)
    splits = {
        name: Split(
            **split
            | {
                "skipped": tuple(Skipped(**skip) for skip in split["skipped"]),
                "unused": tuple(Unused(**item) for item in split.get("unused", ())),
            }
        )
        for name, split in data["splits"].items()
    }
    frames = FrameFormat(**data["frames"])
    for name, kind in (("codec", str), ("quality", int), ("group", int)):
        _check_type(f"frames.{name}", getattr(frames, name), kind)
    for name, split in splits.items():
        _check_type(f"splits.{name}.num_shards", split.num_shards, int)
        if not 1 <= split.num_shards <= _MOST_SHARDS:
            raise ValueError(f"splits.{name}.num_shards is {split.num_shards}")
    for name in ("class_names", "source"):
        _check_type(name, data[name], {"class_names": list, "source": dict}[name])
    for name in data["class_names"]:
        _check_type("a class name", name, str)
    return PreparedDataset(
        class_names=tuple(data["class_names"]),
        frames=frames,
        flow=flow,
        splits=splits,
        source=data["source"],
    )


def _check_type(name: str, value: Any, kind: type) -> None:
    if type(value) is not kind:
        raise TypeError(f"{name} is {value!r}, not {kind.__name__}")


def _check_same(folder: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    _check_classes(folder, there["class_names"], here["class_names"])
    for name in set(there["splits"]) & set(here["splits"]):
        if there["splits"][name]["digest"] != here["splits"][name]["digest"]:
            counts = [data["splits"][name]["num_videos"] for data in (there, here)]
            raise ValueError(
                f"output: {str(folder)!r} was started with a different list of {name} videos "
                f"({counts[0]}, now {counts[1]}): a file was added or removed, or can no longer be "
                "read; restore it, or give a new folder"
            )
    found, asked = _flat(there), _flat(here)
    for key in sorted(found.keys() | asked.keys()):
        if key not in _MAY_MOVE and not key.endswith((".skipped", ".unused")):
            if found.get(key) != asked.get(key):
                raise ValueError(
                    f"output: {str(folder)!r} was started with {key} = {found.get(key)}, but this "
                    f"command has {asked.get(key)}; use the same, or give a new folder"
                )


def _check_classes(folder: Path, there: list[str], here: list[str]) -> None:
    sides = [("before", sorted({*there} - {*here})), ("now", sorted({*here} - {*there}))]
    if any(names for _, names in sides):
        parts = [
            f"only {when}: {', '.join(map(printable, names[:5]))}"
            + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            for when, names in sides
            if names
        ]
        raise ValueError(
            f"output: {str(folder)!r} was started with other classes ({'; '.join(parts)}); rename "
            "or restore the classes, or give a new folder"
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else key)
    return flat
