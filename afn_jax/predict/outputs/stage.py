"""A hidden folder inside the output folder, in which outputs are written until they are complete.

It is on the same file system, so that complete outputs are moved and not copied. All files in it
are this program's, so what a killed process left is removed whole.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from afn_jax.atomic import is_temporary, temporary_path

_NAME = "predict"  # of no video: see `inputs.RESERVED`


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Path]:
    """Makes the hidden folder and removes it at the end. Errors name the output folder instead."""
    path = temporary_path(folder / _NAME)
    try:
        path.mkdir()
        yield path
    except OSError as error:
        inside = os.fspath(error.filename) if isinstance(error.filename, str | Path) else ""
        if error.errno is None or not inside.startswith(os.fspath(path)):
            raise
        place = os.fspath(folder) + inside[len(os.fspath(path)) :]
        raise OSError(error.errno, error.strerror, place) from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


def abandoned_stages(folder: Path) -> list[Path]:
    """Returns the hidden folders of killed processes; `folder` must be held by this process."""
    with os.scandir(folder) as items:
        return [
            folder / item.name
            for item in items
            if item.name.startswith(f".{_NAME}.")
            and "." not in item.name[len(_NAME) + 2 :]
            and is_temporary(item.name)
            and item.is_dir(follow_symlinks=False)
        ]
