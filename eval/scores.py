"""Cached scores of an evaluation (`scores.npz`), their fusion, and intervals of the accuracy.

The file holds logits and probabilities, both averaged over the views of each video, so that either
can be fused later without running a network.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afn_jax.atomic import write_atomically
from afn_jax.metrics import true_class_rank
from train.class_names import check_same_classes

FILE = "scores.npz"
# Types of the arrays in the file, as in `np.dtype.kind`; "f" for the others.
_KINDS = {name: "U" for name in ("names", "class_names", "protocol", "run")}
_KINDS |= {name: "i" for name in ("labels", "views", "step")} | {"recorded": "b"}
SAMPLES = 2000  # of the bootstrap: the ends of the interval vary by about 1 % of its width


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of a network for each video, averaged over its views.

    Attributes:
        logits: `[videos, classes]` float64.
        probabilities: `[videos, classes]` float64.
        labels: `[videos]` int64, 0-based.
        names: names of the videos, without repeats.
        class_names: by label.
        views: `[videos]` int64, the number of clips and crops behind each mean.
        protocol: name of the protocol.
        run: folder of the run.
        step: step of its checkpoint.
        recorded: whether the class names were recorded when the run was trained; otherwise they are
            those of the data that it was evaluated on.

    Raises:
        ValueError: the fields contradict each other, or a name occurs twice.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    views: np.ndarray
    protocol: str
    run: str
    step: int
    recorded: bool = True

    def __post_init__(self):
        shape = (len(self.names), len(self.class_names))
        for name, values in (("logits", self.logits), ("probabilities", self.probabilities)):
            if values.shape != shape:
                raise ValueError(
                    f"{name}: got shape {values.shape}, but {shape[0]} videos and {shape[1]} "
                    f"classes need {shape}"
                )
        if self.labels.shape != shape[:1] or self.views.shape != shape[:1]:
            raise ValueError(
                f"labels and views: got shapes {self.labels.shape} and {self.views.shape}, but "
                f"{shape[0]} videos need {shape[:1]} for both"
            )
        if len(set(self.names)) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})[0]
            raise ValueError(f"names: {twice!r} occurs more than once; each video counts once")

    def save(self, path: str | Path) -> None:
        """Writes the file, completely or not at all."""
        content = io.BytesIO()
        np.savez_compressed(content, **dataclasses.asdict(self))
        write_atomically(path, content.getvalue())

    def in_space(self, space: str) -> np.ndarray:
        """Returns the scores to fuse or rank, `[videos, classes]`.

        Args:
            space: "logits", "probabilities", or "rectified": logits with negative values set to 0
                and divided by their sum per video, as in the released code of Hidden Two-Stream.
        """
        if space == "rectified":
            positive = np.maximum(self.logits, 0)
            return positive / np.maximum(positive.sum(-1, keepdims=True), 1e-12)
        return {"logits": self.logits, "probabilities": self.probabilities}[space]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Computes probabilities from logits, both `[..., classes]`."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def load_scores(path: str | Path) -> Scores:
    """Reads a file of scores, or the `scores.npz` of a folder.

    Raises:
        ValueError: the file does not exist, or is not one that `Scores.save` wrote.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE
    fields = [field.name for field in dataclasses.fields(Scores)]
    try:
        with np.load(path) as file:
            # "recorded" is missing in files of older versions.
            names = [name for name in fields if name in file or name != "recorded"]
            values = {"recorded": False} | {name: _checked(name, file[name]) for name in names}
    except FileNotFoundError:
        raise ValueError(
            f"scores: {path} does not exist. `python -m eval action --run DIR` writes {FILE} into "
            "DIR."
        ) from None
    except OSError as error:
        raise ValueError(f"scores: {path} cannot be read ({error}).") from None
    except Exception:  # a damaged archive of arrays can raise almost any error
        raise ValueError(
            f"scores: {path} is not a file that `python -m eval action` wrote, or is damaged."
        ) from None
    scores = Scores(**values)
    if not ((scores.labels >= 0) & (scores.labels < len(scores.class_names))).all():
        raise ValueError(
            f"scores: {path} has labels {scores.labels.min()} to {scores.labels.max()} for "
            f"{len(scores.class_names)} classes; evaluate the run again."
        )
    return scores


def _checked(name: str, value: np.ndarray) -> Any:
    """Returns a field of `Scores` from a file. Raises ValueError for one of the wrong type."""
    kind = _KINDS.get(name, "f")
    if value.dtype.kind not in {"i": "iuf", "f": "iuf"}.get(kind, kind):
        raise ValueError(f"{name} has the type {value.dtype}")
    if name in ("names", "class_names"):
        if value.ndim != 1:
            raise ValueError(f"{name} has the shape {value.shape}")
        return tuple(value.tolist())
    if name in ("protocol", "run", "recorded"):
        return value.item()
    if kind == "i" and not (value == np.rint(value)).all():
        raise ValueError(f"{name} has values that are not whole numbers")
    value = value.astype(np.int64 if kind == "i" else np.float64)
    return value.item() if name == "step" else value


