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
    """
    if gamma == 1:
        return frames
    return _curve(gamma).round().astype(np.uint8)[frames]


def normalizing_gamma(frames: np.ndarray, mean: float = MEAN) -> float:
    """Finds the gamma that brings dark frames to a mean over all frames, pixels and channels.

    Returns:
        A number from `LOWEST_GAMMA` to 1; 1 for frames that are bright enough.
    """
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
