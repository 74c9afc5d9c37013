"""The settings of the data of a run."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

from afn_jax.limits import Limits


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where clips come from and how they are cut."""

    source: str = "synthetic-motion"
    """Name of the dataset; --help lists them above."""
    root: str = ""
    """The folder of the videos; video-folder: with one sub-folder a class; tfds: its data_dir."""
    annotations: str = ""
    """The file or folder of the official lists, where they are not in or beside root."""
    sintel_pass: Literal["clean", "final"] = "clean"
    """sintel: which rendering."""
    list_number: Annotated[int, Limits(1)] = 1
    """UCF101, HMDB51, video-folder: which of the official splits."""
    classes: tuple[str, ...] = ()
    """Train on these classes only, labelled in this order: names, or one file with one a line."""
    index_cache: str = ""
    """Folder where frame indices are kept for the next start (~/.cache/afn_jax); none: nowhere."""
    flow_bound: float = 20.0
    """Flow pictures beside frames: pixels that grey level 255 stands for; 0: leave them out."""
    tfds_name: str = "ucf101"
    """tfds: name of the dataset, and where it has some, its config: ucf101/ucf101_1."""
    short_side: Annotated[int, Limits(1)] = 128
    """Decoded frames are resized to this short side, before the crop."""
    stored_flow: bool = True
    """Read the flow that is stored with the videos of shards or frame folders, if any."""
    train_videos: Annotated[int, Limits(1)] = 1_000_000
    """synthetic-motion: how many training videos there are."""
    test_videos: Annotated[int, Limits(1)] = 512
    """synthetic-motion: how many test videos there are."""
    num_frames: Annotated[int, Limits(1)] = 16
    """Frames in a clip."""
    stride: Annotated[int, Limits(1)] = 1
    """Frames of the video from one frame of a clip to the next."""
    size: Annotated[tuple[int, int], Limits(1)] = (224, 224)
    """Height and width of the clips that the model receives."""
    sampling: Literal["clip", "segments"] = "clip"
    """A clip in one piece, or TSN's: a piece from each of num_segments equal parts of the video."""
    num_segments: Annotated[int, Limits(1)] = 3
    """segments: how many; num_frames is that of all of them together."""
    crop: Literal["random", "corners", "corners-13", "flownet"] = "random"
    """A box anywhere; TSN's, in a corner or the centre; its 13 places; FlowNet's, for pairs."""
    crop_scales: Annotated[tuple[float, ...], Limits(above=0, maximum=1)] = (1.0, 0.875, 0.75)
    """Multi-scale cropping: sides of the box, relative to the largest one; TSN has .66 too."""
    crop_distortion: Annotated[int, Limits(0)] = 1
    """corners: by how many places in crop_scales the scales of height and width may differ."""
    flip: bool = True
    """Mirror every other clip; not where mirroring changes the class."""
    brighten: Literal["none", "gamma", "auto"] = "none"
    """For dark video: one gamma for all, or for each clip the one that gives it a usual mean."""
    gamma: float = 0.4
    """brighten gamma: pixels become pixels ** this, in [0, 1]."""
    teacher: Literal["dis", "tvl1", "device-tvl1", "none"] = "dis"
    """The flow target where the data have none: OpenCV's DIS, our TV-L1, or that in the step."""
    num_threads: Annotated[int, Limits(0)] = 2
    """Threads that read batches, in each process that does."""
    num_workers: Annotated[int, Limits(0)] = 0
    """Processes that read batches; 0: the threads of this one."""
    prefetch: Annotated[int, Limits(0)] = 4
    """Batches held ready."""


def expand_data_option(arguments: Sequence[str]) -> list[str]:
    """Replaces `--data NAME` of a command line by `--data.source NAME`."""
    return [
        "--data.source" + argument.removeprefix("--data")
        if argument == "--data" or argument.startswith("--data=")
        else argument
        for argument in arguments
    ]
