"""What paired numbers of a few seeds (or groups of videos) say of a claim."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

Verdict = Literal["holds", "does not hold", "not decided", "not run"]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean and the ends of its 95 % interval (Student's t); the ends are NaN for one value."""

    mean: float
    low: float
    high: float
    count: int


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Of the mean of independent values.

    Raises:
        ValueError: there are none.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        raise ValueError("values: got none, but a mean needs at least one.")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half, len(values))


def judge(difference: Interval, within: float = 0.0, no_worse: bool = False) -> Verdict:
    """Whether more is more, or where `within` is given, whether both are that close.

    With `no_worse`, being more than `within` ahead is as good. Differences that are all the same,
    as few videos can make them, decide nothing: their interval has no width.
    """
    if difference.count < 2 or difference.high - difference.low < 1e-9:
        return "not decided"
    if no_worse:
        if difference.low >= -within:
            return "holds"
        return "does not hold" if difference.high < -within else "not decided"
    if within:
        if -within <= difference.low and difference.high <= within:
            return "holds"
        outside = difference.low > within or difference.high < -within
        return "does not hold" if outside else "not decided"
    if difference.low > 0:
        return "holds"
    return "does not hold" if difference.high < 0 else "not decided"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """A finding holds if all its claims do, and does not if one does not."""
    for verdict in ("does not hold", "not run", "not decided"):
        if verdict in verdicts:
            return verdict
    return "holds"
