"""Shards: ArrayRecord files that hold videos as groups of frames, each group one record.

A record is a list of byte strings, its parts. All integers are little-endian:

    uint32                the number of parts, n
    n times uint32        their lengths
    the parts, one after the other

The parts of a group are its frames (`frame_codec`: one JPEG image, or one packet of H.264 or VP9,
per part), followed in datasets with flow by the flow from each frame (`flow_codec`; empty where
there is none). The groups of a video are consecutive.

The last record has one part, UTF-8 JSON: the index of the shard. For each video, "videos" lists the
record of its first group, its number in the source, name, label, frames per second and size.
"skipped" lists the files that could not be read, and why.

A shard is written under a temporary name and renamed when it is complete, so every file with the
name of a shard is complete.
"""

import contextlib
import functools
import json
import os
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

# One record per chunk, so that each is read alone; images do not compress further.
_WRITER_OPTIONS = "group_size:1,uncompressed"
# Clips are read at random, so reading ahead is useless, and the pipeline has its own threads.
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
PART = ".part"  # suffix of unfinished shards
_BUFFER = 32768  # bytes
_MOST_OPEN = 256  # shards open at a time; guessed: systems allow at least 1024 open files


def shard_name(split: str, number: int, count: int) -> str:
    """Returns the file name of shard `number` (from 0) of `count`."""
    return f"{split}-{number:05d}-of-{count:05d}.arrayrecord"


class ShardWriter:
    """Context manager that writes one shard; its final name does not exist before `finish`.

    An unfinished shard is removed at the end of the block.
    """

    def __init__(self, path: Path, mark: str = "1-of-1"):
        """Opens a temporary file next to `path`.

        Args:
            path: the final path.
            mark: part of the temporary name, by which a later run finds the remains of this one.

        Raises:
            OSError: the file cannot be created.
        """
        self._path = path
        # Each writer has a unique name, so two runs can safely make the same shard.
        self._part = path.with_name(f"{path.name}.{mark}.{uuid.uuid4().hex}{PART}")
        self._part.touch()  # raises a Python error if the folder is not writable
        self._writer = ArrayRecordWriter(str(self._part), _WRITER_OPTIONS)
        self.num_records: int = 0

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self._part.unlink(missing_ok=True)

    def add(self, parts: Sequence[bytes]) -> None:
        """Appends a record. Raises OSError if the disk is full."""
        sizes = struct.pack(f"<{len(parts) + 1}I", len(parts), *map(len, parts))
        with _as_os_error(self._part):
            self._writer.write(sizes + b"".join(parts))
        self.num_records += 1

    def finish(self, index: dict[str, Any]) -> None:
        """Adds the index and renames the file. Raises OSError on failure."""
        self.add([json.dumps(index).encode()])
        with _as_os_error(self._part):
            self._writer.close()
            found = ArrayRecordReader(str(self._part)).num_records()
        if found != self.num_records:
            raise OSError(
                f"{self._part}: {found} of {self.num_records} records were written to disk"
            )
        with open(self._part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self._part, self._path)


def read_records(path: str | Path, numbers: Sequence[int]) -> list[list[memoryview]]:
    """Reads records of a shard; thread-safe.

    Returns:
        The parts of each record.

    Raises:
        OSError: the shard is missing or damaged, or lacks a record.
    """
    with _as_os_error(path):
        reader = _reader(str(path))
        # One at a time: reading several uses a thread pool, which costs more than it saves.
        return [_parts(reader.read([number])[0]) for number in numbers]


def read_index(path: str | Path) -> dict[str, Any]:
    """Reads the index of a shard. Raises OSError if the shard is missing or damaged."""
    with _as_os_error(path):
        reader = _open(str(path))
        last = reader.read([max(reader.num_records() - 1, 0)])[0]
        return json.loads(bytes(_parts(last)[0]))


def _open(path: str) -> ArrayRecordReader:
    os.stat(path)  # raises a Python error if the file is missing
    return ArrayRecordReader(path, options=_READER_OPTIONS, file_reader_buffer_size=_BUFFER)


# Shared by all videos of a shard, and not an attribute of them: videos get pickled, and the number
# of open files stays small.
_reader = functools.lru_cache(maxsize=_MOST_OPEN)(_open)


def _parts(record: bytes) -> list[memoryview]:
    (count,) = struct.unpack_from("<I", record)
    sizes = struct.unpack_from(f"<{count}I", record, 4)
    view, start, parts = memoryview(record), 4 + 4 * count, []
    for size in sizes:
        parts.append(view[start : start + size])
        start += size
    if start != len(record):
        raise ValueError(f"a record has {len(record)} bytes, but its parts {start}")
    return parts


@contextlib.contextmanager
def _as_os_error(path: str | Path):
    """Converts the various errors of ArrayRecord (damaged file, full disk) to OSError."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError, struct.error, RecursionError) as error:
        raise OSError(f"{path}: {error}") from error
