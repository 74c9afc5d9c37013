"""The result of one video, as pages and programs read it."""

import dataclasses

import numpy as np

from afn_jax.predict.segments import Segment


@dataclasses.dataclass(frozen=True)
class VideoResult:
    """What was found in one video.

    Attributes:
        source: path that the user gave, or a path below a folder that the user gave.
        name: stem of the names of its outputs; unique in the output folder.
        duration: in seconds.
        fps: average frames per second.
        num_frames: number of decoded frames.
        strip: `[bins]` int, at most 1000 bins of equal time: the most probable class; -1: unknown.
        strip_score: `[bins]`, its probability; 0 if unknown.
        top: most probable classes over the whole video, as (label, mean probability).
        segments: in the order of their starts.
        files: path relative to the output folder, by kind: csv, json, segments, film, flow,
            features, thumbnails.
        thumbnails: at most 6 uint8 RGB pictures, evenly over time, at most 120 pixels high.
        notes: what a user should know.
    """

    source: str
    name: str
    duration: float
    fps: float
    num_frames: int
    strip: np.ndarray
    strip_score: np.ndarray
    top: tuple[tuple[int, float], ...]
    segments: tuple[Segment, ...]
    files: dict[str, str]
    thumbnails: tuple[np.ndarray, ...]
    notes: tuple[str, ...]
