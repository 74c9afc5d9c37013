"""Settings for data: which videos to read, how to cut clips from them and how to load them."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Annotated, Literal

from afn_jax.limits import Limits

# Of a process. Guessed: each thread holds a batch, and decoding shares what Python locks.
MOST_THREADS = 16


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which dataset to read, how to cut clips from its videos and how to load them."""

    source: str = "synthetic-motion"
    """Name of the dataset, one of those listed at the top of --help."""
    root: str = ""
    ("Folder of the dataset. video-folder: the one with a subfolder per class; tfds: its data_dir.")
    annotations: str = ""
    """File or folder of the official lists, if they are neither in root nor beside it."""
    sintel_pass: Literal["clean", "final"] = "clean"
    """sintel: which rendering of the film to read."""
    list_number: Annotated[int, Limits(1)] = 1
    """ucf101, hmdb51, video-folder: number of the split, the NN of trainlistNN.txt."""
    classes: tuple[str, ...] = ()
    (
        "Use only these classes and label them in this order: their names, or one text file with "
        "a name per line. Empty uses all classes."
    )
    index_cache: str = ""
    (
        "Folder that keeps the frame indices of video files between runs; empty means "
        "~/.cache/afn_jax, none keeps nothing."
    )
    flow_bound: Annotated[float, Limits(minimum=0, below=math.inf)] = 20.0
    (
        "Folders of frames: displacement in pixels that gray level 255 of a flow picture stands "
        "for; 0 ignores flow pictures."
    )
    frame_names: str = ""
    (
        "Folders of frames: names of the pictures that are frames, such as 'img_*' or '*_rgb.png', "
        "or their start, such as img_. Needed only where several kinds of pictures lie in a "
        "folder, or each in a folder of its own: 'rgb/*' chooses the folders rgb."
    )
    tfds_name: str = "ucf101"
    """tfds: name of the dataset, with its config if it has any, e.g. ucf101/ucf101_1."""
    short_side: Annotated[int, Limits(1)] = 128
    """Decoded frames are resized to this shorter side, in pixels, before they are cropped."""
    stored_flow: bool = True
    """Use the flow that is stored with the videos (shards, frame folders), if there is any."""
    train_videos: Annotated[int, Limits(1)] = 1_000_000
    """synthetic-motion: number of training videos."""
    test_videos: Annotated[int, Limits(1)] = 512
    """synthetic-motion: number of test videos."""
    num_frames: Annotated[int, Limits(1)] = 16
    """Frames per clip."""
    stride: Annotated[int, Limits(1)] = 1
    """Step between the frames of a clip, in frames of the video."""
    size: Annotated[tuple[int, int], Limits(1)] = (224, 224)
    """Height and width of the clips that the network sees, in pixels."""
    sampling: Literal["clip", "segments"] = "clip"
    (
        "clip: one continuous piece of the video; segments: a piece from each of num_segments "
        "equal parts (TSN)."
    )
    num_segments: Annotated[int, Limits(1)] = 3
    """segments: number of parts; num_frames is the total over all of them."""
    crop: Literal["random", "corners", "corners-13", "flownet"] = "random"
    (
        "random: uniform box; corners: four corners and center; corners-13: TSN's 13 positions; "
        "flownet: FlowNet's augmentation of frame pairs and their flow."
    )
    crop_scales: Annotated[tuple[float, ...], Limits(above=0, maximum=1)] = (1.0, 0.875, 0.75)
    (
        "Multi-scale cropping: sides of the box relative to the largest box that fits (TSN adds "
        "0.66)."
    )
    crop_distortion: Annotated[int, Limits(0)] = 1
    """corners: how far apart in crop_scales the scales of height and width may be."""
    flip: bool = True
    """Mirror clips with probability 1/2. Turn it off where mirroring changes the class."""
    brighten: Literal["none", "gamma", "auto"] = "none"
    (
        "For dark videos. gamma: the same gamma for all clips; auto: per clip, the gamma that "
        "gives it a usual mean brightness."
    )
    gamma: Annotated[float, Limits(above=0)] = 0.4
    """brighten gamma: exponent applied to pixel values in [0, 1]; below 1 brightens."""
    teacher: Literal["dis", "tvl1", "device-tvl1", "none"] = "dis"
    (
        "Estimates the flow target of videos without flow: OpenCV's DIS or our TV-L1 while "
        "reading, or TV-L1 on the device in the training step (device-tvl1)."
    )
    num_threads: Annotated[int | None, Limits(0)] = None
    """Reading threads per process. None: one per core, divided among the processes, 16 at most."""
    num_workers: Annotated[int, Limits(0)] = 0
    (
        "Reading processes; 0 reads in threads of the main process. Use one per 8 to 16 cores on "
        "machines with more of them: the threads of one process wait for each other."
    )
    prefetch: Annotated[int, Limits(0)] = 4
    """Number of batches to read ahead."""


def reading_threads(config: DataConfig) -> int:
    """Returns the number of reading threads of each process."""
    if config.num_threads is not None:
        return config.num_threads
    usable = getattr(os, "sched_getaffinity", None)  # a job may have a part of the machine
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, cores // max(1, config.num_workers)))


def expand_data_option(arguments: Sequence[str]) -> list[str]:
    """Replaces `--data NAME` of a command line by `--data.source NAME`."""
    return [
        "--data.source" + argument.removeprefix("--data")
        if argument == "--data" or argument.startswith("--data=")
        else argument
        for argument in arguments
    ]
