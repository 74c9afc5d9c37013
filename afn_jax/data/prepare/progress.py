"""Progress of the preparation: a bar in a terminal, otherwise a line from time to time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_SECONDS = 10.0  # between two plain lines

Update = Callable[[int, int], None]


@contextmanager
def show_progress(frames: int, shards: int, console: Console | None = None) -> Iterator[Update]:
    """Yields a function that shows progress, to be called with (frames done, shards done).

    Args:
        frames: total number of frames.
        shards: total number of shards.
        console: the output; by default standard output.
    """
    console = console or Console()
    update = _plain(console, frames, shards)
    if not console.is_terminal:
        yield update
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("preparing", total=frames)

        def show(frames_done: int, shards_done: int) -> None:
            rate = bar.tasks[0].finished_speed or bar.tasks[0].speed or 0
            words = f"{shards_done} of {shards} shards, {rate:.0f} frames/s"
            bar.update(task, completed=frames_done, description=words)

        yield show


def _plain(console: Console, frames: int, shards: int) -> Update:
    start = last = time.monotonic()

    def show(frames_done: int, shards_done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _PLAIN_SECONDS and shards_done < shards:
            return
        last = now
        rate = frames_done / max(now - start, 1e-9)
        left = f"{_duration((frames - frames_done) / rate)} left" if rate else "time left unknown"
        console.print(
            f"{shards_done} of {shards} shards, {frames_done} of {frames} frames, "
            f"{rate:.0f} frames/s, {left}",
            highlight=False,
            soft_wrap=True,
        )

    return show


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
