"""Minimal reading of clips with PyAV and OpenCV, as a baseline for the loader.

It has no checks, does not skip damaged files and does not turn or stretch pictures; otherwise the
frames are the same. It finds them with the loader's own seeking.
"""

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from afn_jax.data.config import DataConfig
from afn_jax.data.files.video import ONE_THREAD, VideoIndex, decoded_frames
from afn_jax.data.sources.video_files import VideoFile
from afn_jax.data.transforms.crops import RandomCrop
from afn_jax.data.transforms.sampling import clip_indices, random_clip_start


def bare_example(
    video: VideoFile, index: VideoIndex, config: DataConfig, rng: np.random.Generator
) -> np.ndarray:
    """Reads the clip that `ClipReader.training_example` draws from the same state of `rng`.

    Args:
        video: the video.
        index: the index of its file.
        config: settings with `sampling` "clip", `crop` "random" and no brightening.
        rng: draws the clip and its crop.

    Returns:
        `[T, H, W, 3]` uint8, RGB.
    """
    numbers = _numbers(video, config, rng)
    scale = config.short_side / min(index.height, index.width)
    height, width = round(index.height * scale), round(index.width * scale)
    box = RandomCrop(tuple(config.size), config.crop_scales, 0.5 if config.flip else 0.0).draw(
        height, width, rng
    )
    reformatter = VideoReformatter()
    frames = {}
    for number, frame in decoded_frames(video.path, index, numbers):
        picture = reformatter.reformat(frame, format="rgb24", **ONE_THREAD).to_ndarray()
        frames[number] = _resized(picture, height, width)
    clip = np.empty((len(numbers), *config.size, 3), np.uint8)
    for target, number in zip(clip, numbers.tolist(), strict=True):
        cut = frames[number][box.top : box.top + box.height, box.left : box.left + box.width]
        cut = _resized(cut, *config.size)
        target[:] = cv2.flip(cut, 1) if box.flip else cut
    return clip


def bare_decode(
    video: VideoFile, index: VideoIndex, config: DataConfig, rng: np.random.Generator
) -> int:
    """Decodes the frames of `bare_example` and returns their number."""
    return sum(1 for _ in decoded_frames(video.path, index, _numbers(video, config, rng)))


def _numbers(video: VideoFile, config: DataConfig, rng: np.random.Generator) -> np.ndarray:
    start = random_clip_start(video.num_frames, config.num_frames, config.stride, rng)
    return video.first + clip_indices(start, config.num_frames, config.stride, video.num_frames)


def _resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height <= picture.shape[0] and width <= picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=interpolation)
