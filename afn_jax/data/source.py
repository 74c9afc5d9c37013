"""What a source of videos gives the pipeline: a `Source` holds `Video`s, which give `Clip`s."""

import dataclasses
from typing import Protocol

import numpy as np


class VideoReadError(Exception):
    """A video file that cannot be decoded; the message names the file and the cause."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """Some frames of one video.

    Attributes:
        frames: `[T, H, W, 3]` uint8, RGB.
        flows: `[T, H, W, 2]` float32 or None: (x, y) displacement in pixels from each frame to the
            one that follows it in the video.
        flow_mask: `[T, H, W]` bool or None: True where `flows` is to be trusted; None: everywhere.
    """

    frames: np.ndarray
    flows: np.ndarray | None = None
    flow_mask: np.ndarray | None = None


class Video(Protocol):
    """One labelled video. A class that inherits from this one gets the defaults.

    Attributes:
        name: identifies the video within its source.
        label: 0-based class.
        num_frames: number of frames that `clip` can return.
        has_flow: whether clips carry flows. All videos of a source agree in this.
        flow_stride: frames from the first to the second frame of a flow; 1 without flow.
        fps: frames per second; 0 if unknown.
    """

    name: str
    label: int
    num_frames: int
    has_flow: bool = False
    flow_stride: int = 1
    fps: float = 0.0

    def clip(self, indices: np.ndarray) -> Clip:
        """Returns the frames at `indices` (`[T]` integers, repeats and any order allowed).

        If `has_flow`, also returns the flow from frame i to frame `i + flow_stride` for each
        index i.

        Raises:
            VideoReadError: the file turned out to be damaged.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that a source left out, and why."""

    path: str
    reason: str


class Source(Protocol):
    """A labelled set of videos with random access.

    Attributes:
        class_names: the name of each class, by label.
        skipped: files that were left out, so that nothing goes missing silently.
    """

    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Video: ...
