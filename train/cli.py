"""The command line of `python -m train`: a recipe, and any of its fields."""

import difflib
import sys

import tyro

from train.config import TrainConfig
from train.recipes import RECIPES


def parse(arguments: list[str]) -> TrainConfig:
    """The settings that a command line asks for; wrong ones end the program with a message."""
    recipe, rest = _recipe(arguments)
    scale, rest = _scale(rest)
    scales = RECIPES[recipe]
    if scale not in scales:
        _fail(f"--scale: got {scale!r}, recipe {recipe} has {', '.join(scales)}.")
    return tyro.cli(
        TrainConfig,
        prog=f"python -m train {recipe}",
        description=f"Recipe {recipe}, scale {scale}. Scales: {', '.join(scales)}.",
        default=scales[scale],
        args=[*_data_shorthand(rest), "--scale", scale],
    )


def _recipe(arguments: list[str]) -> tuple[str, list[str]]:
    listing = "Recipes:\n" + "".join(
        f"  {name}  (--scale {' or '.join(scales)})\n" for name, scales in RECIPES.items()
    )
    usage = "usage: python -m train RECIPE [--scale SCALE] [--data SOURCE] [--FIELD VALUE ...]\n"
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{usage}\n{listing}\npython -m train RECIPE --help lists every field.")
        sys.exit(0 if arguments else 2)
    name = arguments[0]
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES)
        hint = f"Did you mean {near[0]}? " if near else ""
        _fail(f"no recipe {name!r}. {hint}\n{listing}")
    return name, arguments[1:]


def _scale(arguments: list[str]) -> tuple[str, list[str]]:
    scale, rest, position = "paper", [], 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--scale":
            if position + 1 == len(arguments):
                _fail("--scale needs a value, such as toy.")
            scale = arguments[position + 1]
            position += 2
        elif argument.startswith("--scale="):
            scale = argument.removeprefix("--scale=")
            position += 1
        else:
            rest.append(argument)
            position += 1
    return scale, rest


def _data_shorthand(arguments: list[str]) -> list[str]:
    """`--data video-folder` is short for `--data.source video-folder`."""
    return [
        "--data.source" + argument.removeprefix("--data")
        if argument == "--data" or argument.startswith("--data=")
        else argument
        for argument in arguments
    ]


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
