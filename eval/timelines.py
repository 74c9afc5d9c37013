"""Runs a network over whole videos with the classes of `afn_jax.predict`.

Everything that `python -m eval segments` compares comes from one pass over the frames: the steps of
`predict`, and windows side by side, each on its own.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from afn_jax.export.network import Network
from afn_jax.metrics.segments import Interval
from afn_jax.predict.engine import Recognition
from afn_jax.predict.frames.network_input import NetworkInput
from afn_jax.predict.frames.windows import Windows
from afn_jax.predict.predictor import Predictor
from afn_jax.predict.segments import Segment, SegmentFinder, Threshold
from afn_jax.predict.settings import Settings
from afn_jax.predict.timeline import Step

FrameAt = tuple[float, np.ndarray]  # seconds, uint8 [H, W, 3]


@dataclasses.dataclass(frozen=True)
class Timelines:
    """What a network says of a video over time.

    Attributes:
        name: of the video.
        true: the true segments.
        steps: of `predict`.
        windows: the windows side by side as steps, each with its own probabilities.
        times: `[frames]` seconds.
        duration: seconds.
    """

    name: str
    true: tuple[Interval, ...]
    steps: tuple[Step, ...]
    windows: tuple[Step, ...]
    times: np.ndarray
    duration: float


def read_timelines(
    frames: Iterable[FrameAt],
    network: Network,
    settings: Settings,
    *,
    fps: float,
    name: str,
    true: Sequence[Interval],
) -> Timelines:
    """Runs the network over the frames of a video.

    Args:
        frames: in order; resized to the network's short side, not yet cropped.
        network: classifies.
        settings: of the windows; thresholds are not used.
        fps: average frame rate.
        name: of the video.
        true: the true segments.
    """
    recognition = Recognition(network, settings, fps)
    shape = recognition.windows.shape
    alone = Windows(shape, every_frames=shape.span, period=1 / fps)
    alone_predictor = Predictor(network, settings.batch_size)
    seen: NetworkInput | None = None
    steps: list[Step] = []
    windows: list[Step] = []
    times: list[float] = []
    for time, image in frames:
        if seen is None:
            seen = NetworkInput(network.card, *image.shape[:2])
        kept = seen.frame(image)
        for window in recognition.windows.add(time, kept):
            for result in recognition.predictor.add(window, seen.window(window.frames)):
                steps += recognition.steps(result)
        for window in alone.add(time, kept):
            windows += map(_step, alone_predictor.add(window, seen.window(window.frames)))
        times.append(time)
    if seen is None:
        raise ValueError(f"{name} has no frames.")
    duration = times[-1] + 1 / fps
    for window in recognition.windows.finish():
        for result in recognition.predictor.add(window, seen.window(window.frames)):
            steps += recognition.steps(result)
    for result in recognition.predictor.flush():
        steps += recognition.steps(result)
    steps += recognition.last_steps(duration)
    for window in alone.finish():
        windows += map(_step, alone_predictor.add(window, seen.window(window.frames)))
    windows += map(_step, alone_predictor.flush())
    return Timelines(
        name, tuple(true), tuple(steps), tuple(_disjoint(windows)), np.array(times), duration
    )


def predicted_segments(
    timelines: Timelines, thresholds: Sequence[Threshold], background: int | None
) -> list[Segment]:
    """Returns the segments that `predict` writes, without those of the background class."""
    finder = SegmentFinder(thresholds)
    found: list[Segment] = []
    for step in timelines.steps:
        found += finder.add(step.start, step.end, step.probabilities)
    found += finder.finish()
    return [segment for segment in found if segment.label != background]


def window_segments(
    timelines: Timelines, background: int | None, threshold: float = 0.0
) -> list[Segment]:
    """Returns the most probable class of each window; equal neighbors are joined.

    Args:
        timelines: of a video.
        background: class that is left out.
        threshold: windows whose largest probability is below it are left out.
    """
    joined: list[list[Step]] = []
    last = None
    for window in timelines.windows:
        label = int(np.argmax(window.probabilities))
        kept = label != background and window.probabilities[label] >= threshold
        if kept and last == label:
            joined[-1].append(window)
        elif kept:
            joined.append([window])
        last = label if kept else None
    return [_segment(windows) for windows in joined]


def _segment(windows: Sequence[Step]) -> Segment:
    label = int(np.argmax(windows[0].probabilities))
    lengths = [window.end - window.start for window in windows]
    score = np.average([window.probabilities[label] for window in windows], weights=lengths)
    return Segment(label, windows[0].start, windows[-1].end, float(score))


def _step(result) -> Step:
    window = result.window
    return Step(window.start, window.end, result.probabilities, window.first, window.last)


def _disjoint(windows: Sequence[Step]) -> Iterator[Step]:
    """Yields the windows; the last one, which ends with the video, starts after the one before."""
    end = -np.inf
    for window in windows:
        start = max(window.start, end)
        if start < window.end:
            yield window._replace(start=start)
        end = window.end
