"""Writes the metrics of a run to `metrics.jsonl`, TensorBoard and the terminal."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from afn_jax.atomic import naming_path, write_atomically
from afn_jax.data.source import Skipped

SKIPPED_FILE = "skipped.json"
SLOW_READING = 0.5  # share of the time that training waits for clips; guessed
FLUSH_S = 30.0  # guessed; between two writes of TensorBoard's file, which checkpoints write too


class MetricsWriter:
    """Appends rows to `metrics.jsonl` and scalars to TensorBoard.

    First drops rows after `resume_step`, which a resumed run writes again.
    """

    def __init__(self, run_dir: Path, resume_step: int):
        self._path = run_dir / "metrics.jsonl"
        kept = [row for row in read_metrics(run_dir) if row["step"] <= resume_step]
        write_atomically(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._rows = {(row["step"], row["split"]) for row in kept}
        self._file = self._path.open("a")
        self._board = Board(run_dir / "tensorboard", resume_step + 1)

    def has(self, step: int, split: str) -> bool:
        """Returns whether an earlier part of the run wrote this row."""
        return (step, split) in self._rows

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Appends a row. Raises OSError if the disk is full; older rows are intact."""
        with naming_path(self._path):
            self._file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
            self._file.flush()
        self._board.write(step, {f"{split}/{name}": value for name, value in values.items()})

    def flush(self) -> None:
        """Waits until all rows are on disk. Raises OSError if it is full."""
        with naming_path(self._path):
            os.fsync(self._file.fileno())
        self._board.flush()

    def close(self) -> None:
        for file in (self._file, self._board):
            with suppress(OSError):  # a full disk was reported when the row was written
                file.close()


class NoMetrics:
    """Stands in for `MetricsWriter` in processes that write nothing."""

    def has(self, step: int, split: str) -> bool:
        return False

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Board:
    """Scalars for TensorBoard, written in the caller's thread.

    The thread of tensorboardX's `SummaryWriter` ends with a traceback if the disk is full, and the
    rows after that wait for it forever.
    """

    def __init__(self, folder: Path, purge_step: int):
        """Starts a new file; TensorBoard hides older values from `purge_step` on."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._flushed = time.monotonic()
        with naming_path(folder):
            self._events = EventsWriter(str(folder / "events"), f".{os.getpid()}.{purge_step}")
            start = SessionLog(status=SessionLog.START)
            self._add(purge_step, session_log=start)

    def write(self, step: int, values: dict[str, float]) -> None:
        with naming_path(self._folder):
            for name, value in values.items():
                self._add(step, summary=scalar(name, value))
        if time.monotonic() - self._flushed > FLUSH_S:
            self.flush()

    def _add(self, step: int, **content) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, **content))

    def flush(self) -> None:
        with naming_path(self._folder):
            self._events.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        self._events.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Reads the rows of `metrics.jsonl` up to the first that is damaged, such as a truncated one.

    Each row has an integer "step", a "split" and numbers.
    """
    path = Path(run_dir) / "metrics.jsonl"
    rows = []
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not _is_row(row):
                break
            rows.append(row)
    return rows


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and type(row.get("step")) is int
        and isinstance(row.get("split"), str)
        and all(isinstance(value, int | float) for name, value in row.items() if name != "split")
    )


def add_skipped(run_dir: Path, skipped: Sequence[Skipped]) -> None:
    """Adds to the list of skipped files for the report, each file once.

    The first reason counts: at which frame a damaged video fails depends on the clip.
    """
    known: dict[str, str] = {}
    for item in [*read_skipped(run_dir), *skipped]:
        known.setdefault(item.path, item.reason)
    rows = [[path, reason] for path, reason in known.items()]
    write_atomically(run_dir / SKIPPED_FILE, json.dumps(rows, indent=1) + "\n")


def warn_of_files(console: Console, files: Sequence[Skipped], what: str) -> None:
    """Prints how many files there are and the first of them; nothing if there are none."""
    if files:
        console.print(
            f"warning: {len(files)} {what}, first: {files[0].path} ({files[0].reason})",
            style="yellow",
        )


def read_skipped(run_dir: Path) -> list[Skipped]:
    """Reads the list of skipped files; empty if there is none.

    A damaged list is itself reported as skipped: it must not stop a run or its evaluation.
    """
    path = Path(run_dir) / SKIPPED_FILE
    if not path.exists():
        return []
    try:
        return [Skipped(str(file), str(reason)) for file, reason in json.loads(path.read_text())]
    except (ValueError, TypeError, RecursionError) as error:
        return [Skipped(str(path), f"the list of skipped files is damaged: {error}")]


class Terminal:
    """A progress bar with speed and time left; plain lines if the output is not a terminal."""

    def __init__(self, total_steps: int, batch_size: int, console: Console):
        self.console = console
        self._batch_size = batch_size
        self._total = total_steps
        self._mark: tuple[int, float] | None = None
        self._paused = 0.0
        self._waited = 0.0
        self._told = False
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("training", total=total_steps, speed="")

    def start(self, step: int) -> None:
        self._mark = None
        self._progress.update(self._task, completed=step)
        self._progress.start()

    def speed(self, step: int) -> dict[str, float]:
        """Steps and clips per second since the last call; empty at the first, which compiles."""
        now = time.perf_counter()
        speed = {}
        if self._mark is not None and step > self._mark[0]:
            seconds = now - self._mark[1] - self._paused
            rate = (step - self._mark[0]) / seconds
            if self._waited > SLOW_READING * seconds and not self._told:
                self._told = True
                self._tell_slow_reading(self._waited / seconds)
            speed = {"steps_per_second": rate, "clips_per_second": rate * self._batch_size}
        self._mark = (step, now)
        self._paused = self._waited = 0.0
        return speed

    def _tell_slow_reading(self, share: float) -> None:
        self.console.print(
            f"warning: training waits for clips {share:.0%} of the time. More --data.num-threads "
            "or --data.num-workers read faster on a processor with idle cores; videos that are "
            "decoded once (python -m afn_jax.data.prepare) always do.",
            style="yellow",
            soft_wrap=True,
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Counts the time of waiting for a batch; most of the time is worth a warning, once."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time of testing or saving from the speed."""
        started = time.perf_counter()
        yield
        self._paused += time.perf_counter() - started

    def row(self, step: int, split: str, values: dict[str, float]) -> None:
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        left = ""
        rate = values.get("steps_per_second")
        if rate:
            seconds = (self._total - step) / rate
            left = f"  left {int(seconds // 60)}:{int(seconds % 60):02d}"
            text = f"{rate:.2f} steps/s {values['clips_per_second']:.1f} clips/s"
            self._progress.update(self._task, speed=text)
        if not self.console.is_terminal or split != "train":
            self.console.print(
                f"step {step:>6} {split:<5} {shown}{left}", highlight=False, soft_wrap=True
            )

    def advance(self, step: int) -> None:
        self._progress.update(self._task, completed=step)

    def close(self) -> None:
        self._progress.stop()
