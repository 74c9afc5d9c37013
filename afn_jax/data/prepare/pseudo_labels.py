"""Origins of the flow that is stored with prepared videos.

A flow origin returns the flow from each of the frames `start` to `stop` of a video to the frame
`stride` later. Its argument `clip` begins at `start` and extends `lookahead` frames beyond `stop`,
or to the end of the video. The result has one (flow `[H, W, 2]` float32 in pixels of the stored
frames, known `[H, W]` bool or None) per frame, or None for a frame without flow.
"""

import dataclasses
import string
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from afn_jax.data.files.flow import read_flow
from afn_jax.data.source import Clip, Video, VideoReadError
from afn_jax.data.sources.kinds import stem_of
from afn_jax.data.teacher import TEACHERS, create_teacher
from afn_jax.data.transforms.crops import SpatialTransform

Flows = list[tuple[np.ndarray, np.ndarray | None] | None]

_PAIRS = 16  # per call of a teacher: JAX compiles once per shape, and memory stays small


class FlowOrigin(Protocol):
    """Computes or reads flow; see the module.

    Attributes:
        lookahead: frames needed beyond the last requested one.
    """

    lookahead: int

    def __call__(self, video: Video, clip: Clip, start: int, stop: int) -> Flows: ...


def create_flow_origin(kind: str, stride: int) -> FlowOrigin:
    """Creates the origin that `--flow` names.

    Args:
        kind: "own" (the source has exact flow), the name of a teacher, or a pattern of file names.
        stride: distance in frames between the two frames of a pair.

    Raises:
        ValueError: unknown kind or malformed pattern, or a stride that does not fit.
    """
    if kind == "own":
        if stride != 1:
            raise ValueError(
                f"flow stride: got {stride}, but a source's own flow is between neighboring "
                "frames; use 1, or a teacher"
            )
        return OwnFlow()
    if kind in TEACHERS:
        return TeacherFlow(kind, stride)
    return FlowFiles(kind, stride)


@dataclasses.dataclass(frozen=True)
class OwnFlow:
    """The exact flow of a source that has it, such as synthetic-motion."""

    lookahead: int = 0

    def __call__(self, video: Video, clip: Clip, start: int, stop: int) -> Flows:
        masks = [None] * len(clip.flows) if clip.flow_mask is None else clip.flow_mask
        return list(zip(clip.flows, masks, strict=True))


class TeacherFlow:
    """Flow that a teacher estimates from the resized frames, before they are compressed."""

    def __init__(self, name: str, stride: int):
        self._teacher = create_teacher(name)
        self._stride = stride
        self.lookahead: int = stride

    def __call__(self, video: Video, clip: Clip, start: int, stop: int) -> Flows:
        flows: Flows = [None] * (stop - start)
        for phase in range(self._stride):
            frames = clip.frames[phase :: self._stride]
            for first in range(0, len(frames) - 1, _PAIRS):
                piece = frames[first : first + _PAIRS + 1]
                count = len(piece) - 1
                missing = _PAIRS - count
                piece = np.concatenate([piece, np.repeat(piece[-1:], missing, 0)])
                for t, flow in enumerate(self._teacher(piece)[:count], first):
                    flows[phase + t * self._stride] = (flow, None)
        return flows


class FlowFiles:
    """Flow files of another program, in a format of `afn_jax.data.files.flow`.

    The pattern is a path with fields in braces, in Python's format syntax: `{name}`, the video's
    name in its source without the extension (`Walk/clip_1`); `{stem}`, its last part (`clip_1`);
    `{frame}`, the number of the first frame of the pair, from 0, and `{frame1}`, from 1. Example:
    `/flow/{name}/{frame:06d}.flo`. Flow is resized to the size of the frames.
    """

    lookahead = 0

    def __init__(self, pattern: str, stride: int):
        self._pattern, self._stride = pattern, stride
        try:
            fields = {field for _, field, _, _ in string.Formatter().parse(pattern)} - {None}
            self.path("class/video.avi", 0)
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(
                f"flow: got {pattern!r}, which is a malformed pattern ({error}); {_HELP}"
            ) from error
        if not fields & {"frame", "frame1"} or not fields & {"name", "stem"}:
            raise ValueError(f"flow: got {pattern!r}; {_HELP}")

    def path(self, video_name: str, frame: int) -> Path:
        """Returns the path of the flow from `frame` of a video."""
        name = PurePosixPath(stem_of(video_name))
        fields = {"name": str(name), "stem": name.name, "frame": frame, "frame1": frame + 1}
        return Path(self._pattern.format(**fields))

    def __call__(self, video: Video, clip: Clip, start: int, stop: int) -> Flows:
        size = clip.frames.shape[1:3]
        with_flow = range(start, min(stop, video.num_frames - self._stride))
        flows: Flows = [self._read(self.path(video.name, i), size) for i in with_flow]
        return flows + [None] * (stop - start - len(flows))

    def _read(self, path: Path, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        try:
            flow, known = read_flow(path)
        except (OSError, ValueError) as error:
            raise VideoReadError(f"flow: {error}") from error
        height, width = known.shape
        # Rounding changes sides by at most one pixel; other shapes belong to another video.
        if abs(height * size[1] / width - size[0]) > 1 + size[1] / width:
            raise VideoReadError(
                f"flow: {path} has (height, width) = {height, width}, a different aspect ratio "
                f"than the frames, {tuple(size)}"
            )
        fit = SpatialTransform(0, 0, height, width, tuple(size))
        return fit.flows(flow), fit.mask(known)


_HELP = (
    f"allowed: none, own, {', '.join(TEACHERS)}, or a path with the fields {{name}} or {{stem}} "
    "and {frame} (from 0) or {frame1} (from 1), such as '/flow/{name}/{frame:06d}.flo'"
)
