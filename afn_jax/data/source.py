"""The protocols of datasets: a `Source` holds `Video`s, which return `Clip`s."""

import dataclasses
from pathlib import Path
from typing import Protocol

import numpy as np


class VideoReadError(Exception):
    """Raised for a video that cannot be decoded; the message names the file and the cause."""


class DatasetGoneError(VideoReadError):
    """Raised if the dataset, not just a video of it, can no longer be read from its disk."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """Some frames of one video.

    Attributes:
        frames: `[T, H, W, 3]` uint8, RGB.
        flows: `[T, H, W, 2]` float32 or None: (x, y) displacement in pixels from each frame to the
            frame `flow_stride` later in the video.
        flow_mask: `[T, H, W]` bool or None: True where `flows` is valid; None if it is everywhere.
    """

    frames: np.ndarray
    flows: np.ndarray | None = None
    flow_mask: np.ndarray | None = None


class Video(Protocol):
    """One labeled video. A class that inherits from this one gets the defaults.

    Attributes:
        name: identifies the video within its source.
        label: 0-based class.
        num_frames: number of frames that `clip` can return.
        has_flow: whether clips carry flows. It is the same for all videos of a source.
        flow_stride: frames from the first to the second frame of a flow; 1 without flow.
        fps: frames per second; 0 if unknown.

    A video of files on disk also has `path`, the file or folder that its frames are read from. If
    that is a folder, the video has `sample_path`, a file in it.
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
            VideoReadError: the file is damaged.
        """
        ...


def checked_indices(indices: np.ndarray, num_frames: int, name: str | Path) -> np.ndarray:
    """Returns frame numbers as `[T]` int64.

    Raises:
        ValueError: a number is outside the video, which would otherwise count from its end.
    """
    indices = np.asarray(indices, np.int64).reshape(-1)
    outside = indices[(indices < 0) | (indices >= num_frames)]
    if outside.size:
        raise ValueError(
            f"indices: {outside[0]} is outside {name}, which has {num_frames} frames; allowed: "
            f"0 to {num_frames - 1}"
        )
    return indices


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that a source left out, with the reason."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Unused:
    """Files or folders of one kind that a source does not use.

    Attributes:
        kind: extension such as ".txt", or a word such as "hidden".
        count: how many there are.
        example: path of the first one, relative to the folder of the dataset.
        reason: why they are not used.
    """

    kind: str
    count: int
    example: str
    reason: str


class Source(Protocol):
    """A set of labeled videos with random access.

    Attributes:
        class_names: indexed by label.
        skipped: files that were left out, with the reasons.

    A source of files may also have `unused`, a tuple of `Unused`, and `file_ids`, a tuple with the
    `identity.file_id` of each video.
    """

    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Video: ...


def unused_of(*sources: Source) -> tuple[Unused, ...]:
    """Returns what the sources do not use, each kind once: the splits often share a folder."""
    return tuple(
        dict.fromkeys(item for source in sources for item in getattr(source, "unused", ()))
    )
