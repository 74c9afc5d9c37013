"""`python -m train RECIPE [--scale toy] [--data SOURCE] [--FIELD VALUE ...]`."""

import os
import sys

# Before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from train.cli import parse  # noqa: E402
from train.errors import exit_cleanly  # noqa: E402


def main() -> int:
    config = parse(sys.argv[1:])
    with exit_cleanly():
        from train.accelerator import start_jax
        from train.loop import train

        start_jax(config.compilation_cache)
        result = train(config)
    if not result.finished:
        return 130
    print(f"evaluate it with: python -m eval action --run {result.run_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
