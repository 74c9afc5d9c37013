"""Cache of frame indices, because finding the frames of 240,000 files takes hours.

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

_VERSION = b"afn_jax frame indices 3\n"  # to be raised when indices or the format change
_HEADER = struct.Struct("<IdqdII??")


def default_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/afn_jax`, or `~/.cache/afn_jax` if the variable is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "afn_jax"


def pack(index: VideoIndex) -> bytes:
    """Packs an index into few bytes, about 70 if the frame rate is constant."""
    header = _HEADER.pack(
        index.num_frames,
        index.time_base,
        index.start,
        index.fps,
        index.height,
        index.width,
        index.seekable,
        index.timed,
    )
    # Second differences of regular timestamps are zeros, which compress well.
    differences = [
        np.diff(values.astype(np.int64), n=2, prepend=[0, 0])
        for values in (index.pts, index.keyframes)
    ]
    return header + zlib.compress(np.concatenate(differences).astype("<i8").tobytes())


def unpack(packed: bytes) -> VideoIndex:
    """Returns the index that was packed."""
    header = _HEADER.unpack_from(packed)
    num_frames, time_base, start, fps, height, width, seekable, timed = header
    differences = np.frombuffer(zlib.decompress(packed[_HEADER.size :]), "<i8").astype(np.int64)
    pts, keyframes = (np.cumsum(np.cumsum(part)) for part in np.split(differences, [num_frames]))
    return VideoIndex(
        num_frames, pts, keyframes, seekable, fps, height, width, time_base, start, timed
    )


def packed_frames(packed: bytes) -> int:
    """Returns `num_frames` of a packed index without unpacking it."""
    return _HEADER.unpack_from(packed)[0]


class IndexCache:
    """The packed indices of the videos below one folder."""

    def __init__(self, folder: Path, root: Path):
        """Reads the cache file, if there is one.

        Args:
            folder: the folder of cache files; created when needed.
            root: the folder of videos.
        """
        key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self._path = folder / f"videos-{key}.index"
        self._known = _read(self._path)
        self._new: dict[str, tuple[int, int, bytes]] = {}

    def get(self, name: str, file: os.stat_result) -> bytes | None:
        """Returns the packed index of a video if it is known and the file has not changed."""
        size, changed, packed = self._known.get(name, (-1, -1, b""))
        return packed if (size, changed) == (file.st_size, file.st_mtime_ns) else None

    def put(self, name: str, file: os.stat_result, packed: bytes) -> None:
        """Keeps an index until `save` writes it."""
        self._new[name] = (file.st_size, file.st_mtime_ns, packed)

    def save(self) -> None:
        """Adds new indices to the cache file; only warns if it cannot be written."""
        if not self._new:
            return
        # Read again: another process may have added indices meanwhile.
        self._known = self._known | _read(self._path) | self._new
        self._new = {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, _encode(self._known))
        except OSError as error:
            warnings.warn(
                f"data.index_cache: {error}; frames are indexed again at each start. Give a "
                "writable folder, or 'none'",
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
    """Returns the records of a cache file; none if it is missing, damaged or of another version."""
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
