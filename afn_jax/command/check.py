"""`afn-jax check FOLDER`: see `afn_jax.data.check`."""

from collections.abc import Sequence

from afn_jax.data.check import __main__ as command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    return command.main(arguments, prog="afn-jax check")
