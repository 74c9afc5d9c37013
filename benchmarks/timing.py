"""Times functions side by side: each round times every function once; medians are compared."""

import math
import statistics
import time
from collections.abc import Callable

ROUNDS = 9
LONG = 0.05  # seconds; OpenMP threads wait in busy loops for about 0.015 s


def interleaved(functions: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict:
    """Computes the median seconds of each function, which must return after its work is done."""
    times = interleaved_times(functions, rounds)
    return {name: statistics.median(values) for name, values in times.items()}


def interleaved_times(
    functions: dict[str, Callable[[], object]],
    rounds: int = ROUNDS,
    *,
    limit: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Returns the seconds of each function in each round.

    In every round, a function is first called for a while without timing: the threads of the
    previous function still wait in busy loops on the cores that this one needs, and the cache
    contains the previous function's data. Then the same number of calls is timed.

    Args:
        functions: by name; each must return after its work is done.
        rounds: number of rounds.
        limit: no round starts after so many seconds of rounds; at least one is run.
        clock: returns the time in seconds.
    """
    calls = {}
    for name, function in functions.items():
        function()  # compiles
        start = time.perf_counter()
        function()
        calls[name] = math.ceil(LONG / (time.perf_counter() - start))
    times = {name: [] for name in functions}
    end = time.perf_counter() + limit
    for number in range(rounds):
        if number and time.perf_counter() > end:
            break
        for name, function in functions.items():
            for _ in range(calls[name]):
                function()
            start = clock()
            for _ in range(calls[name]):
                function()
            times[name].append((clock() - start) / calls[name])
    return times
