"""Where the numbers of a run go: `metrics.jsonl`, TensorBoard event files and the terminal."""

import json
import time
from collections.abc import Sequence
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

    Rows after `resume_step` are dropped first: a resumed run writes them again.
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
    """The rows of `metrics.jsonl`; a last line cut short by a crash is left out."""
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
    """Adds to the list of files that were left out, each once, for the report."""
    known = dict.fromkeys([*read_skipped(run_dir), *skipped])
    rows = [[item.path, item.reason] for item in known]
    write_atomically(run_dir / SKIPPED_FILE, json.dumps(rows, indent=1) + "\n")


def read_skipped(run_dir: Path) -> list[Skipped]:
    """What `add_skipped` kept; empty if there is no such list.

    A damaged list names itself as what was left out: it must not stop a run or its evaluation.
    """
    path = Path(run_dir) / SKIPPED_FILE
    if not path.exists():
        return []
    try:
        return [Skipped(str(file), str(reason)) for file, reason in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        return [Skipped(str(path), f"the list of skipped files is damaged: {error}")]


class Terminal:
    """A progress bar with speed and time left; plain lines where there is no terminal."""

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
        """Steps and clips a second since the last call; empty at the first, which compiles."""
        now = time.perf_counter()
        speed = {}
        if self._mark is not None and step > self._mark[0]:
            rate = (step - self._mark[0]) / (now - self._mark[1] - self._paused)
            speed = {"steps_per_second": rate, "clips_per_second": rate * self._batch_size}
        self._mark = (step, now)
        self._paused = 0.0
        return speed

    def exclude(self, seconds: float) -> None:
        """Leaves seconds of testing or saving out of the speed."""
        self._paused += seconds

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
