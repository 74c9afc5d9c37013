"""Views of a video: the clips and crops that an evaluation averages over.

A clip is decoded once for all its crops. Random clips and crops depend only on the seed, the name
of the video and the number of the clip, not on the order, the batch size or the number of
processes.
"""

import dataclasses
import zlib
from typing import Annotated, Literal

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.transforms.crops import CenterCrop, RandomCrop, SpatialTransform, ten_crops
from afn_jax.data.transforms.sampling import (
    clip_indices,
    covering_clips,
    random_segment_starts,
    uniform_segment_starts,
)
from afn_jax.limits import Limits, check_limits


@dataclasses.dataclass(frozen=True)
class Views:
    """The clips and crops of each video in an evaluation.

    Attributes:
        clips: number of clips per video; unused for "cover".
        when: position of the clips. "uniform": evenly spaced, for one clip the middle; "random";
            "cover": evenly spaced, as many as cover the whole video.
        crops: "center": one box; "ten": four corners and the center, each also mirrored; "random":
            one box at a random position.
        scale: sides of the boxes relative to the largest one; .875 is 224 of 256 pixels.
        seed: of random clips and crops.
    """

    clips: Annotated[int, Limits(1)] = 1
    when: Literal["uniform", "random", "cover"] = "uniform"
    crops: Literal["center", "ten", "random"] = "center"
    scale: Annotated[float, Limits(above=0, maximum=1)] = 1.0
    seed: Annotated[int, Limits(0)] = 0

    def __post_init__(self) -> None:
        if self.crops == "centre":  # the former spelling, accepted for one release
            object.__setattr__(self, "crops", "center")
        check_limits(self)

    @property
    def crops_per_clip(self) -> int:
        """Number of crops per clip."""
        return 10 if self.crops == "ten" else 1

    def num_clips(self, video_frames: int, config: DataConfig) -> int:
        """Returns the number of clips of a video of that length."""
        if self.when != "cover":
            return self.clips
        return covering_clips(video_frames, config.num_frames, config.stride)

    def starts(self, name: str, video_frames: int, clip: int, config: DataConfig) -> np.ndarray:
        """Returns the starts of clip number `clip` of a video, `[segments]`."""
        segments, length = segments_of(config)
        if self.when == "random":
            rng = self._rng(name, clip, _STARTS)
            return random_segment_starts(video_frames, segments, length, config.stride, rng)
        clips = self.num_clips(video_frames, config)
        return uniform_segment_starts(video_frames, segments, length, config.stride, clips)[clip]

    def transforms(
        self, name: str, clip: int, height: int, width: int, size: tuple[int, int]
    ) -> tuple[SpatialTransform, ...]:
        """Returns the crops of a clip for frames of that height and width."""
        if self.crops == "ten":
            return ten_crops(height, width, size, self.scale)
        if self.crops == "random":
            policy = RandomCrop(size, (self.scale,), flip_probability=0.0)
            return (policy.draw(height, width, self._rng(name, clip, _PLACES)),)
        return (CenterCrop(size, self.scale).draw(height, width),)

    def _rng(self, name: str, clip: int, use: int) -> np.random.Generator:
        return np.random.default_rng(
            [self.seed, zlib.crc32(name.encode(errors="surrogateescape")), clip, use]
        )


MIDDLE_CLIP = Views()  # center crop
_STARTS, _PLACES = 0, 1  # separate streams of random numbers


def segments_of(config: DataConfig) -> tuple[int, int]:
    """Returns the number of segments of a clip and the number of frames per segment.

    Raises:
        ValueError: the number of segments does not divide the number of frames.
    """
    if config.sampling == "clip":
        return 1, config.num_frames
    if config.num_frames % config.num_segments:
        raise ValueError(
            f"data.num_segments: got {config.num_segments}, which does not divide the "
            f"{config.num_frames} frames of a clip. --data.num-frames counts all segments "
            "together; give a multiple of --data.num-segments."
        )
    return config.num_segments, config.num_frames // config.num_segments


def segment_indices(
    starts: np.ndarray, num_frames: int, stride: int, video_frames: int
) -> np.ndarray:
    """Returns `clip_indices` from each start, `[segments, num_frames]`."""
    return np.stack([clip_indices(int(s), num_frames, stride, video_frames) for s in starts])
