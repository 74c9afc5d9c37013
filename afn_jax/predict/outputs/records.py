"""`NAME.json`: all that a program needs about a video, and what tells whether it is done."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from afn_jax.atomic import write_atomically
from afn_jax.data.sources.frame_names import NUMBERED_PICTURE
from afn_jax.data.sources.identity import file_id
from afn_jax.export.network import Network
from afn_jax.predict.film.mark import is_marked
from afn_jax.predict.result import VideoResult
from afn_jax.predict.segments import Segment
from afn_jax.predict.settings import Settings

FORMAT = "afn_jax video 1"
_HASHED = 2**20  # bytes; guessed: tables that a person may edit are smaller
_KEYS = {"video", "duration", "fps", "num_frames", "strip", "top", "segments", "files", "notes"}


def network_identity(network: Network) -> dict[str, Any]:
    """Returns what tells networks apart: of a file its SHA-256, of a run folder its newest step."""
    card = network.card
    identity = {"name": network.name, "recipe": card.recipe, "step": card.step}
    if os.path.isfile(network.name):
        digest = hashlib.sha256()
        with open(network.name, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return identity | {"sha256": digest.hexdigest()}
    text = json.dumps([os.path.abspath(network.name), card.to_json()], sort_keys=True)
    return identity | {"sha256": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()}


def file_state(path: str) -> list[int]:
    """Returns size and time of change of a video file, or number and newest time of pictures."""
    if os.path.isdir(path):  # its own time changes if outputs are written into it
        with os.scandir(path) as items:
            times = [
                item.stat().st_mtime_ns
                for item in items
                if NUMBERED_PICTURE.fullmatch(item.name) and item.is_file()
            ]
        return [len(times), max(times, default=0)]
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def write_record(
    folder: Path,
    result: VideoResult,
    network: Network,
    identity: dict[str, Any],
    settings: Settings,
    video: str,
    state: list[int],
) -> None:
    """Writes `NAME.json`, atomically; after it the video counts as done."""
    names = network.card.class_names
    record = {
        "format": FORMAT,
        "video": result.source,
        "real_path": os.path.realpath(video),
        "file_id": 0 if os.path.isdir(video) else file_id(os.stat(video)),
        "file_state": state,
        "name": result.name,
        "duration": result.duration,
        "fps": result.fps,
        "num_frames": result.num_frames,
        "network": identity,
        "card": network.card.to_json(),
        "settings": settings.to_json(),
        "top": [{"label": k, "class": names[k], "probability": p} for k, p in result.top],
        "segments": [
            {"label": s.label, "class": names[s.label]}
            | {"start": s.start, "end": s.end, "score": s.score}
            for s in result.segments
        ],
        "strip": {
            "labels": np.asarray(result.strip).tolist(),
            "probabilities": np.round(result.strip_score, 4).tolist(),
        },
        "files": result.files,
        "written": {file: fingerprint(folder / file) for file in result.files.values()},
        "thumbnails": len(result.thumbnails),
        "notes": list(result.notes),
    }
    record["content"] = _content(json.loads(json.dumps(record)))  # as it will be read
    write_atomically(folder / f"{result.name}.json", json.dumps(record, indent=1) + "\n")


def _content(record: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a record, by which a later change is noticed."""
    items = {key: value for key, value in record.items() if key != "content"}
    return hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest()


