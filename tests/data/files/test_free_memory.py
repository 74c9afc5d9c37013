"""Freed memory goes back to the operating system."""

import ctypes
import platform
import sys

import pytest

from afn_jax.data.files.free_memory import free_memory
from benchmarks.reliability_memory import memory_of


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="glibc has malloc_trim"
)
def test_returns_memory_between_blocks_that_are_in_use():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [libc.malloc(ctypes.c_size_t(60_000)) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 60_000)
    before = memory_of("self")[0]
    for i, block in enumerate(blocks):
        if i % 10:
            libc.free(block)
    free_memory()
    assert before - memory_of("self")[0] > 40  # MiB of 51
    for block in blocks[::10]:
        libc.free(block)
