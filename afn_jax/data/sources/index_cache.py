"""Frame indices kept between runs: finding the frames of 240,000 files takes hours, once.

One file for each folder of videos, in the user's cache folder. It begins with the SHA-256 of the
rest, so a damaged one is noticed and left aside. It is replaced as a whole: two processes at once
each write a sound file, and what the last one did not know is found anew. A record counts only as
long as size and time of change of its video are what they were.
"""

import hashlib
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np

from afn_jax.atomic import write_atomically
from afn_jax.data.files.video import VideoIndex

_VERSION = b"afn_jax frame indices 2\n"  # to be raised when indices or the format change
_HEADER = struct.Struct("<IddII?")


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/afn_jax`, which is `~/.cache/afn_jax` where the variable is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "afn_jax"


def pack(index: VideoIndex, time_base: float = 0.0) -> bytes:
    """An index in few bytes, about 60 where frames come at a constant rate.

    Args:
        index: of a file.
        time_base: seconds that a step of its timestamps stands for; 0: not known.
    """
    header = _HEADER.pack(
        index.num_frames, time_base, index.fps, index.height, index.width, index.seekable
    )
    # Second differences of regular timestamps are zeros, which deflate to next to nothing.
    differences = [
        np.diff(values.astype(np.int64), n=2, prepend=[0, 0])
        for values in (index.pts, index.keyframes)
    ]
    return header + zlib.compress(np.concatenate(differences).astype("<i8").tobytes())


def unpack(packed: bytes) -> VideoIndex:
    """The index that `pack` was given."""
    num_frames, _, fps, height, width, seekable = _HEADER.unpack_from(packed)
    differences = np.frombuffer(zlib.decompress(packed[_HEADER.size :]), "<i8").astype(np.int64)
    pts, keyframes = (np.cumsum(np.cumsum(part)) for part in np.split(differences, [num_frames]))
    return VideoIndex(num_frames, pts, keyframes, seekable, fps, height, width)


def packed_frames(packed: bytes) -> int:
    """`num_frames` of a packed index, without unpacking it."""
    return _HEADER.unpack_from(packed)[0]


def packed_time_base(packed: bytes) -> float:
    """The `time_base` that `pack` was given."""
    return _HEADER.unpack_from(packed)[1]


class IndexCache:
    """Packed indices of the videos below one folder."""

    def __init__(self, folder: Path, root: Path):
        """Reads what is there.

        Args:
            folder: where cache files are; made when needed.
            root: the folder of videos.
        """
        key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self._path = folder / f"videos-{key}.index"
        self._known = _read(self._path)
        self._new: dict[str, tuple[int, int, bytes]] = {}

    def get(self, name: str, file: os.stat_result) -> bytes | None:
        """The packed index of the video, if it is known and the file is still the same."""
        size, changed, packed = self._known.get(name, (-1, -1, b""))
        return packed if (size, changed) == (file.st_size, file.st_mtime_ns) else None

    def put(self, name: str, file: os.stat_result, packed: bytes) -> None:
        """Remembers an index until `save`."""
        self._new[name] = (file.st_size, file.st_mtime_ns, packed)

    def save(self) -> None:
        """Adds what is new to the file. Warns if it cannot be written, as runs go without it."""
        if not self._new:
            return
        # Read again: another process may have added to it meanwhile.
        self._known = self._known | _read(self._path) | self._new
        self._new = {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, _encode(self._known))
        except OSError as error:
            warnings.warn(
                f"data.index_cache: {error}; frames are searched for anew at each start. Give a "
                "folder that can be written, or 'none'",
                stacklevel=2,
            )


def _encode(records: dict[str, tuple[int, int, bytes]]) -> bytes:
    packed = [record[2] for record in records.values()]
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        names=np.frombuffer(b"\0".join(os.fsencode(name) for name in records), np.uint8),
        files=np.array([record[:2] for record in records.values()], np.int64),
        ends=np.cumsum([len(data) for data in packed]),
        packed=np.frombuffer(b"".join(packed), np.uint8),
    )
    return _VERSION + hashlib.sha256(stream.getvalue()).digest() + stream.getvalue()


def _read(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """The records of a cache file; none if it is missing, damaged or of another version."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    digest, body = data[len(_VERSION) :][:32], data[len(_VERSION) + 32 :]
    if not data.startswith(_VERSION) or hashlib.sha256(body).digest() != digest:
        return {}
    with np.load(io.BytesIO(body)) as arrays:
        names = arrays["names"].tobytes().split(b"\0")
        files, ends = arrays["files"].tolist(), arrays["ends"].tolist()
        packed = arrays["packed"].tobytes()
    starts = [0, *ends[:-1]]
    return {
        os.fsdecode(name): (size, changed, packed[start:end])
        for name, (size, changed), start, end in zip(names, files, starts, ends, strict=True)
    }
