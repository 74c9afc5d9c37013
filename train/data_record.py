"""What a run was trained on: class names, videos and version of the code.

The run folder has it as `data/record.json`, beside the class names (`data/classes.txt`) and the
lists of videos (`data/train-DIGEST.txt`, `data/test-DIGEST.txt`). Each checkpoint has the record
too. A list is never overwritten, so that the lists of all data that a run has seen are kept.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from afn_jax.atomic import write_atomically
from afn_jax.data.source import Source, Video
from afn_jax.data.sources import source_spec
from train.class_names import class_file
from train.code_version import code_version
from train.config import TrainConfig

FOLDER = "data"
FILE = "record.json"

HEADER = "# label\tframes\tbytes\tname\n"  # of a list; older lists have label and name


class Listed(NamedTuple):
    """One video of a list.

    Attributes:
        name: its name in its source.
        label: its label; None if labels do not matter or are unknown.
        frames: its number of frames; None if unknown.
        size: size in bytes of its file, or of its first frame; None if unknown.
    """

    name: str
    label: int | None
    frames: int | None = None
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class VideoDigest:
    """The videos of one split.

    Attributes:
        count: number of videos.
        content: SHA-256 of the sorted names and labels; "" for generated videos, which follow from
            the settings.
        order: the same in the order of the source, which the order of the examples depends on.
        data: the same as `content` with numbers of frames and sizes of files, which tell videos
            with the same name apart; "" in records of older versions.
    """

    count: int
    content: str = ""
    order: str = ""
    data: str = ""


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """What a run was trained on.

    Attributes:
        class_names: by label.
        train: the training videos.
        test: the test videos.
        code: version of the code.
        changes: what changed at which step, one line each.
        lists: the videos by split, names relative to the root; empty if read from a file.
    """

    class_names: tuple[str, ...]
    train: VideoDigest
    test: VideoDigest
    code: str
    changes: tuple[str, ...] = ()
    lists: dict[str, list[Listed]] = dataclasses.field(
        default_factory=dict, compare=False, repr=False
    )

    def to_json(self) -> dict[str, Any]:
        """Returns the record without the lists, for `from_json`."""
        values = dataclasses.asdict(dataclasses.replace(self, lists={}))
        return {name: value for name, value in values.items() if name != "lists"}

    def save(self, run_dir: Path) -> None:
        """Writes the record, the class names and the lists into a run folder."""
        folder = Path(run_dir) / FOLDER
        folder.mkdir(exist_ok=True)
        for split, videos in self.lists.items():
            path = _list_file(run_dir, split, getattr(self, split))
            if not path.exists():
                write_atomically(path, _text(videos))
        # `data.classes` takes a blank for a line break, as it compares names apart from spelling.
        names = "".join(re.sub(r"[\r\n]+", " ", name) + "\n" for name in self.class_names)
        _write_if_new(class_file(run_dir), names.encode("utf-8", "surrogateescape"))
        _write_if_new(folder / FILE, (json.dumps(self.to_json(), indent=1) + "\n").encode())


def from_json(values: Any) -> DataRecord | None:
    """Returns the record that `to_json` wrote; None if the values are not one."""
    try:
        return DataRecord(
            class_names=tuple(map(str, values["class_names"])),
            train=_digest(values["train"]),
            test=_digest(values["test"]),
            code=str(values["code"]),
            changes=tuple(map(str, values["changes"])),
        )
    except (AttributeError, KeyError, TypeError):
        return None


def _digest(values: dict[str, Any]) -> VideoDigest:
    digest = VideoDigest(**values)
    texts = (digest.content, digest.order, digest.data)
    if type(digest.count) is not int or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"no digest of videos: {values}")
    return digest


def read_record(run_dir: Path) -> DataRecord | None:
    """Reads the record in a run folder; None if there is none, or it is damaged."""
    try:
        return from_json(json.loads((Path(run_dir) / FOLDER / FILE).read_text()))
    except (OSError, ValueError, RecursionError):
        return None


def describe_data(config: TrainConfig, source: Source, test_source: Source) -> DataRecord:
    """Returns the record of the data that a run is about to be trained on."""
    spec = source_spec(config.data.source)
    # Where lengths are unknown before reading, labels are too.
    labeled = config.objective.action and spec.knows_lengths
    lists = {}
    if not spec.generated:
        lists = {
            name: list_videos(videos, labeled=labeled, measured=spec.knows_lengths)
            for name, videos in (("train", source), ("test", test_source))
        }
    return DataRecord(
        class_names=tuple(source.class_names),
        train=digest_of(lists["train"]) if lists else VideoDigest(len(source)),
        test=digest_of(lists["test"]) if lists else VideoDigest(len(test_source)),
        code=code_version(),
        lists=lists,
    )


def list_videos(source: Source, *, labeled: bool = True, measured: bool = True) -> list[Listed]:
    """Lists the names of the videos of a source.

    Args:
        source: the videos.
        labeled: whether to list their labels.
        measured: whether to list their numbers of frames and the sizes of their files.
    """
    sizes: dict[str, int | None] = {}  # by path, which segments of a video share
    return [
        Listed(
            video.name.replace("\n", "\\n"),
            int(video.label) if labeled else None,
            int(video.num_frames) if measured else None,
            _size(video, sizes) if measured else None,
        )
        for video in (source[i] for i in range(len(source)))
    ]


def _size(video: Video, known: dict[str, int | None]) -> int | None:
    path = getattr(video, "sample_path", None) or getattr(video, "path", None)
    if path is not None and path not in known:
        try:
            known[path] = os.stat(path).st_size
        except OSError:  # it is noticed when the video is read
            known[path] = None
    return known.get(path)


def read_list(run_dir: Path, split: str, videos: VideoDigest) -> list[Listed] | None:
    """Reads a list in a run folder; None if there is none, or it is not the one of the digest."""
    listed = _read(_list_file(run_dir, split, videos)) if videos.order else None
    return listed if listed is not None and digest_of(listed) == videos else None


def lists_trained_on(run_dir: Path) -> list[list[str]]:
    """Returns the names in each list of training videos that a run has ever had."""
    lists = (_read(path) for path in sorted((Path(run_dir) / FOLDER).glob("train-*.txt")))
    return [[video.name for video in listed] for listed in lists if listed]


def _list_file(run_dir: Path, split: str, videos: VideoDigest) -> Path:
    data = f"-{videos.data[:12]}" if videos.data else ""
    return Path(run_dir) / FOLDER / f"{split}-{videos.order[:12]}{data}.txt"


def digest_of(videos: Sequence[Listed]) -> VideoDigest:
    """Computes the digests of a list."""
    named = [Listed(video.name, video.label) for video in videos]
    content, order, data = (
        hashlib.sha256(_text(one)).hexdigest()
        for one in (sorted(named, key=_by_name), named, sorted(videos, key=_by_name))
    )
    return VideoDigest(len(videos), content, order, data if data != content else "")


def _by_name(video: Listed) -> tuple[str, int]:
    return video.name, video.label or 0


def _text(videos: Sequence[Listed]) -> bytes:
    measured = any((video.frames, video.size) != (None, None) for video in videos)
    lines = [HEADER] if measured else []
    for video in videos:
        values = (video.label, video.frames, video.size)[: 3 if measured else 1]
        columns = ["-" if value is None else str(value) for value in values]
        lines.append("\t".join([*columns, video.name]) + "\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _read(path: Path) -> list[Listed] | None:
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        numbers = 3 if text.startswith(HEADER) else 1
        lines = text.removeprefix(HEADER).split("\n")[:-1]
        rows = [line.split("\t", numbers) for line in lines]
        return [
            Listed(name, *(None if value == "-" else int(value) for value in values))
            for *values, name in rows
        ]
    except (OSError, TypeError, ValueError, RecursionError):
        return None


def _write_if_new(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