def record_files(folder: Path, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the files that a record lists, itself first, each with its fingerprint.

    None instead of it if the file is not known to be as it was written.
    """
    own, written = f"{name}.json", record.get("written")
    found = written if isinstance(written, dict) else {}
    files = {file: found.get(file) for file in plain_names(name, record["files"].values())}
    intact = record.get("content") == _content(record)
    return {own: fingerprint(folder / own) if intact else None} | files


def plain_names(name: str, files: Iterable[Any]) -> tuple[str, ...]:
    """Returns the files that a video of this name can have: a record may hold anything."""
    own = (file for file in files if isinstance(file, str) and file.startswith(f"{name}."))
    return tuple(dict.fromkeys(file for file in own if os.path.basename(file) == file))


def fingerprint(path: Path) -> list[int | str]:
    """Returns size, time of change and SHA-256 of a file; without the latter if it is large.

    Of a folder, the SHA-256 is that of the names, sizes and times of its files.
    """
    found = path.lstat()
    if path.is_symlink():
        return []  # never an output
    if path.is_dir():
        with os.scandir(path) as items:
            files = [(item.name, item.is_file(), item.stat()) for item in items]
        listing = sorted((name, plain, s.st_size, s.st_mtime_ns) for name, plain, s in files)
        return [len(files), 0, hashlib.sha256(repr(listing).encode()).hexdigest()]
    if found.st_size > _HASHED:
        return [found.st_size, found.st_mtime_ns, ""]
    return [found.st_size, found.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()]


def is_unchanged(path: Path, before: Any) -> bool:
    """Whether a file is there and as its `fingerprint` tells.

    A copy of a small file may have another time.
    """
    try:
        if not isinstance(before, list) or len(before) != 3:
            return False
        if not path.is_dir() and path.lstat().st_size != before[0]:
            return False
        now = fingerprint(path)
        return now == before or (now[::2] == before[::2] and before[2] != "")
    except OSError:
        return False


def is_there(folder: Path, file: str) -> bool:
    """Whether an output exists. An MP4 file without this program's mark is another video."""
    path = folder / file
    return is_marked(path) if path.suffix == ".mp4" else path.exists()


def is_record(path: Path) -> bool:
    """Whether a file begins as one of `write_record`; foreign files may be huge."""
    try:
        with open(path, "rb") as file:
            return FORMAT.encode() in file.read(64)
    except OSError:
        return False


def read_record(path: Path) -> dict[str, Any] | None:
    """Reads a `NAME.json`; None if there is none, or another program wrote it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return None
    return record if record.keys() >= _KEYS and isinstance(record["files"], dict) else None


def same_outputs(
    record: Mapping[str, Any], identity: Mapping[str, Any], settings: Settings
) -> bool:
    """Whether a record is of a network with these settings."""
    network = record.get("network")
    return (
        isinstance(network, dict)
        and network.get("sha256") == identity["sha256"]
        and record.get("settings") == settings.to_json()
    )


def is_done(
    folder: Path,
    name: str,
    video: str,
    state: list[int],
    identity: dict[str, Any],
    settings: Settings,
) -> bool:
    """Returns whether the outputs of a video are complete, by the same network and settings.

    The path of the video may be spelled differently, as long as the earlier one still exists.
    """
    record = read_record(folder / f"{name}.json")
    if record is None:
        return False
    path, same_id = str(record.get("real_path")), False
    if path != os.path.realpath(video):
        with contextlib.suppress(OSError):
            same_id = os.path.samefile(path, video)
    same = path == os.path.realpath(video) or same_id
    same = same and record.get("file_state") == state and same_outputs(record, identity, settings)
    return same and all(is_there(folder, file) for file in record["files"].values())


class Results(Sequence[VideoResult]):
    """The results of many videos, read from their `NAME.json` when they are needed."""

    def __init__(self, folder: Path, names: Sequence[str]):
        """Takes the output folder and the stems."""
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> VideoResult:
        return load_result(self._folder, self._names[index])

    def __iter__(self) -> Iterator[VideoResult]:
        return (load_result(self._folder, name) for name in self._names)


def load_result(folder: Path, name: str) -> VideoResult:
    """Reads the result of a video. Raises ValueError if its `.json` is missing or damaged."""
    record = read_record(folder / f"{name}.json")
    if record is None:
        raise ValueError(f"{folder / name}.json: missing, or not written by this program")
    segments = tuple(
        Segment(s["label"], s["start"], s["end"], s["score"]) for s in record["segments"]
    )
    sheet = folder / record["files"].get("thumbnails", "")
    return VideoResult(
        source=record["video"],
        name=name,
        duration=record["duration"],
        fps=record["fps"],
        num_frames=record["num_frames"],
        strip=np.array(record["strip"]["labels"], int),
        strip_score=np.array(record["strip"]["probabilities"]),
        top=tuple((item["label"], item["probability"]) for item in record["top"]),
        segments=segments,
        files={
            **{kind: file for kind, file in record["files"].items() if is_there(folder, file)},
            "json": f"{name}.json",
        },
        thumbnails=_cut(sheet, record["thumbnails"]),
        notes=tuple(record["notes"]),
    )


def _cut(sheet: Path, count: int) -> tuple[np.ndarray, ...]:
    try:
        data = np.frombuffer(sheet.read_bytes(), np.uint8)
    except OSError:
        return ()
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None or not count:
        return ()
    image = np.ascontiguousarray(image[..., ::-1])
    return tuple(np.ascontiguousarray(part) for part in np.split(image, count, axis=1))
