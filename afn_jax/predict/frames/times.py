"""Times of frames as they come, by the rule of `presentation_times`, in bounded memory."""

PATIENCE = 25  # frames without a timestamp that wait for the next one; guessed: a second


class FrameTimes:
    """Tells when each frame is shown, from the timestamps of the frames in display order.

    A timestamp that is not after all times before it counts as missing. Frames without a timestamp
    wait for the next one and are spread before it, at most one period apart. After `PATIENCE` such
    frames in a row, frames are one period apart until a later timestamp comes.

    `presentation_times`, which sees the whole file, gives the same times, unless timestamps start
    again within a file: it then takes all times from the frame rate, this class from there on.
    """

    def __init__(self, period: float):
        """Takes the time of a frame at the average rate, in units of the timestamps; above 0."""
        self._period = period
        self._last: float | None = None  # of the frames that were told
        self._waiting = 0
        self._impatient = False

    def add(self, stamp: int | None) -> list[float]:
        """Takes the timestamp of the next frame; returns the times that are now known, in order."""
        if stamp is None or (self._last is not None and stamp <= self._last):
            self._waiting += 1
            if self._impatient or self._waiting >= PATIENCE:
                self._impatient = True
                return self.finish()
            return []
        count, self._waiting, self._impatient = self._waiting, 0, False
        if self._last is None:
            times = [stamp - self._period * k for k in range(count, 0, -1)]
        else:
            step = min(self._period, (stamp - self._last) / (count + 1))
            times = [self._last + step * k for k in range(1, count + 1)]
        self._last = stamp
        return [*times, stamp]

    def finish(self) -> list[float]:
        """Returns the times of the frames that still wait, one period apart."""
        count, self._waiting = self._waiting, 0
        first = -self._period if self._last is None else self._last
        times = [first + self._period * k for k in range(1, count + 1)]
        if times:
            self._last = times[-1]
        return times
