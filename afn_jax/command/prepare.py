"""`afn-jax prepare OUTPUT --data SOURCE --data.root FOLDER`: see `afn_jax.data.prepare`."""

from collections.abc import Sequence

from afn_jax.data.prepare import __main__ as command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    return command.main(arguments, prog="afn-jax prepare")
