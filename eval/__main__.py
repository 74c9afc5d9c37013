"""`python -m eval action --run DIR [--clips K]`."""

import os
import sys

from train.errors import exit_cleanly

# Before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COMPILATION_CACHE = ".cache/jax"


def main() -> int:
    with exit_cleanly():  # the imports too: they take seconds
        import tyro

        from eval.action import ActionConfig, result_line, run_action
        from train.accelerator import start_jax

        config = tyro.extras.subcommand_cli_from_dict(
            {"action": ActionConfig}, prog="python -m eval", args=sys.argv[1:]
        )
        start_jax(COMPILATION_CACHE)
        print(result_line(run_action(config)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
