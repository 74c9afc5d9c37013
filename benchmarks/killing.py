"""Starts commands as process groups, kills them, and finds the processes that outlive them."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

POLL_S = 0.002
ENDS_WITHIN_S = 30.0  # orphaned processes must end by themselves within this time


@dataclasses.dataclass(frozen=True)
class Kill:
    """When and what to kill.

    Attributes:
        after: seconds to wait, from the start or from `sign`.
        sign: is called repeatedly; the wait begins when it returns True. None: at the start.
        group: kill all processes of the command instead of its main process only.
    """

    after: float
    sign: Callable[[], bool] | None = None
    group: bool = False


def run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> str:
    """Runs a command to its end and returns what it printed.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def run_and_kill(
    command: Sequence[str], folder: Path, environment: dict[str, str], kill: Kill
) -> bool:
    """Runs a command and kills it; returns False if it ended before the kill.

    Raises:
        RuntimeError: it failed on its own, or some of its processes outlived it.
    """
    with open(folder / "output.txt", "a") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, process_group=0
        )
    try:
        while kill.sign is not None and process.poll() is None and not kill.sign():
            time.sleep(POLL_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(kill.after)
        alive = process.poll() is None
        if alive and kill.group:
            os.killpg(process.pid, signal.SIGKILL)
        elif alive:
            process.kill()
        code = process.wait()
        if not alive and code:
            raise RuntimeError(f"{' '.join(command)} failed: see {folder / 'output.txt'}")
        left = wait_for_group(process.pid)
        if left:
            raise RuntimeError(f"{len(left)} processes outlived {' '.join(command)}: {left}")
        return alive
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for_group(group: int) -> list[str]:
    """Waits until no process of a group is left; returns the command lines of those that stay."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while (left := processes_of(group)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def processes_of(group: int) -> list[str]:
    """Returns the command lines of the running processes of a group. Linux only."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # After the name in parentheses: state, parent, group.
                state, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(number) == group and state != "Z":
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def shared_memory(size: int) -> set[str]:
    """Returns the names of the blocks of shared memory of `size` bytes. Linux only."""
    blocks = Path("/dev/shm").glob("psm_*")
    return {path.name for path in blocks if path.exists() and path.stat().st_size == size}
