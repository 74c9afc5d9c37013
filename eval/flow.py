"""Optical flow against ground truth: `python -m eval flow --dataset sintel --root DIR --run DIR`.

Protocol: every pair of neighbouring frames with ground truth counts, whole frames, no crop. `epe`,
the mean endpoint error, is over all pixels of all pairs; `epe_per_pair` is the mean of the pairs'
own, as tables of Middlebury have it. `fl_all` (KITTI 2015: error above 3 px and 5 %) and `px1`,
`px3`, `px5` (error above 1, 3, 5 px) are shares of pixels. Each again for pixels that the next
frame shows and for those that it hides, where the dataset tells, and by true speed, in the bins of
Sintel.

A network of more than two frames sees the neighbours of the pair. Where the dataset has too few,
frames are repeated to fill the clip: its flow is not at its best there, and the report says so.
"""

import dataclasses
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from afn_jax.atomic import write_atomically
from afn_jax.data.source import Skipped, VideoReadError
from afn_jax.data.sources import SOURCES
from afn_jax.data.sources.flow.sequence import (
    FlowDataset,
    FlowSequence,
    GroundTruth,
    check_size,
)
from afn_jax.data.sources.spec import SourceSpec
from afn_jax.metrics import FlowOutliersMetric
from afn_jax.near_names import unknown_name
from eval.flow_methods import FlowMethod, create_method
from eval.flow_report import FlowExample, write_flow_report

SPEEDS = {"s0_10": (0, 10), "s10_40": (10, 40), "s40": (40, np.inf)}  # px a frame, as Sintel's
OPTIONS = {"pass": "render", "count-invalid": "count_invalid", "annotations": "annotations"}
NUMBERS = ("epe", "fl_all", "px1", "px3", "px5")

_count = jax.jit(FlowOutliersMetric.from_batch)


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """Evaluates the flow of a run, or of a classical method, against ground truth."""

    dataset: str
    """Name of a dataset with true flow, such as sintel; an unknown name lists them."""
    root: str
    """Where it is unpacked."""
    method: Literal["run", "tvl1", "dis", "zero"] = "run"
    """A run, our TV-L1, OpenCV's DIS (medium), or no motion at all."""
    run: str = ""
    """Folder of the run."""
    render: Annotated[Literal["clean", "final"], tyro.conf.arg(name="pass")] = "clean"
    """sintel: which rendering."""
    count_invalid: bool = False
    """sintel: let pixels count whose flow is marked as invalid, as many evaluations do."""
    split: Literal["default", "train", "test", "all"] = "default"
    """default: the official validation pairs if there are any (flying-chairs). Otherwise all pairs,
    or, for a run that was trained on this dataset, the scenes that it was not trained on."""
    annotations: str = ""
    """flying-chairs: the file of the official split, if it is not beside the pairs."""
    most: int = 0
    """Only so many pairs, evenly spaced; 0 means all."""
    examples: int = 3
    """So many of the worst, and of the best pairs, are shown in the report."""
    out: str = ""
    """Folder for flow.json and flow.html; default: RUN/flow-DATASET or runs/flow-METHOD-DATASET."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two neighbouring frames of a sequence: `index` and the next."""

    sequence: FlowSequence
    index: int

    @property
    def name(self) -> str:
        """Identifies it within the dataset."""
        return self.sequence.frame_name(self.index)


@dataclasses.dataclass(frozen=True)
class PairResult:
    """What one pair came to: `metrics` and `zero_flow_error` are sums over its pixels."""

    pair: Pair
    metrics: dict[str, FlowOutliersMetric]
    zero_flow_error: float
    repeated: bool

    @property
    def epe(self) -> float:
        """Mean endpoint error; infinite if the prediction is no number."""
        epe = self.metrics["all"].compute()["epe"]
        return epe if np.isfinite(epe) else np.inf


