"""Late fusion of cached scores: `python -m eval fuse --scores A B --weights 1 1.5`.

Each `--scores` is one split of a dataset. The splits are fused separately and their accuracies
averaged, as the papers do for the three splits of UCF101 and HMDB51.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console

from afn_jax.metrics import true_class_rank
from eval.freshness import warn_if_older
from eval.protocols import PROTOCOLS
from eval.scores import (
    FILE,
    Scores,
    accuracy,
    accuracy_interval,
    check_classes,
    fuse,
    load_scores,
    unrecorded_classes,
)

SWEEP = tuple(0.25 * i for i in range(17))  # weights of the second stream; the first has 1


@dataclasses.dataclass(frozen=True)
class FuseConfig:
    """Fuses the saved scores of several streams on the same videos, without running a network."""

    scores: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction]
    (
        "Run folders, or their files scores.npz: the streams of one split, spatial stream first; "
        "one stream is allowed. Repeat the option, with the same order, to average over splits."
    )
    weights: tuple[float, ...] = ()
    (
        "One weight per stream, spatial stream first. Default: for two streams, those of their "
        "protocol's paper; otherwise equal weights."
    )
    space: Literal["protocol", "logits", "probabilities", "rectified"] = "protocol"
    (
        "What is fused. protocol: what the protocol of the streams averages over clips, or logits "
        "if their protocols differ; rectified: logits with negative values set to 0 and divided "
        "by their sum (released code of Hidden Two-Stream)."
    )
    sweep: bool = False
    """Print the accuracy for a range of weights of the second of two streams."""


def run_fuse(config: FuseConfig, console: Console | None = None) -> dict:
    """Fuses the streams of each split and prints the accuracy of each stream alone.

    Returns:
        `splits` (their number), `top1`, `top5` and `chance` (means over the splits), `low` and
        `high` (the 95 % interval of `top1`) and `num_videos` (of all splits together).

    Raises:
        ValueError: files that cannot be read or do not belong together, or invalid weights.
    """
    console = console or Console()
    if not config.scores or not all(config.scores):
        raise ValueError("scores: got none; give one or more run folders with --scores.")
    splits = [[_load(path) for path in paths] for paths in config.scores]
    every = [stream for streams in splits for stream in streams]
    _check_splits(splits)
    protocols = {stream.protocol for stream in every}
    space = config.space if config.space != "protocol" else _space(protocols)
    weights = config.weights or _weights(protocols, len(splits[0]))
    # Before anything is printed, because it checks the streams.
    fused = [fuse(streams, weights, space) for streams in splits]
    if config.sweep and len(splits[0]) != 2:
        raise ValueError(f"sweep: it needs two streams per split, but got {len(splits[0])}.")
    for streams in splits:
        for stream, weight in zip(streams, weights, strict=True):
            alone = accuracy(stream.in_space(space), stream.labels)
            console.print(
                f"{stream.run}: top1={alone['top1']:.4g} weight={weight:g} "
                f"protocol={stream.protocol} views={np.median(stream.views):g} step={stream.step}",
                highlight=False,
                soft_wrap=True,
            )
            warn_if_older(stream.run, stream.step, FILE, console)
    unrecorded = unrecorded_classes(every)
    if unrecorded:
        console.print(unrecorded, style="yellow", soft_wrap=True, highlight=False, markup=False)
    if len(protocols) > 1:
        console.print("warning: the streams were evaluated by different protocols", style="yellow")
    elif any(len({np.median(stream.views) for stream in streams}) > 1 for streams in splits):
        console.print(
            "warning: the streams have different numbers of views per video", style="yellow"
        )
    if config.sweep:
        _print_sweep(splits, space, console)
    labels = [streams[0].labels for streams in splits]
    found = [accuracy(scores, right) for scores, right in zip(fused, labels, strict=True)]
    answers = [
        (streams[0].names, true_class_rank(scores, streams[0].labels) < 1)
        for streams, scores in zip(splits, fused, strict=True)
    ]
    low, high = accuracy_interval(answers)
    return (
        {"splits": len(splits)}
        | {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        | {
            "chance": 1 / len(every[0].class_names),
            "low": low,
            "high": high,
            "num_videos": sum(len(right) for right in labels),
        }
    )


def _load(path: str) -> Scores:
    """Loads scores, with the path that was given as the run: the run may have been moved."""
    given = Path(path)
    return dataclasses.replace(
        load_scores(path), run=str(given.parent if given.name == FILE else given)
    )


def _check_splits(splits: Sequence[Sequence[Scores]]) -> None:
    first = splits[0]
    for streams in splits[1:]:
        if len(streams) != len(first):
            raise ValueError(
                f"scores: got {len(first)} streams for one split and {len(streams)} for another. "
                "Give the same streams in the same order after each --scores."
            )
        check_classes(first[0], streams[0], "averaged")
    files = [stream.run for streams in splits for stream in streams]
    twice = sorted({run for run in files if files.count(run) > 1})
    if len(splits) > 1 and twice:
        raise ValueError(f"scores: {twice[0]} is given for more than one split.")


def _space(protocols: set[str]) -> str:
    spaces = {PROTOCOLS[name].space if name in PROTOCOLS else "logits" for name in protocols}
    return spaces.pop() if len(spaces) == 1 else "logits"


def _weights(protocols: set[str], count: int) -> tuple[float, ...]:
    name = next(iter(protocols))
    if count == 2 and len(protocols) == 1 and name in PROTOCOLS:
        return PROTOCOLS[name].fusion_weights or (1.0, 1.0)
    return (1.0,) * count


def fuse_line(values: dict) -> str:
    """Returns the result as one line: `top1=0.9 low=0.88 high=0.92 top5=0.99 chance=0.1 ...`."""
    names = ("top1", "low", "high", "top5", "chance")
    texts = [f"{name}={values[name]:.4g}" for name in names if name in values]
    splits = [f"splits={values['splits']}"] if values["splits"] > 1 else []
    return " ".join([*splits, *texts, f"num_videos={values['num_videos']}"])


def _print_sweep(splits: Sequence[Sequence[Scores]], space: str, console: Console) -> None:
    def top1(weight: float) -> float:
        each = [accuracy(fuse(s, (1.0, weight), space), s[0].labels)["top1"] for s in splits]
        return float(np.mean(each))

    rows = [(weight, top1(weight)) for weight in SWEEP]
    best = max(top1 for _, top1 in rows)
    for weight, top1 in rows:
        mark = "  best" if top1 == best else ""
        console.print(f"weights 1 : {weight:<4g} top1={top1:.4g}{mark}", highlight=False)
    console.print(
        "(The best weight was chosen on the test videos, so its accuracy is optimistic.)",
        soft_wrap=True,
    )
