"""What a run does about failures from outside: it saves its state and tells what is saved."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import jax

from afn_jax.data.source import VideoReadError
from train.checkpoint import CheckpointError, Checkpoints
from train.hosts.together import lost_process
from train.step_metrics import TrainingStopped


@contextmanager
def saves_on_failure(save: Callable[[], None]) -> Iterator[None]:
    """Calls `save` if the block fails, so that the steps before the failure are not lost.

    With several processes it does not: all of them take part in a checkpoint, but only one failed.
    """
    try:
        yield
    except Exception:
        if jax.process_count() == 1:
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
    except (OSError, VideoReadError, RuntimeError, ValueError) as error:
        lost = lost_process(error)
        if isinstance(error, ValueError) and not lost:
            raise
        text = lost or str(error)
        step = checkpoints.latest_step()
        saved = f"The checkpoint of step {step} is intact" if step else "No checkpoint is saved yet"
        raise TrainingStopped(
            f"{text.rstrip('.')}. {saved}. Resolve this and run the same command again; it "
            f"{'continues from there' if step else 'starts anew'}."
        ) from error
