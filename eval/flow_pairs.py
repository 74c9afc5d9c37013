"""Evaluates pairs of neighboring frames with true flow, one by one, and sums the results up."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import numpy as np

from afn_jax.data.source import Skipped, VideoReadError
from afn_jax.data.sources.flow.sequence import FlowDataset, FlowSequence, GroundTruth, check_size
from afn_jax.metrics import FlowOutliersMetric, Mean
from eval.flow_methods import FlowMethod

SPEEDS = {"s0_10": (0, 10), "s10_40": (10, 40), "s40": (40, np.inf)}  # px per frame, as in Sintel
NOTHING_KNOWN = "its true flow is known for none of its pixels"

_count = jax.jit(FlowOutliersMetric.from_batch)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two neighboring frames of a sequence: frame `index` and the next one."""

    sequence: FlowSequence
    index: int

    @property
    def name(self) -> str:
        """The name of the pair, unique within the dataset."""
        return self.sequence.frame_name(self.index)


@dataclasses.dataclass(frozen=True)
class PairResult:
    """Result for one pair.

    Attributes:
        name: of the pair.
        metrics: over the pixels of each group of `masks`.
        zero_flow_error: endpoint error of zero flow over all pixels that count.
        repeated: whether frames were repeated to fill the clip.
    """

    name: str
    metrics: dict[str, FlowOutliersMetric]
    zero_flow_error: Mean
    repeated: bool

    @property
    def epe(self) -> float:
        """The mean endpoint error; infinite if the prediction is not finite."""
        epe = self.metrics["all"].compute()["epe"]
        return epe if np.isfinite(epe) else np.inf


def choose_pairs(dataset: FlowDataset, most: int) -> list[Pair]:
    """Returns `most` of the pairs with ground truth, evenly spaced; 0 returns all."""
    pairs = [Pair(sequence, i) for sequence in dataset.sequences for i in sequence.pairs]
    if 0 < most < len(pairs):
        chosen = np.linspace(0, len(pairs) - 1, most).round().astype(int)
        return [pairs[i] for i in chosen]
    return pairs


def evaluate(method: FlowMethod, pairs: list[Pair]) -> Iterator[PairResult | Skipped]:
    """Yields the result of each pair, or `Skipped` if its files are damaged or no flow is known."""
    for pair in pairs:
        try:
            flow, truth, _, repeated = predict_pair(method, pair)
        except VideoReadError as error:
            yield Skipped(pair.name, str(error))
            continue
        if not truth.known.any():
            yield Skipped(pair.name, NOTHING_KNOWN)
            continue
        metrics = {
            name: jax.tree.map(np.float64, _count(flow, truth.flow, mask))
            for name, mask in masks(truth).items()
        }
        speed = np.linalg.norm(truth.flow.astype(np.float64), axis=-1)
        zero_flow_error = Mean(float(speed[truth.known].sum()), float(truth.known.sum()))
        yield PairResult(pair.name, metrics, zero_flow_error, repeated)


def predict_pair(
    method: FlowMethod, pair: Pair
) -> tuple[np.ndarray, GroundTruth, np.ndarray, bool]:
    """Returns the predicted flow, the truth, the two frames, and whether frames were repeated.

    Raises:
        VideoReadError: a file is damaged.
    """
    indices, position, repeated = place(
        pair.index, pair.sequence.num_frames, method.num_frames, method.positions
    )
    frames = pair.sequence.read_frames(indices)
    truth = pair.sequence.truth(pair.index)
    check_size(truth, frames, pair.name)
    return method(frames, position), truth, frames[position : position + 2], repeated


def place(
    index: int, available: int, num_frames: int, positions: range
) -> tuple[np.ndarray, int, bool]:
    """Chooses the frames of a sequence that form the clip around a pair.

    Args:
        index: index of the pair's first frame.
        available: number of frames of the sequence.
        num_frames: number of frames per clip.
        positions: allowed positions of the first frame in the clip; the middle one is preferred.

    Returns:
        `[num_frames]` indices, the position of `index` among them, and whether the sequence is too
        short, so that its first or last frame is repeated.
    """
    middle = positions[len(positions) // 2]
    fitting = [p for p in positions if 0 <= index - p <= available - num_frames]
    position = min(fitting, key=lambda p: abs(p - middle), default=middle)
    indices = np.clip(index - position + np.arange(num_frames), 0, available - 1)
    return indices, position, not fitting


def masks(truth: GroundTruth) -> dict[str, np.ndarray]:
    """Returns the mask of each group of pixels: all, visible, occluded, and by speed."""
    speed = np.linalg.norm(truth.flow, axis=-1)
    groups = {"all": truth.known}
    if truth.occluded is not None:
        groups["visible"] = truth.known & ~truth.occluded
        groups["occluded"] = truth.known & truth.occluded
    for name, (low, high) in SPEEDS.items():
        groups[name] = truth.known & (low <= speed) & (speed < high)
    return groups


def summarize(results: list[PairResult]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Returns the numbers over all pixels, and those of each group of pixels with its share."""
    totals: dict[str, FlowOutliersMetric] = {}
    for result in results:
        for name, metric in result.metrics.items():
            totals[name] = totals[name].merge(metric) if name in totals else metric
    count = float(totals["all"].count)
    zero_flow_error = functools.reduce(Mean.merge, (r.zero_flow_error for r in results))
    summary = totals["all"].compute() | {
        "epe_per_pair": float(np.mean([result.epe for result in results])),
        "zero_flow_epe": zero_flow_error.compute(),
    }
    groups = {
        name: metric.compute() | {"share": float(metric.count) / count}
        for name, metric in totals.items()
        if name != "all" and metric.count
    }
    return summary, groups
