"""The command line of `python -m train`: a recipe, its stage, and any field of its settings."""

import sys
import textwrap

import tyro

from afn_jax.data.config import expand_data_option
from afn_jax.data.sources import list_sources, source_spec
from afn_jax.models import list_models
from afn_jax.near_names import did_you_mean
from train.command_line import fail, take_option
from train.config import TrainConfig, flat_hints
from train.config_file import OLD_OBJECTIVES
from train.flow_losses import list_flow_losses
from train.hosts.options import HOSTS_HELP
from train.plan.options import PLAN_HELP
from train.recipes import RECIPES

ALL = "all"


def parse(arguments: list[str]) -> TrainConfig:
    """Parses a command line into settings; errors end the program with a message."""
    configs = parse_chain(arguments)
    if len(configs) > 1:
        fail(f"--stage {ALL} stands for several runs; name one stage.")
    return configs[0]


def parse_chain(arguments: list[str]) -> list[TrainConfig]:
    """The same for a chain of stages: `--stage all` gives every stage of the recipe, in order."""
    recipe, rest = _recipe(arguments)
    scale, rest = take_option(rest, "--scale", "paper", "toy")
    stage, rest = take_option(rest, "--stage", "", ALL)
    stages = RECIPES[recipe]
    named = [name for name in stages if name]
    if stage == ALL and named:
        for option in ("--run-dir", "--run_dir", "--init.run"):
            if any(a == option or a.startswith(f"{option}=") for a in rest):
                fail(f"{option} is for a single run. Use it with one --stage.")
        return [_one(recipe, name, scale, rest) for name in named]
    if stage not in stages:
        if not stage:
            fail(f"recipe {recipe} has stages: add --stage {ALL}, or one of\n{_list(named)}")
        if not named:
            fail(f"--stage: got {stage!r}, recipe {recipe} has no stages: leave it out.")
        hint = did_you_mean(stage, named)
        fail(
            f"--stage: got {stage!r}. {hint}\nStages of {recipe}, or {ALL} of them:\n{_list(named)}"
        )
    return [_one(recipe, stage, scale, rest)]


def _one(recipe: str, stage: str, scale: str, rest: list[str]) -> TrainConfig:
    scales = RECIPES[recipe][stage]
    if scale not in scales:
        fail(f"--scale: got {scale!r}, recipe {recipe} has {', '.join(scales)}.")
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
        description="\n\n".join((what, datasets, flow_losses, networks, HOSTS_HELP, PLAN_HELP)),
        default=scales[scale],
        args=[*expand_data_option(_join_repeated(rest)), *fixed],
    )
    try:
        source_spec(config.data.source)
    except ValueError as error:
        fail(f"--{error}")
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
            f"{usage}\n{listing}\npython -m train RECIPE [--stage STAGE] --help lists the fields.\n"
            f"\n{HOSTS_HELP}\n\n{PLAN_HELP}"
        )
        sys.exit(0 if arguments else 2)
    name = arguments[0]
    if name not in RECIPES:
        fail(f"no recipe {name!r}. {did_you_mean(name, RECIPES)}\n{listing}")
    return name, arguments[1:]


def _join_repeated(arguments: list[str]) -> list[str]:
    """Joins the values of a repeated option that takes several names; tyro would use the last."""
    names = {f"--{name}" for name, hint in flat_hints(TrainConfig) if hint == tuple[str, ...]}
    rest: list[str] = []
    joined: dict[str, list[str]] = {}
    values = rest
    for argument in arguments:
        option, equals, value = argument.partition("=")
        name = option.replace("-", "_").replace("__", "--", 1)
        if name in names:
            values = joined.setdefault(name, [])
            values += [value] if equals else []
        elif argument.startswith("--"):
            rest.append(argument)
            values = rest
        else:
            values.append(argument)
    return rest + [word for name, values in joined.items() for word in (name, *values)]


def _refuse_old_options(arguments: list[str]) -> None:
    """Ends the program for an option of an older version and says what to write instead."""
    kind, _ = take_option(arguments, "--objective.kind", "", "joint")
    if kind:
        flow, action = OLD_OBJECTIVES.get(kind, ("FLOW_LOSS", True))
        no_action = "" if action else " --objective.no-action"
        fail(f"--objective.kind is gone: for {kind}, write --objective.flow {flow}{no_action}.")
    if any(a.partition("=")[0] in ("--init.run-map", "--init.run_map") for a in arguments):
        fail("--init.run-map is gone: for OLD/->NEW/ write --init.run-part OLD --init.run-at NEW")


def _list(names: list[str]) -> str:
    return "".join(f"  {name}\n" for name in names)