def run_flow(config: FlowConfig, console: Console | None = None) -> dict:
    """Evaluates; writes `flow.json` and `flow.html` and returns the former.

    Raises:
        ValueError: settings that cannot be, a folder that is not the dataset, a run without flow,
            or no pair that can be read.
        CheckpointError: the run has no checkpoint that can be read.
    """
    console = console or Console(stderr=True)
    if config.most < 0 or config.examples < 0:
        raise ValueError(
            f"most and examples: got {config.most} and {config.examples}, but each must be 0 or "
            "more."
        )
    method = create_method(config.method, config.run)
    split = _split(config, method)
    dataset = open_dataset(config, split)
    pairs = choose_pairs(dataset, config.most)
    results, damaged = [], []
    for item in track(
        evaluate(method, pairs), total=len(pairs), console=console, disable=not console.is_terminal
    ):
        (results if isinstance(item, PairResult) else damaged).append(item)
    if not results:
        raise ValueError(
            f"root: none of the {len(pairs)} pairs in {config.root!r} can be read, the first: "
            f"{damaged[0].reason}. Check that the dataset is complete."
        )
    summary, groups = summarize(results)
    repeated = sum(result.repeated for result in results)
    notes = [*method.notes(), f"Pairs of {config.dataset}{_which(config)}: {len(results)}."]
    if config.dataset in method.trained_on:
        which = "the run was not trained on these" if split == "test" else "some trained the run"
        notes.append(f"Split {split} of {config.dataset}: {which}.")
    told = sum("occluded" in result.metrics for result in results)
    if 0 < told < len(results):
        notes.append(f"What is occluded is known for {told} of them.")
    if repeated:
        notes.append(
            f"For {repeated} of them the dataset has too few frames for a clip of "
            f"{method.num_frames}: frames were repeated, which the network never saw in training, "
            "so the numbers are no measure of how it does on video."
        )
    ranked = sorted(results, key=lambda result: -result.epe)
    worst = ranked[: config.examples]
    best = [result for result in reversed(ranked) if result not in worst][: config.examples]
    out = flow_folder(config)
    out.mkdir(parents=True, exist_ok=True)
    skipped = [*dataset.skipped, *damaged]
    values = {
        **summary,
        "dataset": config.dataset + _which(config),
        "method": config.method,
        "run": config.run,
        "step": method.step,
        "split": split,
        "count_invalid": config.count_invalid,
        "num_pairs": len(results),
        "repeated_pairs": repeated,
        "groups": groups,
        "pairs": [[r.pair.name, r.epe, r.metrics["all"].compute()["fl_all"]] for r in ranked],
        "skipped": [[item.path, item.reason] for item in skipped],
        "notes": notes,
        "report": str(out / "flow.html"),
    }
    write_flow_report(
        out / "flow.html",
        title=f"Flow of {config.run or config.method} on {config.dataset}{_which(config)}",
        summary=summary,
        groups=groups,
        pairs=values["pairs"],
        worst=[_example(method, result) for result in worst],
        best=[_example(method, result) for result in best],
        skipped=values["skipped"],
        notes=notes,
        command=flow_command(config),
    )
    write_atomically(out / "flow.json", json.dumps(values, indent=1) + "\n")
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    if skipped:
        console.print(
            f"warning: {len(skipped)} not counted, first: {skipped[0].path} ({skipped[0].reason})",
            style="yellow",
            soft_wrap=True,
        )
    return values


def flow_line(values: dict) -> str:
    """The one line that scripts read: `epe=0.62 epe_per_pair=0.6 ... pairs=8 report=...`."""
    names = ("epe", "epe_per_pair", "zero_flow_epe", "fl_all", "px1", "px3", "px5")
    numbers = [f"{name}={values[name]:.4g}" for name in names]
    numbers += [f"epe_{group}={v['epe']:.4g}" for group, v in values["groups"].items()]
    return " ".join([*numbers, f"pairs={values['num_pairs']}", f"report={values['report']}"])


def flow_dataset(name: str) -> SourceSpec:
    """Returns what `SOURCES` has about a dataset with true flow.

    Raises:
        ValueError: there is no such dataset; the message suggests near names.
    """
    known = flow_dataset_names()
    if name not in known:
        raise ValueError(unknown_name("dataset", name, known))
    return SOURCES[name]


def flow_dataset_names() -> list[str]:
    """Returns the names of the datasets with true flow."""
    return [name for name, spec in SOURCES.items() if spec.ground_truth is not None]


def _split(config: FlowConfig, method: FlowMethod) -> str:
    if config.split != "default":
        return config.split
    official = flow_dataset(config.dataset).official_split
    return "test" if official or config.dataset in method.trained_on else "all"


def open_dataset(config: FlowConfig, split: str) -> FlowDataset:
    """Opens the dataset of the settings, with its sequences in one piece.

    Raises:
        ValueError: no such dataset, an option that it does not have, or not its files.
    """
    spec, options = flow_dataset(config.dataset), {}
    for flag, field in OPTIONS.items():
        value = getattr(config, field)
        if field in spec.options:
            options[field] = value
        elif value != getattr(FlowConfig, field):
            raise ValueError(
                f"{flag}: got {value!r}, but {config.dataset} has no such option; leave it out."
            )
    return spec.ground_truth(config.root, split=split, **options)


