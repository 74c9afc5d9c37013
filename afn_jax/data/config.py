"""The settings of the data of a run."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where clips come from and how they are cut."""

    source: Literal["synthetic-motion", "video-folder"] = "synthetic-motion"
    """The kind of dataset."""
    root: str = ""
    """video-folder: the folder with one sub-folder of videos a class."""
    list_number: int = 1
    """video-folder: which of the official splits, if the folder has lists."""
    short_side: int = 128
    """video-folder: decoded frames are resized to this short side, before the crop."""
    train_videos: int = 1_000_000
    """synthetic-motion: how many training videos there are."""
    test_videos: int = 512
    """synthetic-motion: how many test videos there are."""
    num_frames: int = 16
    """Frames in a clip."""
    stride: int = 1
    """Frames of the video from one frame of a clip to the next."""
    size: tuple[int, int] = (224, 224)
    """Height and width of the clips that the model receives."""
    crop_scales: tuple[float, ...] = (1.0, 0.875, 0.75)
    """Multi-scale cropping: sides of the box, relative to the largest one."""
    flip: bool = True
    """Mirror every other clip; not where mirroring changes the class."""
    teacher: Literal["dis", "tvl1", "none"] = "dis"
    """What gives the flow target where the dataset has none: OpenCV's DIS, or our TV-L1."""
    num_threads: int = 2
    """Threads that read batches."""
    prefetch: int = 4
    """Batches held ready."""
