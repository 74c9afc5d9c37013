"""Writing a file so that a reader sees either the old content or the new one, never a part."""

import os
import uuid
from pathlib import Path


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file under a temporary name in the same folder, then renames it to `path`.

    Args:
        path: of the file; its folder must exist.
        content: text is written as UTF-8.

    Raises:
        OSError: the folder is missing, or the disk is full or cannot be written. A file that was
            at `path` before is unchanged.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    data = content.encode() if isinstance(content, str) else content
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
