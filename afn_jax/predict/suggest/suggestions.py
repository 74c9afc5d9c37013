"""Which windows to label next: those that the network is least certain of, spread over the videos.

    suggestions = Suggestions(20, card.class_names)
    for each window of each video, one video after the other:
        suggestions.add(path, start, end, probabilities, frames, features)
    suggestions.write(csv_path, page_path)

Uncertainty sampling is described by Settles, "Active Learning Literature Survey" (2009), section
3.1. With features, the windows are also spread over feature space, by the greedy k-center algorithm
of Sener and Savarese, "Active Learning for Convolutional Neural Networks" (2018), among the most
uncertain windows.

Memory does not grow with the number or the length of the videos: only the most uncertain windows
are kept, with small copies of a few of their frames.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from afn_jax.near_names import unknown_name
from afn_jax.predict.suggest.files import write_suggestions
from afn_jax.predict.summary import Thumbnails

By = Literal["margin", "entropy"]
OVERSAMPLE = 5  # windows kept per suggestion, so that features have a choice; guessed
PICTURES = 4  # frames of a window on the page
PICTURE_HEIGHT = 120  # px


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A window, or a whole video, whose label would help.

    Attributes:
        path: of the video.
        start: in seconds; None if the whole video is meant.
        end: likewise.
        probabilities: `[classes]`, what the network says now.
        uncertainty: in [0, 1], see `uncertainty`.
        pictures: uint8 `[height, width, 3]` RGB, in order of time.
        features: `[features]` or None.
    """

    path: str
    start: float | None
    end: float | None
    probabilities: np.ndarray
    uncertainty: float
    pictures: tuple[np.ndarray, ...]
    features: np.ndarray | None = None

    def overlaps(self, other: "Suggestion") -> bool:
        """Whether both are of one video and share some time."""
        if self.path != other.path:
            return False
        if self.start is None or other.start is None:
            return True
        return self.start < other.end and other.start < self.end


