"""Cuts a sequence of frames into the windows that a network takes; NumPy only.

The same code cuts files and live sources, so both give the same windows.
"""

import dataclasses
from collections import deque

import numpy as np

from afn_jax.data.transforms.sampling import uniform_segment_starts
from afn_jax.data.transforms.views import segment_indices

_SAME_TIME = 1e-3  # seconds; less than a frame lasts; guessed, as in `segment_frames`


@dataclasses.dataclass(frozen=True)
class Shape:
    """Which frames of a video make a window.

    Attributes:
        num_frames: frames per window, all parts together.
        stride: from one frame of a part to the next, in frames of the video.
        num_segments: number of parts.
        span: frames of the video from the first to the last frame of a window, both included.
        adjacent: whether each part starts one stride after the end of the part before it. If not,
            the parts are spread as evaluation spreads them over a video of `span` frames.
    """

    num_frames: int
    stride: int
    num_segments: int
    span: int
    adjacent: bool = True

    @property
    def offsets(self) -> np.ndarray:
        """`[num_frames]` frame numbers, relative to the start of the window."""
        return self.indices(self.span)

    def indices(self, video_frames: int) -> np.ndarray:
        """Returns the frames of a window over a whole video; shorter ones are repeated."""
        length, parts = self.num_frames // self.num_segments, self.num_segments
        if self.adjacent and video_frames >= self.span:
            starts = np.arange(parts) * length * self.stride
        else:
            starts = uniform_segment_starts(video_frames, parts, length, self.stride, 1)[0]
        return segment_indices(starts, length, self.stride, video_frames).ravel()


def window_shape(
    num_frames: int, stride: int, num_segments: int = 1, frames: int | None = None
) -> Shape:
    """Returns the shape of a window.

    Args:
        num_frames: frames per window, all parts together.
        stride: from one frame of a part to the next, in frames of the video.
        num_segments: number of parts.
        frames: length in frames of the video to spread the parts over; None: the parts are
            adjacent.

    Raises:
        ValueError: `frames` is too short for the parts, or given for a window of one part.
    """
    span = (num_frames - 1) * stride + 1
    if frames is None:
        return Shape(num_frames, stride, num_segments, span)
    if num_segments == 1:
        raise ValueError(
            "window: the network takes one continuous piece of the video, whose length is fixed at "
            f"{num_frames} frames, {stride} apart; leave --window out."
        )
    if frames < span:
        raise ValueError(
            f"window: {frames} frames of the video are too short for {num_segments} parts of "
            f"{num_frames // num_segments} frames, {stride} apart; give --window the length of at "
            f"least {span} frames."
        )
    return Shape(num_frames, stride, num_segments, frames, adjacent=False)


@dataclasses.dataclass(frozen=True)
class Window:
    """A window of a video.

    Attributes:
        number: counts the windows of a video from 0.
        first: number of its first frame in the video.
        last: number of its last frame.
        start: when its first frame is shown, in seconds.
        end: when its last frame ends: at its time plus the period of the average frame rate.
        indices: `[num_frames]` numbers in the video of the frames that the network sees.
        frames: `[num_frames, H, W, 3]` uint8.
    """

    number: int
    first: int
    last: int
    start: float
    end: float
    indices: np.ndarray
    frames: np.ndarray


class Windows:
    """Collects frames and returns each window as soon as its last frame is there.

    Windows start at frame 0 and then every so often: every `every_frames` frames, or at the first
    frame of each interval of `every_seconds`; these starts are the grid. If the last window ends
    before the video does, a window that ends with the video follows. If it starts after the whole
    grid, its start belongs to the grid too. A video shorter than a window is repeated, as in
    training. Memory: the frames of one window.

    Attributes:
        shape: of the windows.
        grid: (frame, time) of each start since `take_grid` was last called.
        repeated: whether the video was shorter than a window.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        every_frames: int | None = None,
        every_seconds: float | None = None,
        period: float = 0.0,
    ):
        """Starts before the first frame.

        Args:
            shape: of the windows.
            every_frames: frames from one window to the next; None with `every_seconds` None: half
                of the window's span, at least one.
            every_seconds: seconds from one window to the next.
            period: how long a frame is shown at the average rate, in seconds.
        """
        self.shape = shape
        self.repeated: bool = False
        if every_frames is None and every_seconds is None:
            every_frames = max(1, shape.span // 2)
        self._every_frames, self._every_seconds = every_frames, every_seconds
        self._period = period
        self._offsets = shape.offsets
        self._kept: deque[tuple[float, np.ndarray]] = deque(maxlen=shape.span)
        self._starts: deque[int] = deque()  # of windows whose last frame is still to come
        self.grid: list[tuple[int, float]] = []
        self._last_start = -1  # of the grid
        self._first_time, self._intervals = 0.0, 0
        self._count = self._number = 0
        self._covered = 0  # frames before this one are in a window

    @property
    def num_frames(self) -> int:
        """Number of frames so far."""
        return self._count

    def take_grid(self) -> list[tuple[int, float]]:
        """Returns (frame, time) of the starts that were found since the last call."""
        grid, self.grid = self.grid, []
        return grid

    def add(self, time: float, image: np.ndarray) -> list[Window]:
        """Takes the next frame; returns the windows that it completes, at most one."""
        if self._starts_here(time):
            self._starts.append(self._count)
            self._add_to_grid(self._count, time)
        self._kept.append((time, image))
        self._count += 1
        if not self._starts or self._starts[0] + self.shape.span > self._count:
            return []
        return [self._window(self._starts.popleft(), self._offsets)]

    def finish(self) -> list[Window]:
        """Returns the window that covers the end of the video, if none does yet."""
        if self._covered == self._count:
            return []
        if self._count < self.shape.span:
            self.repeated = True
            return [self._window(0, self.shape.indices(self._count))]
        window = self._window(self._count - self.shape.span, self._offsets)
        if window.first > self._last_start:
            self._add_to_grid(window.first, window.start)
        return [window]

    def _add_to_grid(self, frame: int, time: float) -> None:
        self.grid.append((frame, time))
        self._last_start = frame

    def _starts_here(self, time: float) -> bool:
        if self._every_seconds is None:
            return self._count % self._every_frames == 0
        if self._count == 0:
            self._first_time = time
        passed = int((time - self._first_time + _SAME_TIME) // self._every_seconds)
        if self._count and passed < self._intervals:
            return False
        self._intervals = passed + 1
        return True

    def _window(self, start: int, offsets: np.ndarray) -> Window:
        first_kept = self._count - len(self._kept)
        numbers = start + offsets
        last = min(start + self.shape.span, self._count) - 1
        window = Window(
            number=self._number,
            first=start,
            last=last,
            start=self._kept[start - first_kept][0],
            end=self._kept[last - first_kept][0] + self._period,
            indices=numbers,
            frames=np.stack([self._kept[number - first_kept][1] for number in numbers]),
        )
        self._number += 1
        self._covered = last + 1
        return window
