"""Videos whose pixel values encode the video and the frame."""

import dataclasses

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.source import Clip, Video, VideoReadError

SMALL = DataConfig(
    num_frames=3, size=(16, 16), crop_scales=(1.0,), teacher="none", num_threads=2, prefetch=2
)


@dataclasses.dataclass(frozen=True)
class Counted(Video):
    """A video whose frame t is uniformly gray with value 10 number + t."""

    size = (20, 24)
    num_classes = 2

    number: int
    num_frames: int = 5
    damaged: bool = False

    @property
    def name(self):
        return f"video{self.number}"

    @property
    def label(self):
        return self.number % self.num_classes

    def clip(self, indices):
        if self.damaged:
            raise VideoReadError(f"{self.name} is cut off")
        values = (10 * self.number + np.asarray(indices)).astype(np.uint8)
        return Clip(np.broadcast_to(values[:, None, None, None], (len(values), *self.size, 3)))


class CountedSource:
    class_names = ("even", "odd")
    skipped = ()

    def __init__(self, count=12, damaged=(), num_frames=5):
        self.videos = [Counted(i, num_frames, i in damaged) for i in range(count)]

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, index):
        return self.videos[index]
