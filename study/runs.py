"""Runs of the study: trains an arm stage by stage, evaluates it and stores its numbers.

The folder of a run is named after its stages, so arms share the runs of their first stages, and a
study that was interrupted continues.

With several processes (`train.hosts`), all of them train and evaluate each run together, in a
shared folder. Process 0 decides what is missing, and writes.
"""

import dataclasses
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from eval.action import ActionConfig, run_action
from eval.scores import accuracy, fuse, load_scores
from study.data import StudyData
from study.findings import Fused, Stage
from train.checkpoint import CONFIG_FILE, load_config
from train.config import TrainConfig, flatten, without_unread_flow
from train.hosts.together import by_first, found_by_first
from train.loop import train
from train.recipes import RECIPES
from train.writers import read_metrics

NUMBERS = "numbers.json"
# DONE, in the folder of a finished run, holds the time at which it finished. A run that starts from
# another keeps the other's time beside its own folder, in a file that ends in FORMER.
DONE = "done"
FORMER = ".former"
# Settings that may differ between a run folder and the run that belongs there. They say where files
# are; `init.run_skip` decides only whether starting from the earlier run is an error.
SAME_RUN = {
    "run_dir",
    "init.run",
    "init.run_skip",
    "data.root",
    "data.annotations",
    "compilation_cache",
}


class Stopped(Exception):
    """A signal ended the training, after a checkpoint was saved."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Dataset, fold, seed, scale and folder of one replication of an arm."""

    folder: Path
    data: StudyData
    fold: int
    seed: int
    scale: str

    def run_dir(self, stages: tuple[Stage, ...]) -> Path:
        """Returns the folder of the last of these stages."""
        name = "_".join(_slug(stage) for stage in stages)
        return (
            self.folder / self.data.name / self.scale / name / f"fold-{self.fold}-seed-{self.seed}"
        )


