"""Error messages of the commands of a checkout: train, eval and study."""

from collections.abc import Iterator
from contextlib import contextmanager

from afn_jax.command import errors


@contextmanager
def exit_cleanly() -> Iterator[None]:
    """Does as `afn_jax.command.errors.exit_cleanly`, for the errors of training too."""
    with errors.exit_cleanly("train", _kinds):
        yield


def _kinds() -> errors.Kinds:
    from train.checkpoint import CheckpointError
    from train.step_metrics import TrainingStopped

    return (*errors.library_kinds(), CheckpointError, TrainingStopped)
