"""Temporal sampling: the frame numbers of clips.

A clip has `num_frames` frames, `stride` apart. It spans `(num_frames - 1) * stride + 1` frames of
the video; a start is valid if that span fits.

Temporal Segment Networks (Wang et al. 2016) divide a video into K equal segments and take a short
piece from each: `num_frames` is then the length of one piece, and a clip has K starts. With one
segment this is the plain clip.
"""

import numpy as np


def clip_indices(start: int, num_frames: int, stride: int, video_frames: int) -> np.ndarray:
    """Returns the frames of the clip that begins at `start`; short videos are repeated.

    Returns:
        `[num_frames]` int64 in `[0, video_frames)`.
    """
    return (start + stride * np.arange(num_frames, dtype=np.int64)) % video_frames


def random_clip_start(
    video_frames: int, num_frames: int, stride: int, rng: np.random.Generator
) -> int:
    """Draws a start uniformly from the valid ones; 0 if the video is shorter than a clip."""
    return int(random_segment_starts(video_frames, 1, num_frames, stride, rng)[0])


def uniform_clip_starts(
    video_frames: int, num_frames: int, stride: int, num_clips: int
) -> np.ndarray:
    """Returns evenly spaced starts from the first valid one to the last; for one clip, the middle.

    Returns:
        `[num_clips]` int64, not decreasing. Starts repeat if there are too few valid ones, and are
        all 0 if the video is shorter than a clip.
    """
    return uniform_segment_starts(video_frames, 1, num_frames, stride, num_clips)[:, 0]


def covering_clips(video_frames: int, num_frames: int, stride: int) -> int:
    """Returns the number of evenly spaced clips that cover the whole video.

    With stride 1 each frame is in at least one clip, and in exactly one if the length of the video
    is a multiple of the clip's. Larger strides leave the frames in between unused.
    """
    return -(-video_frames // (num_frames * stride))


def random_segment_starts(
    video_frames: int, num_segments: int, num_frames: int, stride: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws one start per segment, uniformly from the starts of the segment.

    Returns:
        `[num_segments]` int64, not decreasing.
    """
    first, last = _segment_starts(video_frames, num_segments, num_frames, stride)
    return np.array([rng.integers(low, high + 1) for low, high in zip(first, last, strict=True)])


def uniform_segment_starts(
    video_frames: int, num_segments: int, num_frames: int, stride: int, num_clips: int
) -> np.ndarray:
    """Returns starts that are evenly spaced within each segment; for one clip, the middle.

    Returns:
        `[num_clips, num_segments]` int64, not decreasing along either axis.
    """
    first, last = _segment_starts(video_frames, num_segments, num_frames, stride)
    if num_clips == 1:
        return ((first + last) // 2)[None]
    gaps = num_clips - 1
    steps = np.arange(num_clips, dtype=np.int64)[:, None]
    return first + (2 * (last - first) * steps + gaps) // (2 * gaps)


def _segment_starts(
    video_frames: int, num_segments: int, num_frames: int, stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and the last start of each segment, `[num_segments]` each.

    The valid starts of the video are divided evenly. If there are fewer of them than segments, some
    segments share a start; in a video that is shorter than a clip all do.
    """
    starts = max(1, video_frames - (num_frames - 1) * stride)
    bounds = np.arange(num_segments + 1, dtype=np.int64) * starts // num_segments
    return bounds[:-1], np.maximum(bounds[1:] - 1, bounds[:-1])
