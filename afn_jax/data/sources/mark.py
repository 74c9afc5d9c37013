"""The mark in folders and pictures of flow that this package wrote: they are not videos or frames.

A folder has a hidden file, a PNG picture a comment.
"""

import json
import os
import zlib
from collections.abc import Sequence

MARK = "written by afn_jax"  # also the comment of films
WRITTEN = "flow that afn-jax wrote, not a video"
MARK_FILE = ".afn_jax.json"
_MOST = 2**12  # bytes
_HEAD = 33  # bytes of a PNG file before the first chunk that may be a comment
_COMMENT = b"tEXt" + b"Comment\0" + MARK.encode()


def mark_folder(folder: str | os.PathLike[str]) -> None:
    """Marks a folder as written by this package.

    Raises:
        OSError: the mark cannot be written.
    """
    with open(os.path.join(folder, MARK_FILE), "w", encoding="utf-8") as file:
        file.write(json.dumps({"comment": MARK}) + "\n")


def is_marked_folder(folder: str | os.PathLike[str]) -> bool:
    """Whether this package wrote a folder; False if it cannot be read."""
    try:
        with open(os.path.join(folder, MARK_FILE), encoding="utf-8") as file:
            mark = json.loads(file.read(_MOST))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(mark, dict) and mark.get("comment") == MARK


def marked_png(png: bytes) -> bytes:
    """Returns a PNG file with the mark in its comment."""
    length, check = len(_COMMENT) - 4, zlib.crc32(_COMMENT)
    chunk = length.to_bytes(4, "big") + _COMMENT + check.to_bytes(4, "big")
    return png[:_HEAD] + chunk + png[_HEAD:]


def is_marked_picture(path: str | os.PathLike[str]) -> bool:
    """Whether this package wrote a PNG picture; False if it cannot be read."""
    if not os.fspath(path).lower().endswith(".png"):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD + 4 + len(_COMMENT))
    except OSError:
        return False
    return head.startswith(b"\x89PNG") and head[_HEAD + 4 :] == _COMMENT


def without_marked(folder: str | os.PathLike[str], names: Sequence[str]) -> list[str]:
    """Returns the pictures of a folder that this package did not write.

    Only if the first one is marked the others are opened, as there may be many.
    """
    if not names or not is_marked_picture(os.path.join(folder, min(names))):
        return list(names)
    return [name for name in names if not is_marked_picture(os.path.join(folder, name))]
