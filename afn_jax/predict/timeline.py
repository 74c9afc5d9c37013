"""Probabilities over time, from those of overlapping windows; NumPy only, bounded memory."""

from collections import deque
from typing import NamedTuple

import numpy as np


class Step(NamedTuple):
    """A piece of the time of a video.

    Attributes:
        start: in seconds.
        end: in seconds; where the next step starts, or the video ends.
        probabilities: `[classes]` float64.
        first: number of its first frame.
        last: number of its last frame.
    """

    start: float
    end: float
    probabilities: np.ndarray
    first: int
    last: int


class _Seen(NamedTuple):
    first: int
    last: int
    probabilities: np.ndarray


class Timeline:
    """Averages the probabilities of windows per step.

    A step lasts from one start of the grid of `Windows` to the next. Its probabilities are the mean
    over the windows that include its middle frame. Where windows do not overlap and none includes
    it, they are those of the window that starts with the step. A step without any window (a live
    source was too fast) is left out.
    """

    def __init__(self):
        """Starts before the first frame."""
        self._starts: deque[tuple[int, float]] = deque()
        self._windows: deque[_Seen] = deque()

    def start(self, frame: int, time: float) -> None:
        """Begins a step with a frame, which ends the step before it. Call it in order."""
        self._starts.append((frame, time))

    def add(self, first: int, last: int, probabilities: np.ndarray) -> list[Step]:
        """Takes the probabilities of the window of the frames `first` to `last`, in order.

        All steps that start up to `first` must have been begun.

        Returns:
            The steps that no later window changes.
        """
        steps = self._until(first)
        self._windows.append(_Seen(first, last, np.asarray(probabilities, np.float64)))
        return steps

    def finish(self, num_frames: int, end: float) -> list[Step]:
        """Ends the last step with the video, which has `num_frames`; returns what remains."""
        if self._starts:
            self._starts.append((num_frames, end))
        return self._until(num_frames + 1)

    def _until(self, next_first: int) -> list[Step]:
        """Returns the steps whose middle frame is before that of all windows to come."""
        steps = []
        while len(self._starts) > 1:
            (first, start), (after, end) = self._starts[0], self._starts[1]
            middle = (first + after - 1) // 2
            if next_first <= middle:
                break
            self._starts.popleft()
            while self._windows and self._windows[0].last < first:
                self._windows.popleft()
            covering = [w.probabilities for w in self._windows if w.first <= middle <= w.last]
            if not covering:
                covering = [w.probabilities for w in self._windows if w.first == first]
            if covering:
                steps.append(Step(start, end, np.mean(covering, axis=0), first, after - 1))
        return steps
