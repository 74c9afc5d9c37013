"""The folder of a run: which settings may use it, and one training at a time in it."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from train import config_file
from train.checkpoint import CONFIG_FILE, has_checkpoint, load_record
from train.config import TrainConfig
from train.hosts.checks import check_shared_folder
from train.hosts.together import by_first, fails_together

LOCK_FILE = "training.lock"


def check_run_dir(run_dir: Path, config: TrainConfig) -> None:
    """Refuses a folder that holds another run, or files that are not a run.

    Raises:
        ValueError: see above; nothing was changed.
    """
    if not (run_dir / CONFIG_FILE).exists():
        if run_dir.is_dir() and any(path.name != LOCK_FILE for path in run_dir.iterdir()):
            raise ValueError(
                f"run_dir: {run_dir} holds files but no {CONFIG_FILE}, so it is not a run folder. "
                "Choose another --run-dir; nothing was changed."
            )
        return
    if not has_checkpoint(run_dir):
        return  # it ended before its first checkpoint, e.g. because of a wrong setting
    if not config.resume:
        raise ValueError(
            f"run_dir: {run_dir} already holds a run and --no-resume was given. "
            "Choose another --run-dir, or leave out --no-resume to continue it."
        )
    changed = config_file.differences(config_file.load(run_dir / CONFIG_FILE), config)
    if "data.classes" in changed and load_record(run_dir)[1] is not None:
        del changed["data.classes"]  # the classes that it chooses are compared instead
    if changed:
        listed = "\n".join(
            f"  {name}: {old!r} in the folder, {new!r} now" for name, (old, new) in changed.items()
        )
        raise ValueError(
            f"run_dir: {run_dir} holds a run with other settings:\n{listed}\n"
            "Choose another --run-dir for the new settings, or repeat the old ones to continue; "
            "nothing was changed."
        )


@contextmanager
def open_run_dir(config: TrainConfig) -> Iterator[None]:
    """Checks and locks the folder of a run, which process 0 does for all processes.

    Raises:
        ValueError: see `check_run_dir`, `run_lock` and `check_shared_folder`.
    """
    run_dir = Path(config.run_dir)
    with ExitStack() as stack:
        with fails_together():
            by_first(check_run_dir, run_dir, config)
            by_first(lambda: stack.enter_context(run_lock(run_dir)))
        check_shared_folder(run_dir)
        yield


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Locks a run folder, which is created if necessary.

    The lock is the operating system's, on the file training.lock: it ends with its process, even if
    that is killed. The file stays; while the lock is held, its text names the holder. A folder that
    was created here and stayed empty is removed again.

    Raises:
        ValueError: another process holds the lock.
    """
    created = not run_dir.exists()
    run_dir.mkdir(parents=True, exist_ok=True)
    path = run_dir / LOCK_FILE
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = path.read_text().strip() or "another process"
        raise ValueError(
            f"run_dir: {run_dir} is in use: {holder} trains in it. Wait for it, stop it, or choose "
            "another --run-dir."
        ) from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        path.write_text("")
        if created and [file.name for file in run_dir.iterdir()] == [LOCK_FILE]:
            with suppress(OSError):
                path.unlink()
                run_dir.rmdir()
        lock.release()