def check_classes(first: Scores, other: Scores, what: str) -> None:
    """Raises ValueError unless the labels of both have the same names, apart from spelling.

    Args:
        first: scores.
        other: scores to be used together with the first.
        what: how they are used together: "combined" or "averaged".
    """
    check_same_classes(
        [(one.run, one.class_names) for one in (first, other)],
        f"scores: {first.run} and {other.run} have different classes and cannot be {what}",
        "Give runs that were trained on the same classes in the same order.",
    )


def unrecorded_classes(streams: Sequence[Scores]) -> str:
    """Says which scores have class names that cannot be checked; "" if there are none."""
    runs = list(dict.fromkeys(stream.run for stream in streams if not stream.recorded))
    if not runs:
        return ""
    return (
        f"warning: {', '.join(runs)}: the class names are those of the data that was evaluated, "
        "because none were recorded in training; they cannot be checked"
    )


def aligned(streams: Sequence[Scores]) -> list[Scores]:
    """Returns the scores with the videos of all streams in the order of the first.

    Raises:
        ValueError: the streams differ in videos, labels or classes.
    """
    first = streams[0]
    result = []
    for stream in streams:
        check_classes(first, stream, "combined")
        lost = sorted(set(first.names) ^ set(stream.names))
        if lost:
            raise ValueError(
                f"scores: {first.run} has {len(first.names)} videos and {stream.run} has "
                f"{len(stream.names)}; {len(lost)} are in only one of them, first: {lost[0]}. Only "
                "scores of the same test list can be combined: evaluate both runs on the same data."
            )
        place = {name: i for i, name in enumerate(stream.names)}
        order = np.array([place[name] for name in first.names], int)
        moved = dataclasses.replace(
            stream,
            names=first.names,
            logits=stream.logits[order],
            probabilities=stream.probabilities[order],
            labels=stream.labels[order],
            views=stream.views[order],
        )
        different = np.flatnonzero(moved.labels != first.labels)
        if len(different):
            raise ValueError(
                f"scores: {first.run} and {stream.run} have different labels for "
                f"{first.names[different[0]]}. Evaluate both runs on the same data."
            )
        result.append(moved)
    return result


def fuse(streams: Sequence[Scores], weights: Sequence[float], space: str) -> np.ndarray:
    """Computes the weighted mean of the streams' scores.

    Args:
        streams: scores of the same videos, in any order.
        weights: one per stream.
        space: see `Scores.in_space`.

    Returns:
        `[videos, classes]`, with the videos in the order of the first stream.

    Raises:
        ValueError: invalid weights, or streams of different videos.
    """
    if len(weights) != len(streams):
        raise ValueError(
            f"weights: got {len(weights)} for {len(streams)} streams; give one per stream."
        )
    if not all(np.isfinite(w) and w >= 0 for w in weights) or not sum(weights) > 0:
        raise ValueError(
            f"weights: got {tuple(weights)}; give numbers of at least 0, one of them above 0."
        )
    pairs = zip(aligned(streams), weights, strict=True)
    return sum(w * stream.in_space(space) for stream, w in pairs) / sum(weights)


def accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Computes `top1` and, with more than five classes, `top5`, both in [0, 1].

    Args:
        scores: `[videos, classes]`.
        labels: `[videos]`, 0-based.
    """
    rank = true_class_rank(scores, labels)
    result = {"top1": float((rank < 1).mean())}
    if scores.shape[1] > 5:
        result["top5"] = float((rank < 5).mean())
    return result


def accuracy_interval(
    runs: Sequence[tuple[Sequence[str], np.ndarray]],
    *,
    level: float = 0.95,
    samples: int = SAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Computes the bootstrap interval, over videos, of the mean accuracy of one or more runs.

    Videos are drawn with replacement from the videos of all runs together. A video that several
    runs were tested on counts in all of them or in none. The interval shows the variation due to
    the choice of test videos, not due to the training seed.

    Args:
        runs: (names of the videos, `[videos]` bool: is the prediction right) of each run.
        level: share of the draws inside the interval.
        samples: number of draws.
        seed: seed of the draws.

    Returns:
        (low, high), in [0, 1].
    """
    every = sorted({name for names, _ in runs for name in names})
    place = {name: i for i, name in enumerate(every)}
    counted = np.zeros((len(runs), len(every)))
    right = np.zeros((len(runs), len(every)))
    for row, (names, answers) in enumerate(runs):
        where = [place[name] for name in names]
        counted[row, where] = 1
        right[row, where] = answers
    rng = np.random.default_rng(seed)
    means = np.empty(samples)
    for i in range(samples):
        drawn = np.bincount(rng.integers(len(every), size=len(every)), minlength=len(every))
        # A run of which no video was drawn is left out.
        means[i] = np.nanmean(_ratio(right @ drawn, counted @ drawn))
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divides; NaN where the denominator is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
