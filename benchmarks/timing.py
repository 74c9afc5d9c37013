"""Times functions side by side: each round times every function once; medians are compared."""

import math
import statistics
import time
from collections.abc import Callable

ROUNDS = 9
LONG = 0.05  # seconds; OpenMP threads wait in busy loops for about 0.015 s


def interleaved(functions: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict:
    """Computes the median seconds of each function, which must return after its work is done.

    In every round, a function is first called for a while without timing: the threads of the
    previous function still wait in busy loops on the cores that this one needs, and the cache
    contains the previous function's data. Then the same number of calls is timed.
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
