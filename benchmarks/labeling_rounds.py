"""Does labeling what `predict --suggest` suggests teach more than labeling at random?

    python -m benchmarks.labeling_rounds --root VIDEOS --lists LISTS --out rounds.jsonl

Each seed starts from the same few labeled videos per class for both arms. A round trains a network
from scratch on the labeled videos, tests it on the test split, and labels more: the videos that
`predict --suggest --suggest-whole` suggests, or as many random ones. The true labels stand in for
the person who labels. Labels are in CSV lists, which `--data csv` reads.

Finished trainings are kept in the file of `--out`, so an interrupted call can be repeated. At the
end the table is printed and, with `--page`, written into that page between its marks.
"""

import argparse
import csv
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from afn_jax.atomic import write_atomically
from afn_jax.command.accelerator import start_jax
from afn_jax.data.config import DataConfig
from afn_jax.data.source import Source
from afn_jax.data.sources import create_source
from afn_jax.data.transforms.views import Views
from afn_jax.predict.engine import predict_video
from afn_jax.predict.settings import Settings
from afn_jax.predict.suggest.suggestions import Suggestions
from eval.action import evaluate
from eval.predict import load_predict
from eval.run_network import load_run
from train.config import TrainConfig
from train.loop import train
from train.recipes import RECIPES

ARMS = ("suggested", "random")
ALL = "all"  # a training on all videos, to compare with
MARKS = ("<!-- table: begin -->", "<!-- table: end -->")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is labeled when.

    Attributes:
        first: labeled videos per class at the start.
        step: videos labeled per round.
        rounds: number of rounds after the first training.
        views: clips per video in tests.
        every: seconds from one window to the next for suggestions.
    """

    first: int = 2
    step: int = 8
    rounds: int = 3
    views: int = 5
    every: float = 0.5


def settings(root: str, lists: str, seed: int, run_dir: str, steps: int) -> TrainConfig:
    """Returns the settings of a training: a small ResNet-18 on single frames."""
    config = RECIPES["actionflownet"]["scratch-2f"]["toy"]
    data = dataclasses.replace(
        config.data,
        source="csv",
        root=root,
        annotations=lists,
        num_frames=1,
        size=(64, 64),
        short_side=72,
        crop_scales=(1.0, 0.875, 0.75),
        flip=True,
    )
    return dataclasses.replace(
        config,
        data=data,
        seed=seed,
        run_dir=run_dir,
        steps=steps,
        model=dataclasses.replace(config.model, name="resnet18", width=16, dropout_rate=0.2),
        optim=dataclasses.replace(config.optim, warmup_steps=steps // 20),
        test_every=0,
        checkpoint_every=steps,
        keep_checkpoints=1,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", required=True, help="folder of the videos, one per class below")
    parser.add_argument("--lists", default="", help="lists of the splits, in UCF101's format")
    parser.add_argument("--out", type=Path, default=Path("runs/labeling_rounds.jsonl"))
    parser.add_argument("--page", type=Path, help="page whose table is rewritten")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="training steps per round")
    options = parser.parse_args(arguments)
    # JAX's CPU cache warns about harmless differences between machines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    start_jax(".cache/jax")
    plan = Plan()
    videos = DataConfig(source="video-folder", root=options.root, annotations=options.lists)
    pool, test = (create_source(videos, split, 0) for split in ("train", "test"))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = Rows(options.out)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            work = Work(plan, pool, test, options.root, Path(folder), seed, options.steps)
            for arm in ARMS:
                _run_arm(work, rows, arm)
            if rows.find(seed, ALL, 0) is None:
                rows.add(seed, ALL, 0, work.measure(range(len(pool)))[0], range(len(pool)))
    table = describe(rows.rows, plan)
    print(table)
    if options.page:
        before, rest = options.page.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        write_atomically(options.page, f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}")


class Rows:
    """Finished trainings, one JSON object per line of a file."""

    def __init__(self, path: Path):
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def find(self, seed: int, arm: str, number: int) -> dict | None:
        """Returns the row of a training; both arms share that of round 0."""
        key = (seed, arm if number else ARMS[0] if arm in ARMS else arm, number)
        return next((r for r in self.rows if (r["seed"], r["arm"], r["round"]) == key), None)

    def add(self, seed, arm, number, top1, labeled, suggested=()) -> dict:
        row = {"seed": seed, "arm": arm, "round": number, "top1": top1}
        row |= {"labeled": sorted(map(int, labeled)), "suggested": list(map(int, suggested))}
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"seed {seed} {arm} round {number}: {len(row['labeled'])} labels, top-1 {top1:.3f}",
            flush=True,
        )
        return row


@dataclasses.dataclass
class Work:
    """Trains and tests on some labeled videos of the pool."""

    plan: Plan
    pool: Source
    test: Source
    root: str
    folder: Path
    seed: int
    steps: int

    def start(self) -> list[int]:
        """Returns `plan.first` random videos of each class."""
        rng = np.random.default_rng([self.seed, 0])
        labels = np.array([self.pool[i].label for i in range(len(self.pool))])
        return [
            int(i)
            for label in range(len(self.pool.class_names))
            for i in rng.choice(np.flatnonzero(labels == label), self.plan.first, replace=False)
        ]

    def measure(self, labeled: Sequence[int], suggest: bool = False) -> tuple[float, list[int]]:
        """Trains on the labeled videos; returns the accuracy and the suggestions, if wanted."""
        lists, run_dir = self.folder / "lists", self.folder / "run"
        for path in (lists, run_dir):
            shutil.rmtree(path, ignore_errors=True)
        lists.mkdir()
        _write_list(lists / "train.csv", self.pool, labeled)
        _write_list(lists / "test.csv", self.test, range(len(self.test)))
        config = settings(self.root, str(lists), self.seed, str(run_dir), self.steps)
        train(config, Console(quiet=True))
        predict, _ = load_predict(run_dir, config, len(self.test.class_names))
        tested = evaluate(predict, self.test, config.data, Views(self.plan.views), 30)
        top1 = float((tested.probabilities.argmax(1) == tested.labels).mean())
        return top1, self._suggest(run_dir, labeled) if suggest else []

    def _suggest(self, run_dir: Path, labeled: Sequence[int]) -> list[int]:
        """Returns what `predict --suggest --suggest-whole` suggests of the other videos."""
        suggestions = Suggestions(self.plan.step, self.pool.class_names, whole_videos=True)

        def on_window(path, result, frames):
            window = result.window
            suggestions.add(
                path, window.start, window.end, result.probabilities, frames, result.features
            )

        network = load_run(run_dir, features=True)
        wanted = Settings(film=False, features=True, every=self.plan.every, batch_size=8)
        by_path = {str(self.pool[i].path): i for i in range(len(self.pool)) if i not in labeled}
        out = self.folder / "predicted"
        out.mkdir(exist_ok=True)
        for path in by_path:
            predict_video(path, "video", out, network, wanted, on_window=on_window)
        return [by_path[item.path] for item in suggestions.choose()]


def _run_arm(work: Work, rows: Rows, arm: str) -> None:
    rng = np.random.default_rng([work.seed, 1])
    labeled = work.start()
    for number in range(work.plan.rounds + 1):
        row = rows.find(work.seed, arm, number)
        if row is None:
            suggest = number < work.plan.rounds and arm == ARMS[0]
            top1, suggested = work.measure(labeled, suggest)
            row = rows.add(work.seed, arm, number, top1, labeled, suggested)
        more = row["suggested"]
        if number < work.plan.rounds and arm == "random":
            rest = sorted(set(range(len(work.pool))) - set(labeled))
            more = [int(i) for i in rng.choice(rest, work.plan.step, replace=False)]
        labeled = [*labeled, *more]


def _write_list(path: Path, source: Source, indices: Sequence[int]) -> None:
    """Writes the CSV list that a person would have after labeling these videos."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        for index in indices:
            video = source[index]
            writer.writerow((video.name, source.class_names[video.label]))


