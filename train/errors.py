"""Reports user errors as one message and an exit code, without a traceback; warnings likewise."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exit_cleanly() -> Iterator[None]:
    """Turns errors meant for users into a message and exit code 1, and warnings into one line.

    AFN_JAX_TRACEBACK=1 lets them through, for debugging.
    """
    if not os.environ.get("AFN_JAX_TRACEBACK"):
        warnings.formatwarning = _one_line
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except ImportError as error:
        if os.environ.get("AFN_JAX_TRACEBACK"):
            raise
        advice = ". The commands need more than the library: pip install -e '.[train]'"
        missing = isinstance(error, ModuleNotFoundError)
        print(f"\nerror: {error}" + advice * missing, file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        if os.environ.get("AFN_JAX_TRACEBACK") or not isinstance(error, _kinds()):
            raise
        print(f"\nerror: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _one_line(message, category, filename, lineno, line=None) -> str:
    """Formats a warning for users; that of a library keeps the place where it was raised."""
    if category is UserWarning:
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _kinds() -> tuple[type[Exception], ...]:
    # Imported once there is an error: these modules take seconds, in which Ctrl-C must be caught.
    from afn_jax.data.source import VideoReadError
    from train.checkpoint import CheckpointError
    from train.step_metrics import TrainingStopped

    return (ValueError, OSError, VideoReadError, CheckpointError, TrainingStopped, RuntimeError)
