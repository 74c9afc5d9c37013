"""The mark in the films of `predict` and `flow`, so that they are not taken for videos."""

import os
import stat
from typing import BinaryIO

from afn_jax.data.sources.mark import MARK

_MOST = 2**16  # bytes of the metadata that are searched


def is_marked(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a film that this package made; False if it cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            whole = (0, os.fstat(file.fileno()).st_size)
            if file.read(8)[4:] != b"ftyp":
                return False
            place = _box(file, _box(file, whole, b"moov"), b"udta")
            if place is None:
                return False
            file.seek(place[0])
            return MARK.encode() in file.read(min(_MOST, place[1] - place[0]))
    except OSError:
        return False


def _box(file: BinaryIO, place: tuple[int, int] | None, kind: bytes) -> tuple[int, int] | None:
    """Returns (start, end) of the content of the first box of a kind inside `place`."""
    at, end = place or (0, 0)
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:  # a size of 64 bits follows
            size, header = int.from_bytes(head[8:16], "big"), 16
        if size == 0:
            size = end - at
        if size < header:
            return None
        if head[4:8] == kind:
            return at + header, min(end, at + size)
        at += size
    return None
