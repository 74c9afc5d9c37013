"""Timing things side by side: every round times each of them once, and medians are compared."""

import math
import statistics
import time
from collections.abc import Callable

ROUNDS = 9
LONG = 0.05  # seconds; the busy loops in which threads of OpenMP wait take about 0.015


def interleaved(functions: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict:
    """Median seconds of each function; each must wait until its work is done.

    In every round each is first called for a while, because the threads of the one before still
    wait for work in a busy loop, on cores that this one needs, and its data lie in the cache; then
    it is timed over as many calls.
    """
    calls = {}
    for name, function in functions.items():
        function()  # compiles
        start = time.perf_counter()
        function()
        calls[name] = math.ceil(LONG / (time.perf_counter() - start))
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            for _ in range(calls[name]):
                function()
            start = time.perf_counter()
            for _ in range(calls[name]):
                function()
            times[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(values) for name, values in times.items()}