def configure(stages: tuple[Stage, ...], place: Place) -> TrainConfig:
    """Returns the settings of the last of these stages, which starts from the one before it."""
    stage = stages[-1]
    config = RECIPES[stage.recipe][stage.stage]["toy"]
    config = place.data.adapt(config, place.fold)
    config = with_fields(config, dict(stage.changes))
    if place.scale == "gpu":
        config = _larger(config)
    config = with_fields(
        config,
        {
            "seed": place.seed,
            "run_dir": str(place.run_dir(stages)),
            "model.options": (*config.model.options, *stage.options),
            "test_every": 0,
            "checkpoint_every": 1000,
            "keep_checkpoints": 1,
            "log_every": max(1, config.steps // 50),
        },
    )
    if len(stages) > 1:
        config = with_fields(config, {"init.run": str(place.run_dir(stages[:-1]))})
    return config


def run_arm(stages: tuple[Stage, ...], place: Place) -> dict[str, float]:
    """Trains the missing stages of an arm, evaluates the last one and returns its numbers.

    A run whose settings differ, for example because its recipe was changed, is removed and trained
    again, finished or not; so are the runs that started from it.

    Raises:
        Stopped: a signal ended the training.
        ValueError: settings that contradict each other.
    """
    former = ""
    for count in range(1, len(stages) + 1):
        config = configure(stages[:count], place)
        run_dir = Path(config.run_dir)
        done = run_dir / DONE
        if not found_by_first(_is_done, config, former):
            result = train(config, Console(quiet=True))
            if result.finished:
                by_first(done.write_text, str(time.time_ns()))
            if result.signaled or not result.finished:
                raise Stopped
        former = found_by_first(done.read_text)
    run_dir = place.run_dir(stages)
    if numbers := found_by_first(_read_numbers, run_dir):
        return numbers
    evaluated = run_action(
        ActionConfig(run=(str(run_dir),), examples=0, batch_size=64, estimate_flow=True),
        Console(quiet=True),
    )[0]
    return found_by_first(_keep_numbers, run_dir, evaluated)


def _is_done(config: TrainConfig, former: str) -> bool:
    """Whether a run is finished. Otherwise its folder is prepared; an unfitting one is removed."""
    run_dir = Path(config.run_dir)
    started_from = run_dir.with_name(run_dir.name + FORMER)
    if not (_is_of(config) and started_from.exists() and started_from.read_text() == former):
        shutil.rmtree(run_dir, ignore_errors=True)
    if (run_dir / DONE).exists():
        return True
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    started_from.write_text(former)
    return False


def _read_numbers(run_dir: Path) -> dict[str, float]:
    kept = run_dir / NUMBERS
    return json.loads(kept.read_text()) if kept.exists() else {}


def _keep_numbers(run_dir: Path, evaluated: dict[str, Any]) -> dict[str, float]:
    numbers = {
        name: float(evaluated[name])
        for name in ("top1", "chance", "epe", "zero_flow_epe", "num_videos")
        if name in evaluated
    } | learning(run_dir)
    (run_dir / NUMBERS).write_text(json.dumps(numbers, indent=1) + "\n")
    return numbers


def _is_of(config: TrainConfig) -> bool:
    """Whether the run folder does not exist yet or holds a run with these settings."""
    run_dir = Path(config.run_dir)
    if not (run_dir / CONFIG_FILE).exists():
        return not run_dir.exists()
    try:
        there, here = flatten(load_config(run_dir)), flatten(without_unread_flow(config))
    except ValueError:
        return False
    return all(there[name] == here[name] for name in here if name not in SAME_RUN)


def fused_arm(fused: Fused, arms: dict[str, Any], place: Place) -> dict[str, float]:
    """Computes the accuracy of two arms' fused scores; missing runs are trained first."""
    names = (fused.spatial, fused.temporal)
    for name in names:
        run_arm(arms[name], place)
    return found_by_first(_fused_numbers, fused, [place.run_dir(arms[name]) for name in names])


def _fused_numbers(fused: Fused, runs: list[Path]) -> dict[str, float]:
    streams = [load_scores(run) for run in runs]
    scores = fuse(streams, fused.weights, "probabilities")
    chance = 1 / len(streams[0].class_names)
    return accuracy(scores, streams[0].labels) | {
        "chance": chance,
        "num_videos": float(len(scores)),
    }


def learning(run_dir: Path) -> dict[str, float]:
    """Computes numbers from the logged rows of the training.

    Returns:
        `train_top1`, the accuracy in the last tenth of the rows, and `fall_cross_entropy` and
        `fall_flow`, the ratio of a loss in the last tenth to the same loss in the first tenth.
        `fall_flow` is for the sum of all terms but the cross-entropy.
    """
    rows = [row for row in read_metrics(run_dir) if row["split"] == "train"]
    tenth = max(1, len(rows) // 10)
    first, last = (
        {name: float(np.mean([row[name] for row in part])) for name in part[0] if name != "split"}
        for part in (rows[:tenth], rows[-tenth:])
    )
    found = {"train_top1": last["top1"]} if "top1" in last else {}
    if "cross_entropy" in last:
        found["fall_cross_entropy"] = last["cross_entropy"] / first["cross_entropy"]
        flow = [part["loss"] - part["cross_entropy"] for part in (first, last)]
        if abs(flow[0]) > 1e-9:
            found["fall_flow"] = flow[1] / flow[0]
    return found


def with_fields(config: Any, fields: dict[str, Any]) -> Any:
    """Returns a copy of nested frozen dataclasses with dotted fields changed.

    Raises:
        ValueError: a field that does not exist.
    """
    for dotted, value in fields.items():
        name, _, rest = dotted.partition(".")
        if name not in {field.name for field in dataclasses.fields(config)}:
            raise ValueError(f"{dotted}: {type(config).__name__} has no field {name!r}.")
        if rest:
            value = with_fields(getattr(config, name), {rest: value})
        config = dataclasses.replace(config, **{name: value})
    return config


def _larger(config: TrainConfig) -> TrainConfig:
    """Scales a toy run up for a GPU: 64 x 64, 16 frames, four times the width, ten times the steps.

    Networks of one or two frames keep that number. Hidden Two-Stream gets 11 frames, the window of
    MotionNet in the paper. All factors are guessed, like the toy scale.
    """
    frames = config.data.num_frames
    if 2 < frames < 16:
        frames = 11 if config.recipe == "hidden-two-stream" else 16
    return with_fields(
        config,
        {
            "steps": 10 * config.steps,
            "batch_size": 4 * config.batch_size,
            "model.width": 4 * config.model.width,
            "data.size": (64, 64),
            "data.short_side": 80,
            "data.num_frames": frames,
            "data.num_threads": 8,
        },
    )


def _slug(stage: Stage) -> str:
    name = "-".join(filter(None, (stage.recipe, stage.stage)))
    if not (stage.options or stage.changes):
        return name
    changed = repr((stage.options, stage.changes)).encode()
    return f"{name}-{hashlib.sha256(changed).hexdigest()[:8]}"
