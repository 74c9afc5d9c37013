"""Which frames of a video make a clip: integer functions of frame numbers.

A clip is `num_frames` frames, `stride` apart. It spans `(num_frames - 1) * stride + 1` frames of
the video; a start is valid if that span fits.
"""

import numpy as np


def clip_indices(start: int, num_frames: int, stride: int, video_frames: int) -> np.ndarray:
    """The frames of the clip that begins at `start`; beyond the end, a video starts over.

    Returns:
        `[num_frames]` int64 in `[0, video_frames)`.
    """
    _check(num_frames=num_frames, stride=stride, video_frames=video_frames)
    if not 0 <= start < video_frames:
        raise ValueError(f"start: got {start}; allowed are 0 to {video_frames - 1}")
    return (start + stride * np.arange(num_frames, dtype=np.int64)) % video_frames


def random_clip_start(
    video_frames: int, num_frames: int, stride: int, rng: np.random.Generator
) -> int:
    """Draws a start, uniform over all valid ones; 0 if the video is too short to have any."""
    return int(rng.integers(0, _last_start(video_frames, num_frames, stride) + 1))


def uniform_clip_starts(
    video_frames: int, num_frames: int, stride: int, num_clips: int
) -> np.ndarray:
    """Evenly spaced starts from the first valid one to the last; the middle one for one clip.

    Returns:
        `[num_clips]` int64, not decreasing; equal starts where the video has too few, all 0 where
        it is too short to have any.
    """
    _check(num_clips=num_clips)
    last = _last_start(video_frames, num_frames, stride)
    if num_clips == 1:
        return np.array([last // 2], np.int64)
    gaps = num_clips - 1
    return (2 * last * np.arange(num_clips, dtype=np.int64) + gaps) // (2 * gaps)


def _last_start(video_frames: int, num_frames: int, stride: int) -> int:
    _check(video_frames=video_frames, num_frames=num_frames, stride=stride)
    return max(0, video_frames - (num_frames - 1) * stride - 1)


def _check(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name}: got {value}; give 1 or more")
