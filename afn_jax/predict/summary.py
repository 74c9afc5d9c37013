"""What remains of a video of any length: its strip, its most probable classes, a few pictures."""

import cv2
import numpy as np

MOST_BINS = 1000  # of a strip
_FIRST_BIN = 0.02  # seconds; guessed: shorter than a frame
THUMBNAILS = 6
THUMBNAIL_HEIGHT = 120


class Strip:
    """Mean probabilities in bins of equal time, at most `MOST_BINS`.

    When the video gets longer than the bins, neighboring bins are merged.
    """

    seconds: float

    def __init__(self, num_classes: int):
        """Starts at time 0."""
        self.seconds = _FIRST_BIN
        self._sums = np.zeros((MOST_BINS, num_classes))
        self._known = np.zeros(MOST_BINS)  # seconds per bin of which probabilities are known
        self._used = 0

    def add(self, start: float, end: float, probabilities: np.ndarray) -> None:
        """Adds the probabilities `[classes]` of a piece of time."""
        start = max(0.0, start)
        while end > MOST_BINS * self.seconds:
            self._merge()
        first = int(start / self.seconds)
        last = min(MOST_BINS, int(np.ceil(end / self.seconds)))
        if last <= first:
            return
        edges = np.arange(first, last + 1) * self.seconds
        seconds = np.maximum(0, np.minimum(edges[1:], end) - np.maximum(edges[:-1], start))
        self._sums[first:last] += seconds[:, None] * probabilities
        self._known[first:last] += seconds
        self._used = max(self._used, last)

    def compute(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the most probable class per bin, -1 where unknown, and its probability."""
        known = self._known[: self._used]
        if not self._sums.shape[1]:
            return np.full(self._used, -1), np.zeros(self._used)
        mean = self._sums[: self._used] / np.maximum(known, 1e-12)[:, None]
        labels = np.where(known > 0, mean.argmax(1), -1)
        return labels, np.where(known > 0, mean.max(1), 0.0)

    def top(self, count: int) -> tuple[tuple[int, float], ...]:
        """Returns the most probable classes over the whole time, and their mean probabilities."""
        known = self._known.sum()
        if not known or not self._sums.shape[1]:
            return ()
        mean = self._sums.sum(0) / known
        return tuple((int(k), float(mean[k])) for k in np.argsort(-mean, kind="stable")[:count])

    def _merge(self) -> None:
        half = MOST_BINS // 2
        for array in (self._sums, self._known):
            array[:half] = array[0::2] + array[1::2]
            array[half:] = 0
        self.seconds *= 2
        self._used = -(-self._used // 2)


class Thumbnails:
    """A few small pictures, evenly over a time of unknown length."""

    def __init__(self):
        """Starts without pictures."""
        self._kept: list[np.ndarray] = []
        self._step = self._count = 0

    def add(self, image: np.ndarray) -> None:
        """Takes the next frame, `[H, W, 3]` uint8."""
        self._step = self._step or 1
        if self._count % self._step == 0:
            if len(self._kept) == 4 * THUMBNAILS:
                self._kept = self._kept[::2]
                self._step *= 2
            if self._count % self._step == 0:
                self._kept.append(_small(image))
        self._count += 1

    def compute(self) -> tuple[np.ndarray, ...]:
        """Returns at most `THUMBNAILS` pictures, from the middles of equal parts of the time."""
        count = min(THUMBNAILS, len(self._kept))
        return tuple(self._kept[int((k + 0.5) * len(self._kept) / count)] for k in range(count))


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if height <= THUMBNAIL_HEIGHT:
        return image.copy()
    size = max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
