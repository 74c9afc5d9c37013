"""Probes of a network: use of motion, occlusion maps, future flow, gains per class.

These are functions of clips and predictions; `eval.probe` is the command. Clips are
`[..., T, H, W, 3]` uint8, probabilities `[..., classes]`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from afn_jax.metrics import Mean

Probabilities = Callable[[np.ndarray], np.ndarray]

ORDERS = ("as it is", "frozen", "shuffled", "reversed")


def frame_order(kind: str, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the frame numbers of a rearranged clip, `[num_frames]`.

    Args:
        kind: one of `ORDERS`. "frozen" repeats the middle frame; "shuffled" is a random order that
            is neither that of the clip nor its reverse.
        num_frames: number of frames of the clip.
        rng: random numbers for "shuffled".
    """
    forward = np.arange(num_frames)
    if kind == "as it is":
        return forward
    if kind == "frozen":
        return np.full(num_frames, num_frames // 2)
    if kind == "reversed" or num_frames < 3:  # two frames have only one other order
        return forward[::-1]
    while True:
        order = rng.permutation(num_frames)
        if (order != forward).any() and (order != forward[::-1]).any():
            return order


def reordered(clips: np.ndarray, kind: str, seeds: Sequence[int]) -> np.ndarray:
    """Rearranges the frames of clips `[N, T, ...]`; `seeds` has one seed per clip for shuffling."""
    num_frames = clips.shape[1]
    return np.stack(
        [
            clip[frame_order(kind, num_frames, np.random.default_rng(int(seed)))]
            for clip, seed in zip(clips, seeds, strict=True)
        ]
    )


def occlusion_map(
    predict: Probabilities, clip: np.ndarray, label: int, *, square: int, stride: int
) -> np.ndarray:
    """Computes the loss of confidence in a class due to a black square, for each position of it.

    This is the relative difference `(before - after) / before` of ActionFlowNet section 4.3.1
    (after Zeiler and Fergus 2014), with the square at the same position in all frames. At 1, the
    square removes all confidence; below 0, it hides evidence for another class. The paper does not
    report the side and the stride of the square.

    Args:
        predict: maps `[N, T, H, W, 3]` uint8 to `[N, classes]` probabilities.
        clip: `[T, H, W, 3]` uint8.
        label: the class.
        square: side of the square, in pixels.
        stride: largest distance between neighboring positions, in pixels; 1 or more.

    Returns:
        `[rows, columns]` float64. The positions are evenly spaced from border to border.

    Raises:
        ValueError: the square is larger than the frames.
    """
    height, width = clip.shape[1:3]
    if square > min(height, width):
        raise ValueError(f"square: got {square}, but it must be at most {min(height, width)}.")
    tops, lefts = _places(height, square, stride), _places(width, square, stride)
    before = float(predict(clip[None])[0, label])
    after = np.empty((len(tops), len(lefts)))
    for row, top in enumerate(tops):
        hidden = np.repeat(clip[None], len(lefts), 0)
        for column, left in enumerate(lefts):
            hidden[column, :, top : top + square, left : left + square] = 0
        after[row] = predict(hidden)[:, label]
    return (before - after) / max(before, 1e-12)


def _places(side: int, square: int, stride: int) -> np.ndarray:
    """Returns evenly spaced starts of squares, at most `stride` apart, from border to border."""
    last = side - square
    count = -(-last // stride) + 1
    return np.rint(np.linspace(0, last, count)).astype(int)


def spread(values: np.ndarray, size: tuple[int, int], square: int) -> np.ndarray:
    """Averages an occlusion map, at each pixel, over the squares that cover it: `[H, W]`."""
    height, width = size
    total, count = np.zeros(size), np.zeros(size)
    tops = np.rint(np.linspace(0, height - square, values.shape[0])).astype(int)
    lefts = np.rint(np.linspace(0, width - square, values.shape[1])).astype(int)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            total[top : top + square, left : left + square] += values[row, column]
            count[top : top + square, left : left + square] += 1
    return total / np.maximum(count, 1)


def class_gains(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
    """Computes the accuracy of a second run minus that of a first, per class (Figure 6).

    Args:
        first: `[videos]` bool, whether the first run is right.
        second: `[videos]` bool, whether the second run is right.
        labels: `[videos]`, 0-based.
        num_classes: number of classes.

    Returns:
        `[classes]`; NaN for classes without a video.
    """
    count = np.bincount(labels, minlength=num_classes)
    gain = np.bincount(labels, second.astype(float) - first.astype(float), num_classes)
    return np.divide(gain, count, out=np.full(num_classes, np.nan), where=count > 0)


def future_errors(flows: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> dict[str, Mean]:
    """Computes the endpoint error of the future flow and of what it is compared with.

    Args:
        flows: predicted flow, `[N, T, H, W, 2]` with T of at least 2; the last one leads to the
            frame after the clip.
        targets: true flow, the same shape.
        mask: `[N, T, H, W]` bool, True where the target is valid.

    Returns:
        "between": the flows between frames of the clip; "future": the last flow; "persistence": the
        predicted flow between the last two frames, used as the future flow; "zero": zero flow, used
        as the future flow. The last three are over the same pixels.
    """

    def error(flow, target, mask):
        distance = np.linalg.norm(np.float64(flow) - target, axis=-1)
        return Mean(float(distance[mask].sum()), int(mask.sum()))

    future, ahead = targets[:, -1], mask[:, -1]
    return {
        "between": error(flows[:, :-1], targets[:, :-1], mask[:, :-1]),
        "future": error(flows[:, -1], future, ahead),
        "persistence": error(flows[:, -2], future, ahead),
        "zero": error(np.zeros_like(future), future, ahead),
    }


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Computes Spearman's rank correlation, in [-1, 1]; NaN if `x` or `y` is constant."""
    if min(len(set(x)), len(set(y))) < 2:
        return float("nan")
    return float(stats.spearmanr(x, y).statistic)
