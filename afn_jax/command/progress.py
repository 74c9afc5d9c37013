"""Progress on standard error: one line per file, and on a terminal a line that changes."""

import time
from typing import Any

from rich.console import Console
from rich.status import Status

from afn_jax.near_names import printable

_EVERY = 0.2  # seconds between changes of the line; guessed


class VideoProgress:
    """Shows which file is read, how fast, and the time left; a context manager."""

    def __init__(self, console: Console | None = None):
        """Takes the console; the default is standard error."""
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._number, self._of, self._video = 0, 0, ""
        self._started = self._file_started = self._shown = time.monotonic()
        self._worked = 0  # files that took time

    def start(self, number: int, of: int, video: str) -> None:
        """Begins a file."""
        self._number, self._of, self._video = number, of, printable(video)
        self._file_started = time.monotonic()
        self._update(f"{number} of {of}  {self._video}")

    def advance(self, done: float, of: float | None) -> None:
        """Takes how many seconds of the file are done."""
        now = time.monotonic()
        if now - self._shown < _EVERY:
            return
        self._shown = now
        took = max(now - self._file_started, 1e-3)
        position = _clock(done) + (f" of {_clock(of)}" if of else "")
        part = min(1.0, done / of) if of else 0.5
        left = self._left(now, part)
        self._update(
            f"{self._number} of {self._of}  {self._video}  {position}  "
            f"{done / took:.1f} x real time{left}"
        )

    def finish(self, video: str, outcome: str, seconds: float, took: float) -> None:
        """Ends a file."""
        speed = f", {seconds / took:.1f} x real time" if took and seconds else ""
        self._worked += bool(took)
        self._console.print(
            f"{self._number} of {self._of}  {printable(video)}  {outcome}{speed}",
            markup=False,
        )

    def _left(self, now: float, part: float) -> str:
        done = self._worked + part
        if done < 0.02:
            return ""
        rest = self._of - self._number + 1 - part
        return f"  {_clock((now - self._started) / done * rest)} left"

    def _update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text.replace("[", "\\["))

    def __enter__(self) -> "VideoProgress":
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._status is not None:
            self._status.stop()


def _clock(seconds: float) -> str:
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
