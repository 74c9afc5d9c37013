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
    """One labelled video.

    Attributes:
        name: identifies the video within its source.
        label: 0-based class.
        num_frames: how many frames there are to index.
        has_flow: whether clips carry flows. If they lead further than to the next frame, the video
            has a `flow_stride` too.
    """

    name: str
    label: int
    num_frames: int
    has_flow: bool

    def clip(self, indices: np.ndarray) -> Clip:
        """Returns the frames at `indices` (`[T]` integers, repeats and any order allowed).

        Where `has_flow`, also the flow of frame i to frame i + 1 for each index i.

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
