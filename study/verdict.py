"""Verdicts on a claim, from paired differences over a few seeds or groups of videos."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

Verdict = Literal["holds", "does not hold", "not decided", "not run"]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval (Student's t); the ends are NaN for a single value."""

    mean: float
    low: float
    high: float
    count: int


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Computes the interval of the mean of independent values.

    Raises:
        ValueError: no values.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        raise ValueError("values: got none, but a mean needs one or more.")
    mean = float(values.mean())
    if len(values) == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half, len(values))


def judge(difference: Interval, within: float = 0.0, no_worse: bool = False) -> Verdict:
    """Judges a claim by the interval of its paired difference.

    The claim is that the difference is positive; with `within`, that it lies between -within and
    within; with `no_worse` too, that it is at least -within. If all differences are equal, which
    happens with few videos, the interval has no width and the claim is not decided.
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
    """Combines the verdicts on the claims of a finding: it holds if all of them hold."""
    for verdict in ("does not hold", "not run", "not decided"):
        if verdict in verdicts:
            return verdict
    return "holds"
