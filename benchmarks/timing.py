"""Timing things side by side: every round times each of them once, and medians are compared."""

import statistics
import time
from collections.abc import Callable

ROUNDS = 9


def interleaved(functions: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict:
    """Median seconds of each function; each must wait until its work is done.

    The first call of each is not counted, because it compiles; and in every round each is called
    twice and the second call is timed, because the threads of the one before it may still be
    waiting for work in a busy loop, and its data lie in the cache.
    """
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            function()
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
