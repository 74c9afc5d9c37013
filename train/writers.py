"""Writes the metrics of a run to `metrics.jsonl`, TensorBoard and the terminal."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from tensorboardX import SummaryWriter

from afn_jax.atomic import write_atomically
from afn_jax.data.source import Skipped

SKIPPED_FILE = "skipped.json"


class MetricsWriter:
    """Appends rows to `metrics.jsonl` and scalars to TensorBoard.

    First drops rows after `resume_step`, which a resumed run writes again.
    """

    def __init__(self, run_dir: Path, resume_step: int):
        self._path = run_dir / "metrics.jsonl"
        kept = [row for row in read_metrics(run_dir) if row["step"] <= resume_step]
        write_atomically(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=resume_step + 1)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        self._board.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Reads the rows of `metrics.jsonl`, without a last line that a crash truncated."""
    path = Path(run_dir) / "metrics.jsonl"
    rows = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def add_skipped(run_dir: Path, skipped: Sequence[Skipped]) -> None:
    """Adds to the list of skipped files for the report, each file once."""
    known = dict.fromkeys([*read_skipped(run_dir), *skipped])
    rows = [[item.path, item.reason] for item in known]
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
    except (ValueError, TypeError) as error:
        return [Skipped(str(path), f"the list of skipped files is damaged: {error}")]


class Terminal:
    """A progress bar with speed and time left; plain lines if the output is not a terminal."""

    def __init__(self, total_steps: int, batch_size: int, console: Console):
        self.console = console
        self._batch_size = batch_size
        self._total = total_steps
        self._mark: tuple[int, float] | None = None
        self._paused = 0.0
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
            rate = (step - self._mark[0]) / (now - self._mark[1] - self._paused)
            speed = {"steps_per_second": rate, "clips_per_second": rate * self._batch_size}
        self._mark = (step, now)
        self._paused = 0.0
        return speed

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