def describe(rows: Sequence[dict], plan: Plan) -> str:
    """Returns the table of the accuracy by round, in Markdown."""
    seeds = sorted({row["seed"] for row in rows})
    found = {(row["seed"], row["arm"], row["round"]): row for row in rows}
    count = len(found[seeds[0], ARMS[0], 0]["labeled"])
    lines = ["| labeled videos | suggested | random | difference |", "|---|---|---|---|"]
    start = [found[seed, ARMS[0], 0]["top1"] for seed in seeds]
    lines.append(f"| {count}, the same for both | {_spread(start)} | {_spread(start)} | |")
    for number in range(1, plan.rounds + 1):
        ours, theirs = (
            [found[seed, arm, number]["top1"] for seed in seeds if (seed, arm, number) in found]
            for arm in ARMS
        )
        if len(ours) == len(theirs) == len(seeds):
            difference = _spread(np.subtract(ours, theirs), "+")
            labels = count + number * plan.step
            lines.append(f"| {labels} | {_spread(ours)} | {_spread(theirs)} | {difference} |")
    best = [found[seed, ALL, 0]["top1"] for seed in seeds if (seed, ALL, 0) in found]
    if best:
        total = len(found[seeds[0], ALL, 0]["labeled"])
        lines.append(f"| all {total} | {_spread(best)} | {_spread(best)} | |")
    return "\n".join(lines)


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Returns the mean and, in parentheses, each value."""
    each = ", ".join(f"{value:{sign}.2f}" for value in values)
    return f"{np.mean(values):{sign}.3f} ({each})"


if __name__ == "__main__":
    main()
