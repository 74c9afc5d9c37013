"""`python -m eval action --run DIR [--clips K]`."""

import os
import sys

# Before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tyro  # noqa: E402

from train.accelerator import start_jax  # noqa: E402
from train.errors import exit_cleanly  # noqa: E402

COMPILATION_CACHE = ".cache/jax"


def main() -> int:
    from eval.action import ActionConfig, result_line, run_action

    config = tyro.extras.subcommand_cli_from_dict(
        {"action": ActionConfig}, prog="python -m eval", args=sys.argv[1:]
    )
    with exit_cleanly():
        start_jax(COMPILATION_CACHE)
        print(result_line(run_action(config)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
