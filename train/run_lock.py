"""One training at a time in a run folder."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_FILE = "training.lock"


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Holds the lock file of a run folder, which is made if need be.

    A lock that a dead process of this host left behind is taken over. A folder that was made here
    and stayed empty is removed again.

    Raises:
        ValueError: another training holds the lock.
    """
    made = not run_dir.exists()
    run_dir.mkdir(parents=True, exist_ok=True)
    path = run_dir / LOCK_FILE
    _take(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if made:
            with suppress(OSError):  # it is not empty: the usual case
                run_dir.rmdir()


def is_lock(path: Path) -> bool:
    """Whether a file of a run folder is its lock, which says nothing of what the folder holds."""
    return path.name.startswith(LOCK_FILE)


def _take(path: Path) -> None:
    for _ in range(3):  # others may take a dead one's lock over at the same time
        try:
            with path.open("x") as file:
                json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
            return
        except FileExistsError:
            _set_aside(path, _refuse_if_held(path))
    raise ValueError(f"run_dir: other processes take {path} again and again; start one at a time.")


def _set_aside(path: Path, dead: tuple[int, str] | None) -> None:
    """Removes the lock if it is still that of `dead`; in between another may have taken it over."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        path.rename(aside)  # of two processes one gets it
        if _read(aside) == dead:
            aside.unlink()
        else:
            aside.rename(path)


def _refuse_if_held(path: Path) -> tuple[int, str] | None:
    """(process, host) of a dead lock; None if it is gone or damaged.

    Raises:
        ValueError: the process that the lock names runs, or runs on another host.
    """
    values = _read(path)
    if values is None:
        time.sleep(0.2)  # made this moment, it is still empty
        values = _read(path)
    if values is None:
        return None
    pid, host = values
    if host == socket.gethostname() and not _runs(pid):
        return values
    raise ValueError(
        f"run_dir: {path.parent} is in use: process {pid} on {host} trains in it. Wait for it, "
        f"stop it, or choose another --run-dir. If it no longer runs, delete {path}."
    )


def _read(path: Path) -> tuple[int, str] | None:
    """(process, host) that the lock names; None if it is gone or damaged."""
    try:
        values = json.loads(path.read_text())
        return int(values["pid"]), str(values["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _runs(pid: int) -> bool:
    """Whether another process of this host has that number."""
    if pid == os.getpid() or pid < 1:
        return False  # containers count anew: an earlier one had the same number
    if sys.platform == "win32":  # there, sending signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