class Suggestions:
    """Collects the windows that are worth labeling.

    Attributes:
        count: number of suggestions to make; there may be fewer windows.
        class_names: of the network.
    """

    count: int
    class_names: tuple[str, ...]

    def __init__(
        self,
        count: int,
        class_names: Sequence[str],
        *,
        by: By = "margin",
        whole_videos: bool = False,
    ):
        """Starts without windows.

        Args:
            count: number of suggestions to make.
            class_names: of the network, at least two.
            by: uncertainty, see `uncertainty`.
            whole_videos: suggest videos, by their mean probabilities, instead of windows. For
                videos that show one action from the first to the last frame.

        Raises:
            ValueError: a count below 1, an unknown uncertainty, or fewer than two classes.
        """
        if count < 1:
            raise ValueError(
                f"suggest: got {count}; give the number of windows to label, 1 or more."
            )
        if by not in ("margin", "entropy"):
            raise ValueError(unknown_name("suggest_by", by, ("margin", "entropy")))
        if len(class_names) < 2:
            raise ValueError(
                f"suggest: the network has {len(class_names)} classes, and suggestions need the "
                "probabilities of two or more; give a network that classifies actions."
            )
        self.count, self.class_names = count, tuple(class_names)
        self._by, self._whole_videos = by, whole_videos
        self._pool: list[Suggestion] = []  # of the videos before the current one
        self._current: list[Suggestion] = []
        self._mean: _Mean | None = None  # whole_videos: of the current video
        self._pictures = Thumbnails()  # likewise
        self._videos = 0

    def add(
        self,
        path: str,
        start: float,
        end: float,
        probabilities: np.ndarray,
        frames: np.ndarray,
        features: np.ndarray | None = None,
    ) -> None:
        """Offers a window. The windows of one video are offered one after the other.

        Args:
            path: of the video, as the user gave it.
            start: seconds.
            end: seconds.
            probabilities: `[classes]`. A window with a probability that is not finite is ignored.
            frames: uint8 `[time, height, width, 3]` RGB, of any size, such as what the network
                saw. Copies of a few are kept.
            features: `[features]`, what stands before the classifier; for all windows or for none.
        """
        probabilities = np.asarray(probabilities, np.float32)
        if not np.isfinite(probabilities).all():
            return
        if not self._current or self._current[0].path != path:
            self.take_video()
        found = uncertainty(probabilities, self._by)
        if self._whole_videos:
            if self._mean is None:
                self._mean, self._pictures = _Mean(), Thumbnails()
            self._mean.add(probabilities, features)
            self._pictures.add(frames[len(frames) // 2])
            if self._current and self._current[0].uncertainty >= found:
                return
            self._current = []
        elif any(
            _overlaps(kept, start, end) and kept.uncertainty >= found for kept in self._current
        ):
            return
        else:  # the windows that it overlaps are all less uncertain
            self._current = [kept for kept in self._current if not _overlaps(kept, start, end)]
            if len(self._current) >= OVERSAMPLE * self.count:
                least = min(self._current, key=lambda kept: kept.uncertainty)
                if least.uncertainty >= found:
                    return
                self._current.remove(least)
        if features is not None:
            features = np.array(features, np.float32)
        pictures = _pictures(frames)
        self._current.append(
            Suggestion(path, start, end, probabilities.copy(), found, pictures, features)
        )

    def choose(self) -> tuple[Suggestion, ...]:
        """Returns the suggestions, most uncertain first.

        No two of them overlap in time. Each video has at most `ceil(count / videos)`, or more if
        the other videos have too few windows.
        """
        self.take_video()
        pool = sorted(self._pool, key=_order)
        spread = bool(pool) and all(item.features is not None for item in pool)
        chosen: list[Suggestion] = []
        for most in itertools.count(max(1, math.ceil(self.count / max(1, self._videos)))):
            while len(chosen) < self.count:
                allowed = [item for item in pool if _allowed(item, chosen, most)]
                if not allowed:
                    break
                chosen.append(_farthest(allowed, chosen) if spread and chosen else allowed[0])
            if len(chosen) == self.count or most >= self.count:
                return tuple(sorted(chosen, key=_order))
        raise AssertionError("unreachable")

    def write(self, csv_path: Path, page: Path) -> None:
        """Writes the list to fill in and its page, such as `suggest.csv` and `suggest.html`.

        Raises:
            OSError: the folder is missing, or the disk is full.
        """
        write_suggestions(csv_path, page, self.choose(), self.class_names)

    def _limit(self) -> int:
        """Returns how many windows of a video may be kept."""
        return OVERSAMPLE * math.ceil(self.count / max(1, self._videos))

    @property
    def kind(self) -> dict[str, Any]:
        """What the windows of a video depend on that are kept."""
        return {"count": self.count, "by": self._by, "whole": self._whole_videos}

    def discard_video(self) -> None:
        """Forgets the windows of the current video."""
        self._current, self._mean = [], None

    def take_video(self) -> list[Suggestion]:
        """Ends the current video and returns the windows of it that may be suggested."""
        found, self._current = self._current, []
        if not found:
            return found
        if self._mean is not None:
            probabilities, features = self._mean.compute()
            found = [
                dataclasses.replace(
                    found[0],
                    start=None,
                    end=None,
                    probabilities=probabilities,
                    uncertainty=uncertainty(probabilities, self._by),
                    pictures=self._pictures.compute(),
                    features=features,
                )
            ]
            self._mean = None
        self.add_video(found)
        return found

    def add_video(self, found: Sequence[Suggestion]) -> None:
        """Offers what `take_video` returned of a video, perhaps in an earlier process."""
        self._videos += bool(found)
        kept: list[Suggestion] = []
        per_video: dict[str, int] = {}
        for item in sorted([*self._pool, *found], key=_order):
            per_video[item.path] = per_video.get(item.path, 0) + 1
            if per_video[item.path] <= self._limit() and len(kept) < OVERSAMPLE * self.count:
                kept.append(item)
        self._pool = kept


def uncertainty(probabilities: np.ndarray, by: By = "margin") -> float:
    """Computes how uncertain a network is: 0 for one sure class, 1 for no preference.

    Args:
        probabilities: `[classes]`, two or more.
        by: margin: 1 minus the difference of the two largest probabilities. entropy: the entropy
            of all probabilities, divided by that of equal ones.
    """
    if by == "margin":
        second, first = np.sort(np.asarray(probabilities, np.float64))[-2:]
        return float(1 - (first - second))
    positive = probabilities[probabilities > 0].astype(np.float64)
    return float(-(positive * np.log(positive)).sum() / np.log(len(probabilities)))


class _Mean:
    """Mean probabilities and features of the windows of a video."""

    def __init__(self):
        self._count, self._probabilities, self._features = 0, 0.0, None

    def add(self, probabilities: np.ndarray, features: np.ndarray | None) -> None:
        self._count += 1
        self._probabilities = self._probabilities + probabilities.astype(np.float64)
        if features is not None:
            before = 0.0 if self._features is None else self._features
            self._features = before + np.asarray(features, np.float64)

    def compute(self) -> tuple[np.ndarray, np.ndarray | None]:
        features = None
        if self._features is not None:
            features = (self._features / self._count).astype(np.float32)
        return (self._probabilities / self._count).astype(np.float32), features


def _order(item: Suggestion) -> tuple[float, str, float]:
    """Most uncertain first; the rest makes the order of equals certain."""
    return (-item.uncertainty, item.path, item.start or 0.0)


def _overlaps(kept: Suggestion, start: float, end: float) -> bool:
    return kept.start < end and start < kept.end


def _allowed(item: Suggestion, chosen: list[Suggestion], most: int) -> bool:
    if sum(other.path == item.path for other in chosen) >= most:
        return False
    return not any(item.overlaps(other) for other in chosen)


def _farthest(allowed: list[Suggestion], chosen: list[Suggestion]) -> Suggestion:
    """Returns the window whose features are farthest from all chosen ones; the first of equals."""
    ours, theirs = (_directions([item.features for item in part]) for part in (allowed, chosen))
    nearest = np.min(1 - ours @ theirs.T, axis=1)
    return allowed[int(np.argmax(nearest))]


def _directions(features: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(features).astype(np.float64)
    return stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12)


def _pictures(frames: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns small copies of a few frames, evenly over the window."""
    count = min(PICTURES, len(frames))
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    return tuple(_shrunk(frames[index]) for index in chosen)


def _shrunk(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if height <= PICTURE_HEIGHT:
        return picture.copy()
    size = (max(1, round(width * PICTURE_HEIGHT / height)), PICTURE_HEIGHT)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
