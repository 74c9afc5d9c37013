"""Tells a damaged video from one that its disk no longer delivers.

A damaged video can be read as bytes, but not decoded. A video whose bytes cannot be read was
deleted, or its disk was unmounted or fails. If others cannot be read either, the dataset is gone,
and a run that replaced its videos by others would train on something else.
"""

import os
import time
from collections.abc import Iterable

from afn_jax.data.source import DatasetGoneError, Source, Video

# Guessed, all of them.
PAUSES = (0.5, 1.0, 2.0)  # seconds between attempts: a network disk may be away for a moment
PROBED = 20  # other videos to look at if one is gone
MOST_GONE = 3  # of these and the first one; fewer are taken for single files that were deleted
MOST_GONE_IN_ALL = 20  # videos gone since the start
_READ_WHOLE = 64 << 20  # bytes; only the start of a larger file is read
_BLOCK = 1 << 20


def path_of(video: Video) -> str:
    """Returns the file or folder of a video; empty if it has none."""
    return getattr(video, "path", "")


def disk_error(path: str, *, whole: bool = True) -> OSError | None:
    """Reads a file, or the files of a folder, as bytes.

    Args:
        path: file or folder.
        whole: read all bytes; otherwise only the first.

    Returns:
        The error of the operating system; None if there is none.
    """
    try:
        if not os.path.isdir(path):
            _read(path, whole)
            return None
        names = os.listdir(path)
        if not names:
            raise FileNotFoundError(2, "the folder is empty", path)
        for name in names if whole else names[:1]:
            below = os.path.join(path, name)
            if os.path.isfile(below):
                _read(below, whole)
    except OSError as error:
        return error
    return None


def _read(path: str, whole: bool) -> None:
    with open(path, "rb", buffering=0) as file:
        left = min(os.fstat(file.fileno()).st_size, _READ_WHOLE) if whole else 1
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            left -= len(block)


def wait_until_readable(path: str) -> OSError | None:
    """Like `disk_error`, but tries again for a few seconds before it gives up."""
    error = disk_error(path)
    for pause in PAUSES:
        if error is None:
            break
        time.sleep(pause)
        error = disk_error(path)
    return error


def check_readable(video: Video) -> None:
    """Raises OSError if the bytes of a video can no longer be read from its disk."""
    path = path_of(video)
    error = wait_until_readable(path) if path else None
    if error is not None:
        raise OSError(
            error.errno,
            f"{path} can no longer be read ({error.strerror or error}). Check that the dataset is "
            "complete and its disk is mounted",
        )


def check_dataset(source: Source, number: int, error: OSError, gone: Iterable[int] = ()) -> None:
    """Checks whether a video is gone alone or with its dataset.

    Args:
        source: the videos.
        number: of the video that cannot be read.
        error: why.
        gone: numbers of the videos that were found gone before.

    Raises:
        DatasetGoneError: others cannot be read either.
    """
    count = len(source)
    # Evenly spaced over the source, which is sorted by class and folder.
    others = {(number + 1 + i * (count - 1) // PROBED) % count for i in range(PROBED)} - {number}
    unreadable = [i for i in sorted(others) if _is_gone(path_of(source[i]))]
    in_all = len({number, *gone})
    if len(unreadable) + 1 >= min(MOST_GONE, count) or in_all >= MOST_GONE_IN_ALL:
        found = (
            f"neither can {len(unreadable)} of {len(others)} others"
            if unreadable
            else f"{in_all} videos are gone since the start"
        )
        raise DatasetGoneError(
            f"{path_of(source[number])} can no longer be read "
            f"({error.strerror or error}), and {found}. Check that the dataset is complete and its "
            "disk is mounted"
        )


def _is_gone(path: str) -> bool:
    return bool(path) and disk_error(path, whole=False) is not None
