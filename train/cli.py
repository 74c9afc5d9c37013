"""The command line of `python -m train`: a recipe, its stage, and any field of its settings."""

import sys
import textwrap

import tyro

from afn_jax.data.config import expand_data_option
from afn_jax.data.sources import list_sources, source_spec
from afn_jax.models import list_models
from afn_jax.near_names import did_you_mean
from train.config import TrainConfig
from train.config_file import OLD_OBJECTIVES
from train.flow_losses import list_flow_losses
from train.recipes import RECIPES

ALL = "all"


def parse(arguments: list[str]) -> TrainConfig:
    """Parses a command line into settings; errors end the program with a message."""
    configs = parse_chain(arguments)
    if len(configs) > 1:
        _fail(f"--stage {ALL} stands for several runs; name one stage.")
    return configs[0]


def parse_chain(arguments: list[str]) -> list[TrainConfig]:
    """The same for a chain of stages: `--stage all` gives every stage of the recipe, in order."""
    recipe, rest = _recipe(arguments)
    scale, rest = _option(rest, "--scale", "paper", "toy")
    stage, rest = _option(rest, "--stage", "", ALL)
    stages = RECIPES[recipe]
    named = [name for name in stages if name]
    if stage == ALL and named:
        for option in ("--run-dir", "--run_dir", "--init.run"):
            if any(a == option or a.startswith(f"{option}=") for a in rest):
                _fail(f"{option} is for a single run. Use it with one --stage.")
        return [_one(recipe, name, scale, rest) for name in named]
    if stage not in stages:
        if not stage:
            _fail(f"recipe {recipe} has stages: add --stage {ALL}, or one of\n{_list(named)}")
        if not named:
            _fail(f"--stage: got {stage!r}, recipe {recipe} has no stages: leave it out.")
        hint = did_you_mean(stage, named)
        _fail(
            f"--stage: got {stage!r}. {hint}\nStages of {recipe}, or {ALL} of them:\n{_list(named)}"
        )
    return [_one(recipe, stage, scale, rest)]


def _one(recipe: str, stage: str, scale: str, rest: list[str]) -> TrainConfig:
    scales = RECIPES[recipe][stage]
    if scale not in scales:
        _fail(f"--scale: got {scale!r}, recipe {recipe} has {', '.join(scales)}.")
    what = (
        f"Recipe {recipe}, "
        + (f"stage {stage}, " if stage else "")
        + f"scale {scale} (scales: {', '.join(scales)})."
    )
    datasets = f"Datasets, for --data NAME:\n{list_sources()}"
    flow_losses = f"Flow losses, for --objective.flow NAME:\n{list_flow_losses()}"
    networks = f"Networks, for --model.name NAME:\n{_wrapped(list_models())}"
    fixed = ["--scale", scale] + (["--stage", stage] if stage else [])
    _refuse_old_options(rest)
    config = tyro.cli(
        TrainConfig,
        prog=f"python -m train {recipe}",
        description="\n\n".join((what, datasets, flow_losses, networks)),
        default=scales[scale],
        args=[*expand_data_option(rest), *fixed],
    )
    try:
        source_spec(config.data.source)
    except ValueError as error:
        _fail(f"--{error}")
    return config


def _wrapped(names: list[str]) -> str:
    return textwrap.fill(
        ", ".join(names), 90, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _recipe(arguments: list[str]) -> tuple[str, list[str]]:
    listing = "Recipes:\n" + "".join(
        f"  {name}  (--scale {' or '.join(next(iter(stages.values())))})\n"
        + "".join(f"      --stage {stage}\n" for stage in stages if stage)
        for name, stages in RECIPES.items()
    )
    usage = (
        "usage: python -m train RECIPE [--stage STAGE] [--scale SCALE] [--data SOURCE] "
        "[--FIELD VALUE ...]\n"
    )
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            f"{usage}\n{listing}\npython -m train RECIPE [--stage STAGE] --help lists the fields."
        )
        sys.exit(0 if arguments else 2)
    name = arguments[0]
    if name not in RECIPES:
        _fail(f"no recipe {name!r}. {did_you_mean(name, RECIPES)}\n{listing}")
    return name, arguments[1:]


def _option(arguments: list[str], option: str, default: str, example: str) -> tuple[str, list[str]]:
    """Returns the value of an option, and the other arguments."""
    value, rest, position = default, [], 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == option:
            if position + 1 == len(arguments):
                _fail(f"{option} needs a value, such as {example}.")
            value = arguments[position + 1]
            position += 2
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
            position += 1
        else:
            rest.append(argument)
            position += 1
    return value, rest


def _refuse_old_options(arguments: list[str]) -> None:
    """Ends the program for an option of an older version and says what to write instead."""
    kind, _ = _option(arguments, "--objective.kind", "", "joint")
    if kind:
        flow, action = OLD_OBJECTIVES.get(kind, ("FLOW_LOSS", True))
        no_action = "" if action else " --objective.no-action"
        _fail(f"--objective.kind is gone: for {kind}, write --objective.flow {flow}{no_action}.")
    if any(a.partition("=")[0] in ("--init.run-map", "--init.run_map") for a in arguments):
        _fail("--init.run-map is gone: for OLD/->NEW/ write --init.run-part OLD --init.run-at NEW")


def _list(names: list[str]) -> str:
    return "".join(f"  {name}\n" for name in names)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
