"""Restarts a benchmark with huge pages, for our code and its peers in the same process.

XLA writes each result into memory that is new to the process. With pages of 4 KiB, that alone costs
more than the computation of many operators. glibc requests pages of 2 MiB if `GLIBC_TUNABLES` is
set when the process starts, so the restart must come before any large import.
"""

import os
import platform
import sys

TUNABLE = "glibc.malloc.hugetlb=1"


def start_with_huge_pages() -> None:
    """Replaces this process by the same command with huge pages; without glibc, does nothing."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if platform.libc_ver()[0] != "glibc" or "glibc.malloc.hugetlb" in tunables:
        return
    environment = os.environ | {"GLIBC_TUNABLES": ":".join(filter(None, (tunables, TUNABLE)))}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def asked_for_huge_pages() -> bool:
    return TUNABLE in os.environ.get("GLIBC_TUNABLES", "")
