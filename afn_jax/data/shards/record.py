"""Shards: ArrayRecord files that hold videos as groups of frames, each group one record.

A record is a list of byte strings, its parts, all integers little-endian:

    uint32                the number of parts, n
    n times uint32        how long each is
    the parts, one after the other

The parts of a group are its frames (`frame_codec`: one part a JPEG picture, or a packet of H.264 or
VP9) and then, in datasets with flow, one part a frame with the flow from it (`flow_codec`; empty
where there is none). The groups of a video follow each other.

The last record has one part, UTF-8 JSON: the shard's index. Its "videos" say of each video the
record of its first group, its place in the source, name, label, frames a second and size; its
"skipped" say what could not be read and why.

A shard is written under a temporary name and renamed when it is whole: whatever has the name of a
shard is a complete shard.
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

# One record a chunk, so that reading one touches nothing else; pictures do not compress further.
_WRITER_OPTIONS = "group_size:1,uncompressed"
# Clips are at random places: nothing to read ahead, and the pipeline has its own threads.
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
PART = ".part"  # how the name of an unfinished shard ends
_BUFFER = 32768  # bytes
_MOST_OPEN = 256  # shards at a time; guessed: systems allow 1024 open files or more


def shard_name(split: str, number: int, count: int) -> str:
    """The file name of shard `number` (from 0) of `count`."""
    return f"{split}-{number:05d}-of-{count:05d}.arrayrecord"


class ShardWriter:
    """Writes one shard; nothing of the final name exists before `finish`.

    Used with `with`: a shard that was not finished leaves nothing behind.
    """

    def __init__(self, path: Path, mark: str = "1-of-1"):
        """Opens a temporary file beside `path`, with `mark` in its name, whose run may remove it.

        Raises OSError if that cannot be done.
        """
        self._path = path
        # A name of its own for each writer: two runs may make the same shard without harm.
        self._part = path.with_name(f"{path.name}.{mark}.{uuid.uuid4().hex}{PART}")
        self._part.touch()  # for a Python error where the folder cannot be written to
        self._writer = ArrayRecordWriter(str(self._part), _WRITER_OPTIONS)
        self.num_records = 0

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *exception) -> None:
        self._part.unlink(missing_ok=True)

    def add(self, parts: Sequence[bytes]) -> None:
        """Appends a record. Raises OSError if the disk is full."""
        sizes = struct.pack(f"<{len(parts) + 1}I", len(parts), *map(len, parts))
        with _as_os_error(self._part):
            self._writer.write(sizes + b"".join(parts))
        self.num_records += 1

    def finish(self, index: dict[str, Any]) -> None:
        """Adds the index, and gives the file its name. Raises OSError if that failed."""
        self.add([json.dumps(index).encode()])
        with _as_os_error(self._part):
            self._writer.close()
            found = ArrayRecordReader(str(self._part)).num_records()
        if found != self.num_records:
            raise OSError(f"{self._part}: {found} of {self.num_records} records arrived on disk")
        with open(self._part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self._part, self._path)


def read_records(path: str | Path, numbers: Sequence[int]) -> list[list[memoryview]]:
    """Reads records of a shard; safe in many threads.

    Returns:
        The parts of each record.

    Raises:
        OSError: the shard is missing, damaged, or has no such record.
    """
    with _as_os_error(path):
        reader = _reader(str(path))
        # One by one: several at once go through a pool of threads, which costs more than it saves.
        return [_parts(reader.read([number])[0]) for number in numbers]


def read_index(path: str | Path) -> dict[str, Any]:
    """Reads the index of a shard. Raises OSError if the shard is missing or damaged."""
    with _as_os_error(path):
        reader = _open(str(path))
        last = reader.read([max(reader.num_records() - 1, 0)])[0]
        return json.loads(bytes(_parts(last)[0]))


def _open(path: str) -> ArrayRecordReader:
    os.stat(path)  # for a Python error if it is not there
    return ArrayRecordReader(path, options=_READER_OPTIONS, file_reader_buffer_size=_BUFFER)


# Shared by all videos of a shard, and no part of them: they pickle, and open files stay few.
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
    """ArrayRecord raises several kinds of errors for a damaged file or a full disk; here one."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError, struct.error) as error:
        raise OSError(f"{path}: {error}") from error
