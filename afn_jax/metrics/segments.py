"""Metrics of actions in time: frame accuracy, segment F1 and mean average precision.

Segment F1: Lea, Flynn, Vidal, Reiter and Hager, "Temporal Convolutional Networks for Action
Segmentation and Detection" (CVPR 2017), section 4.1, with the matching rule of the code of MS-TCN
(Abu Farha and Gall, CVPR 2019): each predicted segment, in order of time, belongs to the true one
of its class with which it has the largest intersection over union (IoU), and is right if that is
large enough and no earlier segment took it.

Mean average precision: ActivityNet's (Caba Heilbron, Escorcia, Ghanem and Niebles, CVPR 2015; rule
of its evaluation code): predicted segments of a class in order of their scores, each takes the true
segment of the largest IoU that is not taken yet; interpolated precision; mean over the classes that
occur.

Only NumPy is used. Segments are any objects with `label`, `start` and `end` in seconds, predicted
ones also with `score`, such as `Interval` and `afn_jax.predict.segments.Segment`.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np

BACKGROUND = -1
F1_OVERLAPS = (0.1, 0.25, 0.5)
AP_OVERLAPS = (0.1, 0.25, 0.5)
ACTIVITYNET_OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())


class Interval(NamedTuple):
    """An action in time: 0-based class, start and end (exclusive) in seconds, score."""

    label: int
    start: float
    end: float
    score: float = 1.0


class SegmentLike(Protocol):
    """What the metrics read of a segment."""

    @property
    def label(self) -> int:
        """0-based class."""
        ...

    @property
    def start(self) -> float:
        """In seconds."""
        ...

    @property
    def end(self) -> float:
        """In seconds, exclusive."""
        ...

    @property
    def score(self) -> float:
        """The larger, the more certain."""
        ...


@dataclasses.dataclass(frozen=True)
class SegmentMetric:
    """Metrics of segments over videos; `a.merge(b)` adds the videos of b.

    Attributes:
        videos: (true, predicted) segments of each video.
        frames: number of frames.
        right_frames: those with the right label; the background is a class.
        action_frames: number of frames in true segments.
        right_action_frames: those with the right label.
    """

    videos: tuple[tuple[tuple[Interval, ...], tuple[Interval, ...]], ...] = ()
    frames: int = 0
    right_frames: int = 0
    action_frames: int = 0
    right_action_frames: int = 0

    @classmethod
    def from_video(
        cls,
        true: Sequence[SegmentLike],
        predicted: Sequence[SegmentLike],
        times: np.ndarray,
    ) -> Self:
        """Computes the metric of one video.

        Args:
            true: without overlaps.
            predicted: may overlap; then the one of the highest score counts for a frame.
            times: `[frames]` seconds at which labels are compared, such as those of the frames.

        Raises:
            ValueError: a segment that does not end after its start, or true ones that overlap.
        """
        true, predicted = _checked(true), _checked(predicted)
        for one, other in zip(true, true[1:], strict=False):
            if other.start < one.end:
                raise ValueError(f"true segments overlap: {one} and {other}; give disjoint ones.")
        should, found = frame_labels(true, times), frame_labels(predicted, times)
        right, action = should == found, should != BACKGROUND
        return cls(
            ((true, predicted),),
            len(should),
            int(right.sum()),
            int(action.sum()),
            int((right & action).sum()),
        )

    def merge(self, other: Self) -> Self:
        """Returns the metric over the videos of both."""
        return type(self)(
            self.videos + other.videos,
            self.frames + other.frames,
            self.right_frames + other.right_frames,
            self.action_frames + other.action_frames,
            self.right_action_frames + other.right_action_frames,
        )

    def f1(self, overlap: float) -> float:
        """Returns the F1 score at an IoU, over all videos; NaN if there is no segment at all."""
        counts = [matches(true, predicted, overlap) for true, predicted in self.videos]
        right, wrong, missed = np.sum(counts, axis=0) if counts else (0, 0, 0)
        total = 2 * right + wrong + missed
        return float(2 * right / total) if total else float("nan")

    def average_precision(self, overlap: float) -> dict[int, float]:
        """Returns the average precision at an IoU of each class that occurs."""
        labels = sorted({item.label for true, _ in self.videos for item in true})
        return {label: _average_precision(self.videos, label, overlap) for label in labels}

    def mean_average_precision(self, overlap: float) -> float:
        """Returns the mean over the classes that occur; NaN if none does."""
        found = list(self.average_precision(overlap).values())
        return float(np.mean(found)) if found else float("nan")

    def compute(self) -> dict[str, float]:
        """Returns all metrics, in [0, 1]; NaN if there is nothing to measure.

        `frame_accuracy` counts the background as a class, `action_frame_accuracy` leaves out the
        frames without a true action. `f1_10` is F1 at IoU .1; `map_10` likewise. `map_activitynet`
        is the mean over IoU .5, .55, ..., .95. `segments` and `true_segments` are counts.
        """
        result = {
            "frame_accuracy": _ratio(self.right_frames, self.frames),
            "action_frame_accuracy": _ratio(self.right_action_frames, self.action_frames),
        }
        result |= {f"f1_{100 * overlap:.0f}": self.f1(overlap) for overlap in F1_OVERLAPS}
        precision = self.mean_average_precision
        result |= {f"map_{100 * overlap:.0f}": precision(overlap) for overlap in AP_OVERLAPS}
        result["map_activitynet"] = float(np.mean([precision(o) for o in ACTIVITYNET_OVERLAPS]))
        result["segments"] = sum(len(predicted) for _, predicted in self.videos)
        result["true_segments"] = sum(len(true) for true, _ in self.videos)
        return result


def frame_labels(segments: Sequence[SegmentLike], times: np.ndarray) -> np.ndarray:
    """Returns the label `[frames]` at each time: of the segment of the highest score there.

    Times without a segment have the label `BACKGROUND`.
    """
    times = np.asarray(times, np.float64)
    labels = np.full(len(times), BACKGROUND)
    for item in sorted(segments, key=lambda item: item.score):
        labels[(times >= item.start) & (times < item.end)] = item.label
    return labels


def overlap_of(one: SegmentLike, other: SegmentLike) -> float:
    """Computes the intersection over union of two intervals of time."""
    both = min(one.end, other.end) - max(one.start, other.start)
    if both <= 0:
        return 0.0
    return both / (max(one.end, other.end) - min(one.start, other.start))


def matches(
    true: Sequence[SegmentLike], predicted: Sequence[SegmentLike], overlap: float
) -> tuple[int, int, int]:
    """Counts right, wrong and missed segments of a video at an IoU, by the rule of MS-TCN."""
    taken: set[int] = set()
    for item in sorted(predicted, key=lambda item: (item.start, item.end)):
        values = [overlap_of(item, other) * (item.label == other.label) for other in true]
        best = int(np.argmax(values)) if values else 0
        if values and values[best] >= overlap and best not in taken:
            taken.add(best)
    return len(taken), len(predicted) - len(taken), len(true) - len(taken)


def _average_precision(videos, label: int, overlap: float) -> float:
    """Computes ActivityNet's average precision of a class that occurs."""
    count = sum(item.label == label for true, _ in videos for item in true)
    predicted = [
        (item, video)
        for video, (_, found) in enumerate(videos)
        for item in found
        if item.label == label
    ]
    predicted.sort(key=lambda pair: -pair[0].score)
    taken: set[tuple[int, int]] = set()
    right = np.zeros(len(predicted))
    for number, (item, video) in enumerate(predicted):
        true = [
            (overlap_of(item, other), -index)
            for index, other in enumerate(videos[video][0])
            if other.label == label and (video, index) not in taken
        ]
        best, index = max(true, default=(0.0, 0))
        if true and best >= overlap:
            taken.add((video, -index))
            right[number] = 1
    return interpolated_average_precision(right, count)


def interpolated_average_precision(right: np.ndarray, count: int) -> float:
    """Computes the area under the interpolated curve of precision over recall.

    Args:
        right: `[predictions]`, whether each is right, highest score first.
        count: number of true segments.
    """
    found = np.cumsum(right)
    precision = found / np.arange(1, len(right) + 1)
    recall = np.concatenate([[0.0], found / count])
    # Precision at a recall is the best that is reached at this recall or a higher one.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * best).sum())


def _checked(segments: Sequence[SegmentLike]) -> tuple[Interval, ...]:
    """Returns segments in order of their starts."""
    for item in segments:
        if not item.start < item.end:
            raise ValueError(
                f"a segment of class {item.label} lasts from {item.start} to {item.end} s; its end "
                "must be after its start."
            )
    found = (Interval(s.label, s.start, s.end, s.score) for s in segments)
    return tuple(sorted(found, key=lambda item: (item.start, item.end, item.label)))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
