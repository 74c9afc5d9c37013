"""Probes of a network: does it use motion, where does it look, how well does it see ahead?

Functions of a predict function and clips; `eval.probe` is the command. Clips are
`[..., T, H, W, 3]` uint8, probabilities `[..., classes]`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

Probabilities = Callable[[np.ndarray], np.ndarray]

ORDERS = ("as it is", "frozen", "shuffled", "reversed")


def frame_order(kind: str, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """`[num_frames]` frame numbers: what a clip becomes.

    Args:
        kind: one of `ORDERS`: "frozen" repeats the middle frame, "shuffled" is a random order that
            is neither the clip's nor its reverse.
        num_frames: of the clip.
        rng: of the random order.

    Raises:
        ValueError: unknown `kind`.
    """
    forward = np.arange(num_frames)
    if kind == "as it is":
        return forward
    if kind == "frozen":
        return np.full(num_frames, num_frames // 2)
    if kind == "reversed":
        return forward[::-1]
    if kind != "shuffled":
        raise ValueError(f"kind: got {kind!r}, allowed are {', '.join(ORDERS)}")
    if num_frames < 3:
        return forward[::-1]  # two frames have no other order
    while True:
        order = rng.permutation(num_frames)
        if (order != forward).any() and (order != forward[::-1]).any():
            return order


def reordered(clips: np.ndarray, kind: str, seeds: Sequence[int]) -> np.ndarray:
    """Clips `[N, T, ...]` in another order of frames; each shuffle comes from its own seed."""
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
    """How much confidence in `label` a black square takes away, by where it is.

    The relative difference `(before - after) / before` of ActionFlowNet section 4.3.1 (after Zeiler
    and Fergus 2014), the square at the same place in all frames. 1: it hid all that the decision
    rests on; below 0: it hid what spoke for another class. Side and stride of the square are not in
    the paper.

    Args:
        predict: `[N, T, H, W, 3]` uint8 -> `[N, classes]` probabilities.
        clip: `[T, H, W, 3]` uint8.
        label: the class.
        square: side of the square, in pixels.
        stride: pixels from one place to the next.

    Returns:
        `[rows, columns]` float64. The squares are evenly spread from border to border.

    Raises:
        ValueError: a square that is not inside the picture, or no stride.
    """
    height, width = clip.shape[1:3]
    if not 1 <= square <= min(height, width):
        raise ValueError(f"square: got {square}; give 1 to {min(height, width)} pixels")
    if stride < 1:
        raise ValueError(f"stride: got {stride}; give 1 pixel or more")
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
    """Evenly spread starts of squares, at most `stride` apart, from one border to the other."""
    last = side - square
    count = -(-last // stride) + 1
    return np.rint(np.linspace(0, last, count)).astype(int)


def spread(values: np.ndarray, size: tuple[int, int], square: int) -> np.ndarray:
    """An occlusion map as a picture `[H, W]`: each pixel the mean over the squares that hid it."""
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
    """`[classes]`: accuracy of the second minus that of the first, class by class (Figure 6).

    Args:
        first: `[videos]` bool: is the first one right?
        second: likewise the second.
        labels: `[videos]`, 0-based.
        num_classes: how many there are; NaN for those without a video.
    """
    count = np.bincount(labels, minlength=num_classes)
    gain = np.bincount(labels, second.astype(float) - first.astype(float), num_classes)
    return np.divide(gain, count, out=np.full(num_classes, np.nan), where=count > 0)


def future_errors(flows: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> dict[str, tuple]:
    """(sum, count) of endpoint errors of the future flow and of what it is compared with.

    Args:
        flows: `[N, T, H, W, 2]`, predicted; the last one is to the frame after the clip.
        targets: the same shape.
        mask: `[N, T, H, W]` bool, where targets are trusted.

    Returns:
        "between": the flows between frames that the network saw; "future": the last one;
        "persistence": the network's flow of the last two frames, taken for the future; "zero": no
        motion, as the future. The last three are over the same pixels.
    """
    if flows.shape[1] < 2:
        raise ValueError(f"flows: got shape {flows.shape}; a future needs a flow before it")

    def error(flow, target, mask):
        distance = np.linalg.norm(np.float64(flow) - target, axis=-1)
        return float(distance[mask].sum()), int(mask.sum())

    future, ahead = targets[:, -1], mask[:, -1]
    return {
        "between": error(flows[:, :-1], targets[:, :-1], mask[:, :-1]),
        "future": error(flows[:, -1], future, ahead),
        "persistence": error(flows[:, -2], future, ahead),
        "zero": error(np.zeros_like(future), future, ahead),
    }


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation, -1 to 1; NaN if one of the two does not vary."""
    if min(len(set(x)), len(set(y))) < 2:
        return float("nan")
    return float(stats.spearmanr(x, y).statistic)
