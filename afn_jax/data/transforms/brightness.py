"""Brightening of dark video: one gamma curve for all frames of a clip.

A separate curve per frame would make static objects flicker, which looks like motion.
"""

import numpy as np

MEAN = 0.4  # guessed: in [0, 1], close to daylight video such as UCF101
LOWEST_GAMMA = 0.2  # guessed: below, camera noise dominates


def apply_gamma(frames: np.ndarray, gamma: float) -> np.ndarray:
    """Computes `frames ** gamma` in [0, 1]; a gamma below 1 brightens.

    Args:
        frames: uint8 of any shape.
        gamma: above 0.

    Returns:
        uint8, rounded to the nearest. Black and white stay the same.

    Raises:
        ValueError: frames of another type, or a gamma that is not positive.
    """
    _check(frames)
    if not gamma > 0:
        raise ValueError(f"gamma: got {gamma}; give a number above 0, such as 0.4 for dark video")
    if gamma == 1:
        return frames
    return _curve(gamma).round().astype(np.uint8)[frames]


def normalizing_gamma(frames: np.ndarray, mean: float = MEAN) -> float:
    """Finds the gamma that brings dark frames to a mean over all frames, pixels and channels.

    Returns:
        A number from `LOWEST_GAMMA` to 1; 1 for frames that are bright enough.

    Raises:
        ValueError: frames that are not uint8, or a mean outside (0, 1).
    """
    _check(frames)
    if not 0 < mean < 1:
        raise ValueError(f"mean: got {mean}; give a number between 0 and 1")
    counts = np.bincount(frames.ravel(), minlength=256) / max(frames.size, 1)
    low, high = LOWEST_GAMMA, 1.0
    if counts @ _curve(high) >= 255 * mean:
        return high
    for _ in range(20):  # the mean falls as gamma grows: bisection
        middle = (low + high) / 2
        if counts @ _curve(middle) > 255 * mean:
            low = middle
        else:
            high = middle
    return low


def _curve(gamma: float) -> np.ndarray:
    return 255 * (np.arange(256) / 255) ** gamma


def _check(frames: np.ndarray) -> None:
    if frames.dtype != np.uint8:
        raise ValueError(f"frames: got {frames.dtype}; give uint8, 0 to 255")
