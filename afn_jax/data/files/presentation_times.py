"""The times at which players show frames, from the timestamps of the decoded frames."""

from collections.abc import Sequence

import numpy as np

# Guessed. Files repeat a timestamp now and then. Where many are not after those before, the frames
# are not in display order, or recordings were joined and the times start again.
_MAX_BACKWARD = 0.1


def presentation_times(stamps: Sequence[int | None], period: float) -> np.ndarray | None:
    """Returns when each frame is shown, or None if the timestamps do not tell.

    A timestamp that is not after all those before it counts as missing. As in FFmpeg's player, a
    frame without a timestamp is shown one period after the frame before it; if that is too late for
    the next timestamp, such frames are spread evenly.

    Args:
        stamps: timestamps of the frames in display order; None: the frame has none.
        period: of a frame at the average rate, in the same unit; 0 if the rate is unknown.

    Returns:
        `[num_frames]` int64, strictly increasing unless the unit is too coarse. None if fewer than
        two frames have a timestamp, unless it is the only frame, or if more than 10 % of the
        timestamps are not after those before.
    """
    given = np.flatnonzero([stamp is not None for stamp in stamps])
    values = np.array([stamp for stamp in stamps if stamp is not None], np.int64)
    if len(given) == 0:
        return None
    later = np.r_[True, values[1:] > np.maximum.accumulate(values)[:-1]]
    known, values = given[later], values[later]
    if len(known) < min(2, len(stamps)) or (~later).sum() > _MAX_BACKWARD * len(given):
        return None
    if len(known) == len(stamps):
        return values
    steps, counts = np.diff(values), np.diff(known)  # from one timestamp to the next; of frames
    if period <= 0:
        period = float(np.median(steps / counts))
    times = np.empty(len(stamps))
    times[: known[0]] = values[0] - period * np.arange(known[0], 0, -1)
    for start, value, step, count in zip(known, values, steps, counts, strict=False):
        times[start : start + count] = value + min(period, step / count) * np.arange(count)
    times[known[-1] :] = values[-1] + period * np.arange(len(stamps) - known[-1])
    return np.rint(times).astype(np.int64)
