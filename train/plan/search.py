"""Finds the largest batch that fits, and the fewest parts with which a batch fits.

Each trial is a compilation, which takes a minute at a paper's scale, so there are few: memory is
almost linear in the number of examples, and a line through what was compiled predicts the rest.
"""

import dataclasses
from collections.abc import Callable, Sequence

MOST_TRIALS = 5
LARGEST = 32  # times the batch asked for
_SURE = 0.1  # guessed: a line through two compiled sizes is that exact


@dataclasses.dataclass
class Line:
    """Memory as a line in the number of examples at a time, through the two nearest known sizes."""

    known: dict[int, float]

    def __call__(self, examples: int) -> float:
        nearest = sorted(self.known, key=lambda size: abs(size - examples))[:2]
        if len(nearest) == 1:
            return self.known[nearest[0]] * examples / nearest[0]
        a, b = nearest
        return self.known[a] + (self.known[b] - self.known[a]) * (examples - a) / (b - a)


def largest_fitting(
    candidates: Sequence[int], line: Line, needs: Callable[[int], float | None], limit: float
) -> tuple[int | None, bool]:
    """Finds the largest candidate that fits.

    Args:
        candidates: numbers of examples, ascending; if one fits, so do those before it.
        line: predicts the memory; sizes that are compiled are added to it.
        needs: compiles a candidate and returns its memory; None if it does not compile.
        limit: the memory.

    Returns:
        The candidate, which was compiled; None if none fits. And whether the next larger one is
        known not to fit, by compiling it or as the line is far above the limit.
    """
    sizes = list(candidates)
    low, high = -1, len(sizes)  # sizes[low] fits, sizes[high] does not
    for number, size in enumerate(sizes):
        if size in line.known:
            low, high = (number, high) if line.known[size] <= limit else (low, min(high, number))
    for _ in range(MOST_TRIALS):
        if high - low <= 1:
            break
        inside = range(low + 1, high)
        fitting = [number for number in inside if line(sizes[number]) <= limit]
        trial = fitting[-1] if fitting else inside[0]
        sure = len(line.known) > 1 and line(sizes[trial]) > (1 + _SURE) * limit
        if low >= 0 and not fitting and sure:
            return sizes[low], True
        found = needs(sizes[trial])
        if found is not None:
            line.known[sizes[trial]] = found
        if found is not None and found <= limit:
            low = trial
        else:
            high = trial
    return (sizes[low] if low >= 0 else None), high - low <= 1


def round_numbers(most: int) -> list[int]:
    """Returns 1 to `most` with at most three significant bits: 1 to 8, 10, 12, 14, 16, 20, ..."""
    return [
        n
        for n in range(1, most + 1)
        if n >> max(n.bit_length() - 3, 0) << max(n.bit_length() - 3, 0) == n
    ]


def divisors(number: int) -> list[int]:
    """Returns the divisors of a number, ascending."""
    return [n for n in range(1, number + 1) if number % n == 0]
