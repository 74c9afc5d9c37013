"""Chains of stages: a run that starts from the checkpoint of a former run, part by part.

Every array of either network is accounted for. What begins with OLD in the former run is found at
NEW in this one (`init.run_map`); what then has no partner of the same shape is a difference. All of
them are printed, and those that `init.run_skip` does not excuse are an error.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from rich.console import Console

from afn_jax.data.config import DataConfig
from train.checkpoint import has_checkpoint, load_config, load_state
from train.config import InitConfig, TrainConfig, default_run_dir
from train.recipes import RECIPES
from train.state import TrainState, with_variables


@dataclasses.dataclass(frozen=True)
class StartReport:
    """What became of each array; names are paths such as encoder/conv1/kernel.

    Attributes:
        loaded: arrays of this network that come from the former run.
        fresh: those that stay as they were drawn.
        unused: arrays of the former run that this network has no place for, by their new names.
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} arrays loaded"]
        for title, names in (("fresh here", self.fresh), ("unused there", self.unused)):
            lines += [f"  {title}: {_by_layer(names)}"] if names else []
        return "\n".join(lines)


def start_from_run(
    state: TrainState, init: InitConfig, data: DataConfig | None = None
) -> tuple[TrainState, str]:
    """A fresh state with the parameters and statistics of `init.run` in their places.

    A run with a moving average of its parameters hands on the average.

    Args:
        state: fresh.
        init: which run, and how.
        data: of this run; None: whether the splits are the same is not checked.

    Returns:
        The state, and what became of each array.

    Raises:
        ValueError: the run is not there, it learned the actions of another split of the same
            dataset, or an array on either side has no partner and no excuse.
        CheckpointError: its checkpoints cannot be read.
    """
    if not has_checkpoint(Path(init.run)):
        raise ValueError(
            f"init.run: {init.run} holds no checkpoint to start from. "
            + _how_to_make(init.run)
            + " Or give the folder of another run: --init.run DIR."
        )
    former = load_config(Path(init.run))
    if data is not None:
        _check_split(former, data, init.run)
    saved = load_state(Path(init.run), None)
    params = saved["params"]
    if isinstance(saved["opt_state"], dict) and "average" in saved["opt_state"]:
        params = saved["opt_state"]["average"]
    variables, report = graft(
        {"params": state.params, "batch_stats": state.batch_stats},
        {"params": params, "batch_stats": saved.get("batch_stats") or {}},
        init,
    )
    step, steps = int(saved["step"]), former.steps
    unfinished = f"; warning: it ended at step {step} of {steps}" if step < steps else ""
    return (
        with_variables(state, variables["params"], variables["batch_stats"]),
        f"{init.run}, step {step}: {report}{unfinished}",
    )


def graft(
    new: dict[str, Any], former: dict[str, Any], init: InitConfig
) -> tuple[dict[str, Any], StartReport]:
    """`new` with the arrays of `former` in their places; trees of "params" and "batch_stats".

    Raises:
        ValueError: a rule of `init.run_map` or `init.run_skip` that is none, two arrays with one
            place, nothing to load, or a difference that is not excused.
    """
    rules = _parse_map(init.run_map)
    excuses = _compile(init.run_skip)
    result, loaded, fresh, unused, problems = {}, [], [], [], []
    for collection, tree in new.items():
        here = flatten_dict(tree, sep="/")
        there = {}
        for path, value in flatten_dict(former.get(collection, {}), sep="/").items():
            place = _move(path, rules)
            if place in there:
                raise ValueError(f"init.run_map: two arrays of the run are moved to {place}.")
            there[place] = value
        for path in sorted(here.keys() | there.keys()):
            mine, theirs = here.get(path), there.get(path)
            if mine is not None and theirs is not None and mine.shape == np.shape(theirs):
                here[path] = theirs
                loaded.append(path)
                continue
            fresh += [path] if mine is not None else []
            unused += [path] if theirs is not None else []
            if not any(excuse.search(path) for excuse in excuses):
                problems.append(_difference(path, mine, theirs))
        result[collection] = unflatten_dict(here, sep="/")
    if problems or not loaded:
        listed = "".join(f"\n  {problem}" for problem in problems) or "\n  no array is in both"
        raise ValueError(
            f"init.run: the networks differ:{listed}\nMove parts with --init.run-map 'OLD->NEW', "
            "and name what may differ with --init.run-skip REGEX."
        )
    return result, StartReport(tuple(loaded), tuple(fresh), tuple(unused))


def _check_split(former: TrainConfig, data: DataConfig, run: str) -> None:
    """What one split trains on, another tests on: labels must not come from there."""
    same = former.data.source == data.source and former.data.annotations == data.annotations
    if same and former.objective.action and former.data.list_number != data.list_number:
        raise ValueError(
            f"init.run: {run} learned the actions of split {former.data.list_number} of "
            f"{data.source}, whose training videos are test videos of split {data.list_number}, "
            f"which this run is of (data.list_number). Train the stage before on split "
            f"{data.list_number} in a folder of its own (--run-dir), and name it: --init.run DIR."
        )


def command_of(config: TrainConfig) -> str:
    """The command line that makes a run of a recipe."""
    stage = f" --stage {config.stage}" if config.stage else ""
    scale = f" --scale {config.scale}" if config.scale != "paper" else ""
    return f"python -m train {config.recipe}{stage}{scale}"


def _how_to_make(run: str) -> str:
    for stages in RECIPES.values():
        for scales in stages.values():
            for config in scales.values():
                if Path(default_run_dir(config)) == Path(run):
                    return f"Run the stage before: {command_of(config)}"
    return "Run the command that makes it first."


def _difference(path: str, mine: Any, theirs: Any) -> str:
    if theirs is None:
        return f"{path} is only in this network"
    if mine is None:
        return f"{path} is only in the run"
    return f"{path} has shape {mine.shape} in this network, {np.shape(theirs)} in the run"


def _parse_map(rules: tuple[str, ...]) -> list[tuple[str, str]]:
    parsed = []
    for rule in rules:
        old, arrow, new = rule.partition("->")
        if not arrow:
            raise ValueError(
                f"init.run_map: got {rule!r}, but each must be OLD->NEW, as '->motionnet/'."
            )
        parsed.append((old, new))
    return parsed


def _move(path: str, rules: list[tuple[str, str]]) -> str:
    for old, new in rules:
        if path.startswith(old):
            return new + path.removeprefix(old)
    return path


def _compile(patterns: tuple[str, ...]) -> list[re.Pattern]:
    try:
        return [re.compile(pattern) for pattern in patterns]
    except re.error as error:
        raise ValueError(
            f"init.run_skip: got {patterns}, which is no list of regular expressions ({error})."
        ) from None


def _by_layer(names: tuple[str, ...]) -> str:
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, _, leaf = name.rpartition("/")
        layers.setdefault(layer, []).append(leaf)
    return ", ".join(f"{layer} ({', '.join(leaves)})" for layer, leaves in layers.items())


def keep_start(config: TrainConfig, former: TrainConfig, console: Console) -> TrainConfig:
    """The settings with what the run did start from, which a resumed one does not read again."""
    started = {name: getattr(former.init, name) for name in ("run", "weights")}
    for name, value in started.items():
        now = getattr(config.init, name)
        if now != value:
            console.print(
                f"warning: init.{name}: {now!r} is not read: this run has started already, from "
                f"{value!r}. For another start choose another --run-dir.",
                style="yellow",
                soft_wrap=True,
            )
    return dataclasses.replace(config, init=dataclasses.replace(config.init, **started))
