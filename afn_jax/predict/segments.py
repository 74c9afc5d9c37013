"""Segments of actions by hysteresis thresholds on probabilities over time; NumPy only."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

LOW = 0.6  # guessed: the low threshold relative to the high one


@dataclasses.dataclass(frozen=True)
class Segment:
    """An action in time.

    Attributes:
        label: 0-based class.
        start: in seconds.
        end: in seconds, exclusive.
        score: mean probability of the class over the segment.
    """

    label: int
    start: float
    end: float
    score: float


@dataclasses.dataclass(frozen=True)
class Threshold:
    """When a class counts as seen.

    Attributes:
        high: a segment contains a step of at least this probability. With .5, the default of the
            command, a class is more probable than all others together.
        low: it extends over neighboring steps of at least this probability.
        least: shorter segments are left out, in seconds.
    """

    high: float = 0.5
    low: float = LOW * 0.5
    least: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.high <= 1:
            raise ValueError(f"threshold: got {self.high:g}; it must be above 0 and at most 1.")
        if not 0 < self.low <= self.high:
            raise ValueError(
                f"low: got {self.low:g}; it must be above 0 and at most the threshold "
                f"{self.high:g}."
            )
        if not 0 <= self.least < math.inf:
            raise ValueError(f"least: got {self.least:g}; give seconds, 0 or more.")


class SegmentFinder:
    """Finds the segments of each class as steps come, in memory that does not grow.

    A segment is a run of steps of at least the low threshold, of which one reaches the high one.
    Segments of one class never overlap; those of different classes may.
    """

    def __init__(self, thresholds: Sequence[Threshold]):
        """Takes one threshold per class."""
        self._high = np.array([t.high for t in thresholds])
        self._low = np.array([t.low for t in thresholds])
        self._least = [t.least for t in thresholds]
        self._runs: dict[int, _Run] = {}
        self._end = -math.inf

    def add(self, start: float, end: float, probabilities: np.ndarray) -> list[Segment]:
        """Takes the probabilities `[classes]` of the next step; returns the segments it ends."""
        probabilities = np.asarray(probabilities, np.float64)
        found = self.finish() if start > self._end else []  # time that nothing is known of
        above = set(np.flatnonzero(probabilities >= self._low).tolist())
        found += self._close(label for label in list(self._runs) if label not in above)
        for label in above:
            run = self._runs.setdefault(label, _Run(start))
            run.end = end
            run.total += float(probabilities[label]) * (end - start)
            run.reached |= bool(probabilities[label] >= self._high[label])
        self._end = end
        return found

    def finish(self) -> list[Segment]:
        """Ends all segments."""
        return self._close(list(self._runs))

    def _close(self, labels: Iterable[int]) -> list[Segment]:
        found = []
        for label in labels:
            run = self._runs.pop(label)
            length = run.end - run.start
            # Times of frames are rounded; a microsecond is less than any file resolves. Guessed.
            if run.reached and length > 0 and length >= self._least[label] - 1e-6:
                found.append(Segment(label, run.start, run.end, run.total / length))
        return sorted(found, key=lambda s: (s.start, s.label))


@dataclasses.dataclass
class _Run:
    start: float
    end: float = 0.0
    total: float = 0.0
    reached: bool = False


def find_segments(
    starts: Sequence[float],
    ends: Sequence[float],
    probabilities: np.ndarray,
    thresholds: Sequence[Threshold] | Threshold,
) -> tuple[Segment, ...]:
    """Finds all segments of a video, in the order of their starts.

    Args:
        starts: `[steps]` seconds, increasing.
        ends: `[steps]` seconds.
        probabilities: `[steps, classes]`.
        thresholds: one per class, or one for all.
    """
    if isinstance(thresholds, Threshold):
        thresholds = [thresholds] * np.shape(probabilities)[1]
    finder = SegmentFinder(thresholds)
    found = [
        segment
        for start, end, row in zip(starts, ends, probabilities, strict=True)
        for segment in finder.add(start, end, row)
    ]
    return tuple(sorted([*found, *finder.finish()], key=lambda s: (s.start, s.label)))
