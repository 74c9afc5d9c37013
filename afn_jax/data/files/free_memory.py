"""Returns freed memory to the operating system.

Decoders allocate and free many buffers of all sizes. The C library keeps what is freed, in pieces
that fit less and less, so the memory of a process grows by about 1 MiB per 1000 small clips
although none is lost.
"""

import ctypes
import functools
import sys
from collections.abc import Callable

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


@functools.cache
def _glibc(name: str) -> Callable[..., int] | None:
    """Returns a function of glibc; None with another C library, which lacks it."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def free_memory() -> None:
    """Returns freed memory; takes about a millisecond, and does nothing without glibc."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def share_memory_between_threads() -> None:
    """Makes all threads of this process reuse the same freed memory.

    For reading processes: in others, threads that allocate much would wait for one another.
    """
    options = _glibc("mallopt")
    if options is not None:
        options(_ARENA_MAX, 1)
