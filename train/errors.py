"""Reports user errors as one message and an exit code, without a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exit_cleanly() -> Iterator[None]:
    """Turns errors meant for users into a message and exit code 1.

    AFN_JAX_TRACEBACK=1 lets them through, for debugging.
    """
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except ImportError as error:
        if os.environ.get("AFN_JAX_TRACEBACK"):
            raise
        print(
            f"\nerror: {error}. The commands need more than the library: pip install -e '.[train]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    except Exception as error:
        if os.environ.get("AFN_JAX_TRACEBACK") or not isinstance(error, _kinds()):
            raise
        print(f"\nerror: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _kinds() -> tuple[type[Exception], ...]:
    # Imported once there is an error: these modules take seconds, in which Ctrl-C must be caught.
    from afn_jax.data.source import VideoReadError
    from train.checkpoint import CheckpointError
    from train.step_metrics import TrainingStopped

    return (ValueError, OSError, VideoReadError, CheckpointError, TrainingStopped, RuntimeError)
