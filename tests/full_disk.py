"""A small disk that a test can fill, and free again."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BALLAST = "ballast"


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int = 8) -> Iterator[Path]:
    """Mounts an empty memory disk at `folder`, or skips the test where that is not allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no command mount")
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(disk: Path, leave: int = 0) -> None:
    """Fills the disk up to `leave` bytes."""
    with open(disk / BALLAST, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    if leave:
        with open(disk / BALLAST, "r+b") as file:
            file.truncate((disk / BALLAST).stat().st_size - leave)


def free(disk: Path) -> None:
    """Removes what `fill` wrote."""
    (disk / BALLAST).unlink()
