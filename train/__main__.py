"""`python -m train RECIPE [--stage STAGE] [--scale toy] [--data SOURCE] [--FIELD VALUE ...]`."""

import os
import sys

from train.errors import exit_cleanly

# Before JAX starts: its CPU cache warns about harmless differences between machines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> int:
    with exit_cleanly():  # the imports too: they take seconds
        from train.cli import parse_chain

        configs = parse_chain(sys.argv[1:])
        from train.accelerator import start_jax
        from train.loop import train

        start_jax(configs[0].compilation_cache)
        for config in configs:
            result = train(config)
            if not result.finished:
                return 130
            print(f"evaluate it with: python -m eval action --run {result.run_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
