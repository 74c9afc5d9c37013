"""The end of one process of several. Does not import JAX: errors come before it is needed."""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

_GRACE_S = 2.0  # guessed: time for the other processes to print their own message

AGAIN = "What was saved is intact: start all processes again with the same command."
_ABORTED = f"""
error: JAX has ended this process, see above. If a task died or is unhealthy, another process has \
ended or does not answer; its output says why. {AGAIN}
"""


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Ends a failing process of several without the usual clean-up, which waits for the others."""
    try:
        yield
    except BaseException as error:
        jax = sys.modules.get("jax")
        if jax is None or not jax.distributed.is_initialized():
            raise
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else 1
        else:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        if jax.process_index() == 0:
            time.sleep(_GRACE_S)  # without process 0, JAX aborts the others
        os._exit(code)


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _say_what_to_do(_: int) -> None:
    os.write(2, _ABORTED.encode())
    os._exit(1)


def explain_abort() -> None:
    """Says what to do below the stack that JAX prints when it aborts because a process is lost.

    JAX aborts in a thread of C++ and calls no function of Python first (its callback for lost
    heartbeats ends in std::bad_cast), so this handles SIGABRT in that thread.
    """
    if os.name == "posix":
        set_handler = ctypes.CDLL(None).signal
        set_handler.argtypes = [ctypes.c_int, type(_say_what_to_do)]
        set_handler.restype = ctypes.c_void_p
        set_handler(signal.SIGABRT, _say_what_to_do)
