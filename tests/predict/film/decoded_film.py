"""Pictures for films, and films decoded again."""

import av
import numpy as np


def decoded(path):
    """Returns the times `[N]` and the frames `[N, H, W, 3]` uint8 RGB of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        return np.array([float(frame.pts * frame.time_base) for frame in frames]), pictures


def gray(height, width, level=120):
    """Returns a picture of one gray."""
    return np.full((height, width, 3), level, np.uint8)


def close(color, expected):
    """Whether colors agree but for the rounding of the codec."""
    return np.abs(np.asarray(color, int) - np.asarray(expected, int)).max(-1) <= 24
