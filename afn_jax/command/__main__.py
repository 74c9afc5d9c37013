"""`afn-jax predict | flow | check | prepare`: the console script of the installed package.

The subcommands are imported when they run: `afn-jax` and `afn-jax --help` need only Python.
"""

import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from afn_jax import __version__
from afn_jax.command.errors import exit_cleanly
from afn_jax.command.process import run_as_process, work_starts
from afn_jax.near_names import did_you_mean_or_all

# Set before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@dataclasses.dataclass(frozen=True)
class Subcommand:
    """A subcommand: what it does, and the module that does it.

    With `config`, the module has a settings class of this name, `run(settings) -> exit code`, which
    calls `work_starts`, and `as_typed()`, in which errors name options as users type them; without,
    it has `main(arguments) -> exit code`.
    """

    summary: str
    module: str
    config: str = ""


SUBCOMMANDS = {
    "predict": Subcommand(
        "classify videos with a trained network", "afn_jax.command.predict", "PredictConfig"
    ),
    "flow": Subcommand(
        "estimate the flow of two pictures or a video", "afn_jax.command.flow", "FlowConfig"
    ),
    "check": Subcommand("find what is wrong with a dataset", "afn_jax.command.check"),
    "prepare": Subcommand("turn a dataset into shards", "afn_jax.command.prepare"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with exit_cleanly():  # the imports too: they take seconds
        name = arguments[0] if arguments else ""
        if name in SUBCOMMANDS:
            return _run(name, arguments[1:])
        if name == "--version":
            print(f"afn_jax {__version__}")
            return 0
        if name in ("-h", "--help", "help"):
            print(usage())
            return 0
        if not arguments:
            print(usage(), file=sys.stderr)
            return 2
        print(f"error: {_unknown(name)}", file=sys.stderr)
        return 2


def console() -> NoReturn:
    """Runs the command and ends the process."""
    run_as_process(main, starting=True)


def usage() -> str:
    """Returns what `afn-jax --help` prints."""
    width = max(map(len, SUBCOMMANDS))
    lines = (f"  {name:<{width}}  {each.summary}" for name, each in SUBCOMMANDS.items())
    return "\n".join(
        (
            "usage: afn-jax COMMAND ...",
            "",
            "Action recognition that learns optical flow from raw video.",
            "",
            *lines,
            "",
            "afn-jax COMMAND --help lists the options of a command; afn-jax --version.",
            "Training needs a checkout: python -m train.",
        )
    )


def _run(name: str, arguments: list[str]) -> int:
    subcommand = SUBCOMMANDS[name]
    module = importlib.import_module(subcommand.module)
    if not subcommand.config:
        work_starts()
        return module.main(arguments)
    import tyro

    with module.as_typed():
        config = tyro.cli(
            getattr(module, subcommand.config), prog=f"afn-jax {name}", args=arguments
        )
        return module.run(config)


def _unknown(name: str) -> str:
    if name.startswith("-"):
        return f"got the option {name!r} before the command. Write afn-jax COMMAND {name} ..."
    if name in ("train", "eval"):
        return f"got {name!r}, which needs a checkout of the repository: python -m {name}"
    return f"command: got {name!r}. {did_you_mean_or_all(name, SUBCOMMANDS)}"


if __name__ == "__main__":
    console()
