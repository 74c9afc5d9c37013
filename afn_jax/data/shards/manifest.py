"""`dataset.json`, which says what a folder of shards holds; made before the first shard.

Nothing in it depends on when, where or by how many processes the shards are made, so all runs that
work on one folder find the same file, and a run with other settings is refused.
"""

import dataclasses
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from afn_jax.data.shards.flow_codec import FlowFormat
from afn_jax.data.shards.frame_codec import FrameFormat
from afn_jax.data.shards.record import shard_name
from afn_jax.data.source import Skipped, Source

FILE = "dataset.json"
VERSION = 1  # of this file and of the shards; a reader refuses any other
_FRAMES_A_SHARD = 10_000  # guessed: 50 to 300 MB of JPEG pictures, a minute's work for a core
# Settings that may change on the way: the digest says whether the videos are the same.
_MAY_MOVE = {"source.root", "source.annotations", "source.index_cache"}
_LEAST_SHARDS = 16  # guessed: work for so many cores, where there are so many videos


@dataclasses.dataclass(frozen=True)
class StoredFlow:
    """The flow that is stored with the frames.

    Attributes:
        origin: as `prepare.pseudo_labels.create_flow_origin` takes it.
        stride: frames from the first of a pair to the second.
        form: how it is compressed.
    """

    origin: str
    stride: int = 1
    form: FlowFormat = FlowFormat()


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of the source.

    Attributes:
        num_shards: files that hold it. Video i of the source is in shard i modulo this.
        num_videos: of the source; the shards have those of them that can be decoded.
        digest: of the names, labels and lengths of these videos, in order.
        skipped: what the source left out from the beginning.
    """

    num_shards: int
    num_videos: int
    digest: str
    skipped: tuple[Skipped, ...] = ()


@dataclasses.dataclass(frozen=True)
class PreparedDataset:
    """What is in a folder of shards.

    Attributes:
        class_names: by label.
        frames: how frames are stored.
        flow: the flow that is stored with them, or None.
        splits: by name.
        source: the settings of the source that the videos are from.
        version: of the format.
    """

    class_names: tuple[str, ...]
    frames: FrameFormat
    flow: StoredFlow | None
    splits: dict[str, Split]
    source: dict[str, Any]
    version: int = VERSION


def describe_split(source: Source, num_shards: int | None) -> Split:
    """The list of a source's videos, without their contents.

    Args:
        source: of the split.
        num_shards: None: chosen by the number of frames.

    Raises:
        ValueError: `num_shards` is not from 1 to the number of videos.
    """
    digest, frames = hashlib.sha256(), 0
    for i in range(len(source)):
        video = source[i]
        digest.update(f"{video.name}\n{video.label}\n{video.num_frames}\n".encode(errors="replace"))
        frames += video.num_frames
    if num_shards is None:
        num_shards = min(len(source), max(_LEAST_SHARDS, -(-frames // _FRAMES_A_SHARD)))
    if not 1 <= num_shards <= len(source):
        raise ValueError(
            f"num_shards: got {num_shards}; allowed are 1 to {len(source)}, the number of videos"
        )
    return Split(num_shards, len(source), digest.hexdigest()[:16], tuple(source.skipped))


def claim_folder(folder: Path, dataset: PreparedDataset) -> None:
    """Makes the folder and its `dataset.json`, or checks that the one that is there is the same.

    Raises:
        ValueError: the folder holds something else, or a dataset with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists():
        others = sorted({p.name for p in folder.iterdir() if p.name[0] != "."} - {FILE})
        if others:
            raise ValueError(
                f"output: the folder {str(folder)!r} is not empty ({others[0]!r} is there) and "
                f"holds no {FILE}; give a new folder"
            )
        temporary = folder / f".{FILE}.{uuid.uuid4().hex}"
        temporary.write_text(json.dumps(_to_json(dataset), indent=1) + "\n")
        try:
            os.link(temporary, path)  # unlike a rename, this never replaces another run's file
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(temporary, path)
        temporary.unlink(missing_ok=True)
    _check_same(folder, _to_json(read_dataset(folder)), _to_json(dataset))


def read_dataset(folder: str | Path) -> PreparedDataset:
    """Reads the `dataset.json` of a folder.

    Raises:
        ValueError: there is none, it is of another version, or damaged.
    """
    path = Path(folder) / FILE
    try:
        data = json.loads(path.read_text())
        if data["version"] != VERSION:
            raise ValueError(
                f"{path}: version {data['version']} of the format; this program reads version "
                f"{VERSION}. Prepare the videos again"
            )
        return _from_json(data)
    except FileNotFoundError:
        raise ValueError(
            f"{str(folder)!r} holds no {FILE}; give a folder that python -m afn_jax.data.prepare "
            "made"
        ) from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}; prepare the videos again") from error


def missing_shards(folder: Path, name: str, split: Split) -> list[str]:
    """The file names of shards of a split that are not there yet."""
    names = [shard_name(name, number, split.num_shards) for number in range(split.num_shards)]
    there = {path.name for path in folder.iterdir()}
    return [name for name in names if name not in there]


def _to_json(dataset: PreparedDataset) -> dict[str, Any]:
    # Through JSON and back, so that tuples compare equal to the lists that a file has.
    return json.loads(json.dumps(dataclasses.asdict(dataset)))


def _from_json(data: dict[str, Any]) -> PreparedDataset:
    flow = data["flow"]
    if flow is not None:
        flow = StoredFlow(**flow | {"form": FlowFormat(**flow["form"])})
    splits = {
        name: Split(**split | {"skipped": tuple(Skipped(**skip) for skip in split["skipped"])})
        for name, split in data["splits"].items()
    }
    return PreparedDataset(
        class_names=tuple(data["class_names"]),
        frames=FrameFormat(**data["frames"]),
        flow=flow,
        splits=splits,
        source=data["source"],
    )


def _check_same(folder: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    for name in set(there["splits"]) & set(here["splits"]):
        if there["splits"][name]["digest"] != here["splits"][name]["digest"]:
            counts = [data["splits"][name]["num_videos"] for data in (there, here)]
            raise ValueError(
                f"output: {str(folder)!r} was begun with another list of {name} videos "
                f"({counts[0]}, now {counts[1]}): a file was added, removed or can no longer be "
                "read. Restore it, or give a new folder"
            )
    found, asked = _flat(there), _flat(here)
    for key in sorted(found.keys() | asked.keys()):
        if key not in _MAY_MOVE and not key.endswith(".skipped"):
            if found.get(key) != asked.get(key):
                raise ValueError(
                    f"output: {str(folder)!r} was begun with {key} = {found.get(key)}, this "
                    f"command says {asked.get(key)}. Use the same, or give a new folder"
                )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else key)
    return flat
