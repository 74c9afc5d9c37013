"""Scores of an evaluation in a file, `scores.npz`; their fusion; and how sure an accuracy is.

Kept are means over the views of each video, of the logits and of the probabilities, so that either
can be fused later without running a network.
"""

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from afn_jax.atomic import write_atomically
from afn_jax.metrics import true_class_rank

FILE = "scores.npz"
SPACES = ("logits", "probabilities", "rectified")
SAMPLES = 2000  # of the bootstrap: the ends of the interval move by about 1 % of its width


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a network says about each video, in the mean over its views.

    Attributes:
        logits: `[videos, classes]` float64.
        probabilities: `[videos, classes]` float64.
        labels: `[videos]` int64, 0-based.
        names: of the videos, each once.
        class_names: by label.
        views: `[videos]` int64: how many clips and crops the means are over.
        protocol: the name of the protocol.
        run: the folder of the run.
        step: of its checkpoint.
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

    def __post_init__(self):
        shape = (len(self.names), len(self.class_names))
        for name in ("logits", "probabilities"):
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name}: got shape {getattr(self, name).shape}, but {shape[0]} videos and "
                    f"{shape[1]} classes need {shape}"
                )
        if self.labels.shape != shape[:1] or self.views.shape != shape[:1]:
            raise ValueError(
                f"labels and views: got shapes {self.labels.shape} and {self.views.shape}, but "
                f"{shape[0]} videos need {shape[:1]} each"
            )
        if len(set(self.names)) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})[0]
            raise ValueError(f"names: {twice!r} is there more than once; each video counts once")

    def save(self, path: str | Path) -> None:
        """Writes the file, whole or not at all."""
        content = io.BytesIO()
        np.savez_compressed(content, **dataclasses.asdict(self))
        write_atomically(path, content.getvalue())

    def in_space(self, space: str) -> np.ndarray:
        """`[videos, classes]` scores to be fused or ranked.

        Args:
            space: "logits", "probabilities", or "rectified": negative logits count 0 and those of a
                video sum to 1, as the released Hidden Two-Stream fuses.
        """
        if space not in SPACES:
            raise ValueError(f"space: got {space!r}, allowed are {', '.join(SPACES)}.")
        if space != "rectified":
            return getattr(self, space)
        positive = np.maximum(self.logits, 0)
        return positive / np.maximum(positive.sum(-1, keepdims=True), 1e-12)


def load_scores(path: str | Path) -> Scores:
    """Reads the file, or the one in that folder.

    Raises:
        ValueError: it is not there, or no such file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE
    fields = [field.name for field in dataclasses.fields(Scores)]
    try:
        with np.load(path) as file:
            values = {name: file[name] for name in fields}
    except FileNotFoundError:
        raise ValueError(
            f"scores: there is no {path}. `python -m eval action --run DIR` writes {FILE} into DIR."
        ) from None
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"scores: {path} is not a file that `python -m eval action` wrote ({error})."
        ) from None
    for name in ("names", "class_names"):
        values[name] = tuple(values[name].tolist())
    for name in ("protocol", "run", "step"):
        values[name] = values[name].item()
    return Scores(**values)


def aligned(streams: Sequence[Scores]) -> list[Scores]:
    """The same scores, with the videos of all in the order of the first.

    Raises:
        ValueError: they are not of the same videos, labels and classes.
    """
    first = streams[0]
    result = []
    for stream in streams:
        if stream.class_names != first.class_names:
            raise ValueError(
                f"scores: {first.run} and {stream.run} have other classes, {first.class_names[:3]}"
                f"... and {stream.class_names[:3]}...; only scores of the same classes fuse."
            )
        lost = sorted(set(first.names) ^ set(stream.names))
        if lost:
            raise ValueError(
                f"scores: {first.run} has {len(first.names)} videos and {stream.run} has "
                f"{len(stream.names)}; {len(lost)} are in one alone, first: {lost[0]}. Only scores "
                "of the same test list fuse: evaluate both runs on the same data."
            )
        place = {name: i for i, name in enumerate(stream.names)}
        order = np.array([place[name] for name in first.names], int)
        moved = dataclasses.replace(
            stream,
            names=first.names,
            **{
                name: getattr(stream, name)[order]
                for name in ("logits", "probabilities", "labels", "views")
            },
        )
        other = np.flatnonzero(moved.labels != first.labels)
        if len(other):
            raise ValueError(
                f"scores: {first.run} and {stream.run} give {first.names[other[0]]} other labels. "
                "Evaluate both runs on the same data."
            )
        result.append(moved)
    return result


def fuse(streams: Sequence[Scores], weights: Sequence[float], space: str) -> np.ndarray:
    """`[videos, classes]`: the weighted mean of the streams' scores, videos as in the first.

    Raises:
        ValueError: weights that do not fit, or streams that are not of the same videos.
    """
    if len(weights) != len(streams):
        raise ValueError(f"weights: got {len(weights)} for {len(streams)} streams; give one each.")
    if not all(np.isfinite(w) and w >= 0 for w in weights) or not sum(weights) > 0:
        raise ValueError(f"weights: got {tuple(weights)}; give numbers of 0 or more, one above 0.")
    pairs = zip(aligned(streams), weights, strict=True)
    return sum(w * stream.in_space(space) for stream, w in pairs) / sum(weights)


def accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`top1`, and `top5` where there are more than five classes, in [0, 1]."""
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
    """Bootstrap interval of the mean accuracy of one or more runs, over videos.

    The videos are drawn anew with replacement, those of all runs together: a video that several
    runs were tested on counts in all of them or in none. The interval tells what another choice of
    videos would change, not another seed of the training.

    Args:
        runs: (names, `[videos]` bool: is it right) of each.
        level: part of the draws between the ends.
        samples: draws.
        seed: of the draws.

    Returns:
        (low, high), in [0, 1].
    """
    if not runs or not all(len(names) for names, _ in runs):
        raise ValueError("runs: there are no videos to draw from; give one run or more with videos")
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
        # A run whose videos were not drawn at all says nothing.
        means[i] = np.nanmean(_ratio(right @ drawn, counted @ drawn))
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
