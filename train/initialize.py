"""Where the parameters of a run come from.

1. The newest readable checkpoint of its own folder, if there is one.
2. Otherwise parameters drawn from the seed, replaced where possible by the arrays of the earlier
   run `init.run`, and then by the published weights `init.weights`.

For both kinds of source, `part` is the subtree of the source that is loaded, `at` the subtree of
this network that it is loaded into, and `skip` what may stay fresh or unused. Any other difference
is an error, and all of them are printed.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from rich.console import Console

from afn_jax.data.config import DataConfig
from afn_jax.data.sources import source_spec
from afn_jax.weights import ARCHITECTURES, initialize_from, parse_renames
from train.checkpoint import Checkpoints, has_checkpoint, load_config, load_record, load_state
from train.class_names import class_table, have_equal_names, same_classes
from train.config import InitConfig, TrainConfig, default_run_dir
from train.data_changes import unrecorded
from train.graft import GraftReport, graft
from train.recipes import RECIPES
from train.saved_classes import CLASSIFIER
from train.state import TrainState, with_variables

# Networks that torchvision names differently.
_PUBLISHED = {"r3d18": "r3d_18", "r2plus1d18": "r2plus1d_18"}


def initialize(
    state: TrainState,
    config: TrainConfig,
    checkpoints: Checkpoints,
    console: Console,
    class_names: Sequence[str],
) -> tuple[TrainState, dict[str, Any] | None]:
    """Gives a run its parameters.

    Args:
        state: fresh, from the seed.
        config: the settings of the run.
        checkpoints: of the run folder.
        console: where the sources are reported.
        class_names: of the training videos, by label.

    Returns:
        The state, and the position of the data iterator; None for a run that starts now.

    Raises:
        ValueError: see `from_run` and `from_weights`.
        CheckpointError: there are checkpoints, but none can be read.
    """
    restored = checkpoints.restore(state)
    if restored is not None:
        for warning in checkpoints.warnings:
            console.print(f"warning: {warning}", style="yellow")
        return restored
    if config.init.run:
        classes = class_names if config.objective.action else None
        state, report = from_run(state, config.init, config.data, classes)
        console.print(f"started from {report}", highlight=False, soft_wrap=True, markup=False)
    if config.init.weights:
        state, report = from_weights(state, config.init, config.model.name)
        console.print(f"{config.init.weights}: {report}", highlight=False, soft_wrap=True)
    return state, None


def keep_start(config: TrainConfig, saved: TrainConfig, console: Console) -> TrainConfig:
    """The settings of a resumed run with the sources that it started from.

    A resumed run does not read them again: different ones are reported with a warning.
    """
    for field in dataclasses.fields(InitConfig):
        asked, used = (getattr(c.init, field.name) for c in (config, saved))
        # run_skip decides only whether a start is an error.
        if asked != used and field.name != "run_skip":
            console.print(
                f"warning: init.{field.name}: {asked!r} is not read: this run has already started, "
                f"with {used!r}. For a different start, choose another --run-dir.",
                style="yellow",
                soft_wrap=True,
            )
    return dataclasses.replace(config, init=saved.init)


def from_run(
    state: TrainState,
    init: InitConfig,
    data: DataConfig | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[TrainState, str]:
    """Puts the parameters and batch statistics of the earlier run `init.run` into a fresh state.

    An earlier run that kept a moving average of its parameters hands on the average. A classifier
    of other classes is not loaded: it stays fresh if `init.run_skip` matches it.

    Args:
        state: fresh.
        init: which run, and which parts of it.
        data: of this run; None: does not check that both use the same split.
        class_names: of this run, by label; None: does not compare them with those of the earlier
            run.

    Returns:
        The state, and what became of each array.

    Raises:
        ValueError: the run does not exist, it learned the actions of another split of the same
            dataset, its classifier has other classes, or an array on either side has no counterpart
            and is not skipped.
        CheckpointError: its checkpoints cannot be read.
    """
    if not has_checkpoint(Path(init.run)):
        raise ValueError(
            f"init.run: {init.run} holds no checkpoint to start from. "
            f"{_how_to_make(init.run)}\nOr give the folder of another run: --init.run DIR."
        )
    former = load_config(Path(init.run))
    if data is not None:
        _check_split(former, data, init.run)
    saved = load_state(Path(init.run), None)
    params = saved["params"]
    if isinstance(saved["opt_state"], dict) and "average" in saved["opt_state"]:
        params = saved["opt_state"]["average"]
    new = {"params": state.params, "batch_stats": state.batch_stats}
    arrays = {"params": params, "batch_stats": saved.get("batch_stats") or {}}
    variables, report = graft(new, arrays, **run_parts(init))
    remark = ""
    if class_names is not None and former.objective.action:
        other, remark = _other_classifier(former, init, class_names, report)
        if other:
            kept = flatten_dict(params, sep="/")
            kept = {path: value for path, value in kept.items() if not CLASSIFIER.search(path)}
            arrays["params"] = unflatten_dict(kept, sep="/")
            variables, report = graft(new, arrays, **run_parts(init))
    step, steps = int(saved["step"]), former.steps
    unfinished = f"; warning: it ended at step {step} of {steps}" if step < steps else ""
    return (
        with_variables(state, variables["params"], variables["batch_stats"]),
        f"{init.run}, step {step}: {report}{unfinished}{remark}",
    )


def _other_classifier(
    former: TrainConfig, init: InitConfig, class_names: Sequence[str], report: GraftReport
) -> tuple[bool, str]:
    """Returns whether the loaded classifier must be dropped, as its classes differ, and a remark.

    Raises:
        ValueError: it must be dropped, but `init.run_skip` does not excuse that.
    """
    loaded = [path for path in report.loaded if CLASSIFIER.search(path)]
    if not loaded:
        return False, ""
    _, record = load_record(Path(init.run))
    if record is None:
        generated = source_spec(former.data.source).generated
        return False, "" if generated else f"; warning: {unrecorded(init.run)}"
    if same_classes(record.class_names, class_names):
        return False, ""
    if all(any(re.search(skip, path) for skip in init.run_skip) for path in loaded):
        return True, "; its classifier has other classes, so the one here stays fresh"
    table = class_table(record.class_names, class_names, (init.run, "data"))
    keep = ""
    if have_equal_names(record.class_names, class_names):
        keep = "; to keep it, give the classes in the run's order with --data.classes"
    raise ValueError(
        f"init.run: the classifier of {init.run} has other classes:\n{table}\nTo start with a "
        f"fresh classifier, add --init.run-skip '{CLASSIFIER.pattern}'{keep}."
    )


def run_parts(init: InitConfig) -> dict[str, Any]:
    """How the arrays of an earlier run are placed: the keyword arguments of `graft`."""
    return {"part": init.run_part, "at": init.run_at, "skip": init.run_skip}


def from_weights(state: TrainState, init: InitConfig, model_name: str) -> tuple[TrainState, str]:
    """Puts published weights into a state.

    Returns:
        The state, and what became of each array.

    Raises:
        ValueError: no such file or architecture, or an array on either side that fits nothing.
    """
    architecture = init.architecture or _PUBLISHED.get(model_name, model_name)
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"init.architecture: got {architecture!r}; name the network that the weights belong "
            f"to: {', '.join(ARCHITECTURES)}."
        )
    variables, report = initialize_from(
        {"params": state.params, "batch_stats": state.batch_stats},
        init.weights,
        architecture,
        rename=parse_renames(init.rename, "init.rename"),
        ignore=init.ignore,
        **weight_parts(init),
    )
    batch_stats = variables.get("batch_stats", state.batch_stats)
    return with_variables(state, variables["params"], batch_stats), str(report)


def weight_parts(init: InitConfig) -> dict[str, Any]:
    """How published weights are placed: the keyword arguments of `afn_jax.weights.load_into`."""
    return {
        "part": init.part,
        "at": init.at or None,
        "skip": init.skip,
        "inflate": init.inflate,
        "input_channels": None if init.input_channels == "rgb" else init.input_channels,
    }


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
                    return f"Run the earlier stage first:\n  {command_of(config)}"
    return "Run the command that makes it first."


def _check_split(former: TrainConfig, data: DataConfig, run: str) -> None:
    """Refuses a run that learned from labels of this run's test videos."""
    same = former.data.source == data.source and former.data.annotations == data.annotations
    if same and former.objective.action and former.data.list_number != data.list_number:
        raise ValueError(
            f"init.run: {run} learned the actions of split {former.data.list_number} of "
            f"{data.source}, whose training videos include test videos of split "
            f"{data.list_number}, which this run uses (data.list_number). Train the earlier stage "
            f"on split {data.list_number} in a separate folder (--run-dir), and pass that folder: "
            "--init.run DIR."
        )
