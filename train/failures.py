"""What a run does about failures from outside: it saves its state and tells what is saved."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from afn_jax.data.source import VideoReadError
from train.checkpoint import CheckpointError, Checkpoints
from train.step_metrics import TrainingStopped


@contextmanager
def saves_on_failure(save: Callable[[], None]) -> Iterator[None]:
    """Calls `save` if the block fails, so that the steps before the failure are not lost."""
    try:
        yield
    except Exception:
        with suppress(CheckpointError):  # the first error tells more
            save()
        raise


@contextmanager
def tells_what_is_saved(checkpoints: Checkpoints) -> Iterator[None]:
    """Adds to an error of a disk or of the data what is saved and how to continue.

    Raises:
        TrainingStopped: in place of such an error.
    """
    try:
        yield
    except (CheckpointError, TrainingStopped):
        raise
    except (OSError, VideoReadError, RuntimeError) as error:
        step = checkpoints.latest_step()
        saved = f"The checkpoint of step {step} is intact" if step else "No checkpoint is saved yet"
        raise TrainingStopped(
            f"{str(error).rstrip('.')}. {saved}. Resolve this and run the same command again; it "
            f"{'continues from there' if step else 'starts anew'}."
        ) from error