def choose_pairs(dataset: FlowDataset, most: int) -> list[Pair]:
    """All pairs with ground truth, or `most` of them, evenly spaced; 0 means all."""
    pairs = [Pair(sequence, i) for sequence in dataset.sequences for i in sequence.pairs]
    if 0 < most < len(pairs):
        chosen = np.linspace(0, len(pairs) - 1, most).round().astype(int)
        return [pairs[i] for i in chosen]
    return pairs


def evaluate(method: FlowMethod, pairs: list[Pair]) -> Iterator[PairResult | Skipped]:
    """What each pair comes to; `Skipped` where its files are damaged."""
    for pair in pairs:
        try:
            flow, truth, _, repeated = predict_pair(method, pair)
        except VideoReadError as error:
            yield Skipped(pair.name, str(error))
            continue
        metrics = {
            name: jax.tree.map(np.float64, _count(flow, truth.flow, mask))
            for name, mask in masks(truth).items()
        }
        speed = np.linalg.norm(truth.flow.astype(np.float64), axis=-1)
        yield PairResult(pair, metrics, float(speed[truth.known].sum()), repeated)


def predict_pair(
    method: FlowMethod, pair: Pair
) -> tuple[np.ndarray, GroundTruth, np.ndarray, bool]:
    """The predicted flow of a pair, its truth, its two frames, and whether frames were repeated.

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
    """Which frames of a sequence make the clip in which a method sees a pair.

    Args:
        index: of the pair's first frame.
        available: frames of the sequence.
        num_frames: frames of a clip.
        positions: places in a clip that the first frame may have; the middle one is best.

    Returns:
        `[num_frames]` indices, the place of `index` among them, and whether the sequence was too
        short: then its first and its last frame are repeated.
    """
    middle = positions[len(positions) // 2]
    fitting = [p for p in positions if 0 <= index - p <= available - num_frames]
    position = min(fitting, key=lambda p: abs(p - middle), default=middle)
    indices = np.clip(index - position + np.arange(num_frames), 0, available - 1)
    return indices, position, not fitting


def masks(truth: GroundTruth) -> dict[str, np.ndarray]:
    """The pixels that count in each group: all, visible, occluded, and by speed."""
    speed = np.linalg.norm(truth.flow, axis=-1)
    groups = {"all": truth.known}
    if truth.occluded is not None:
        groups["visible"] = truth.known & ~truth.occluded
        groups["occluded"] = truth.known & truth.occluded
    for name, (low, high) in SPEEDS.items():
        groups[name] = truth.known & (low <= speed) & (speed < high)
    return groups


def summarize(results: list[PairResult]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The numbers over all pixels, and those of each group that has any, with its share."""
    totals: dict[str, FlowOutliersMetric] = {}
    for result in results:
        for name, metric in result.metrics.items():
            totals[name] = totals[name].merge(metric) if name in totals else metric
    count = float(totals["all"].count)
    counted = [result for result in results if result.metrics["all"].count]
    summary = totals["all"].compute() | {
        "epe_per_pair": float(np.mean([result.epe for result in counted])) if counted else 0.0,
        "zero_flow_epe": sum(result.zero_flow_error for result in results) / max(count, 1),
    }
    groups = {
        name: metric.compute() | {"share": float(metric.count) / count}
        for name, metric in totals.items()
        if name != "all" and metric.count
    }
    return summary, groups


def _example(method: FlowMethod, result: PairResult) -> FlowExample:
    flow, truth, frames, _ = predict_pair(method, result.pair)
    numbers = result.metrics["all"].compute()
    return FlowExample(
        result.pair.name, frames, flow, truth.flow, truth.known, numbers["epe"], numbers["fl_all"]
    )


def _which(config: FlowConfig) -> str:
    return f", {config.render} pass" if _has_passes(config) else ""


def _has_passes(config: FlowConfig) -> bool:
    return "render" in flow_dataset(config.dataset).options


def flow_folder(config: FlowConfig) -> Path:
    """Where `flow.json` and `flow.html` are written."""
    if config.out:
        return Path(config.out)
    name = config.dataset + (f"-{config.render}" if _has_passes(config) else "")
    if config.run:
        return Path(config.run) / f"flow-{name}"
    return Path(f"runs/flow-{config.method}-{name}")


def flow_command(config: FlowConfig) -> str:
    """What a shell runs for these settings."""
    words = ["python", "-m", "eval", "flow"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            name = {"render": "pass"}.get(field.name, field.name.replace("_", "-"))
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return shlex.join(words)
