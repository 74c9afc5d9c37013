"""Late fusion of cached scores: `python -m eval fuse --scores A B --weights 1 1.5`.

`--scores` again is another split of the same dataset: each is fused alone, and the accuracies are
averaged, as the papers report the three splits of UCF101 and HMDB51.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console

from afn_jax.metrics import true_class_rank
from eval.freshness import warn_if_older
from eval.protocols import PROTOCOLS
from eval.scores import FILE, Scores, accuracy, accuracy_interval, fuse, load_scores

SWEEP = tuple(0.25 * i for i in range(17))  # weights of the second stream, beside 1 of the first


@dataclasses.dataclass(frozen=True)
class FuseConfig:
    """Fuses the scores of streams that were evaluated on the same videos; runs no network."""

    scores: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction]
    """Files scores.npz, or the run folders that hold them: the streams of a split, the spatial one
    first; one alone is only read. Again for each other split, in the same order, to average them.
    """
    weights: tuple[float, ...] = ()
    """One for each stream; default: what the paper of their protocol weighs two streams with, the
    spatial one first, or all the same."""
    space: Literal["protocol", "logits", "probabilities", "rectified"] = "protocol"
    """What is averaged; protocol: what that of the streams averages over clips, logits if they have
    several; rectified: logits without the negative ones, sum 1 (Hidden Two-Stream's script)."""
    sweep: bool = False
    """Print the accuracy for a row of weights of the second of two streams."""


def run_fuse(config: FuseConfig, console: Console | None = None) -> dict:
    """Fuses, prints what each stream has alone, and returns top1, top5, chance and the interval.

    Of several splits they are means over these, `splits` is their number and `num_videos` that of
    all videos together.

    Raises:
        ValueError: files that cannot be read or do not belong together, weights that do not fit.
    """
    console = console or Console()
    if not config.scores or not all(config.scores):
        raise ValueError("scores: got none; give one scores.npz or more with --scores.")
    splits = [[load_scores(path) for path in paths] for paths in config.scores]
    every = [stream for streams in splits for stream in streams]
    _check_splits(splits)
    protocols = {stream.protocol for stream in every}
    space = config.space if config.space != "protocol" else _space(protocols)
    weights = config.weights or _weights(protocols, len(splits[0]))
    # Before anything is printed: it checks.
    fused = [fuse(streams, weights, space) for streams in splits]
    if config.sweep and len(splits[0]) != 2:
        raise ValueError(f"sweep: got {len(splits[0])} streams, but it weighs two of them.")
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
    if len(protocols) > 1:
        console.print("warning: the streams were evaluated by other protocols", style="yellow")
    elif any(len({np.median(stream.views) for stream in streams}) > 1 for streams in splits):
        console.print("warning: the streams have other numbers of views a video", style="yellow")
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


def _check_splits(splits: Sequence[Sequence[Scores]]) -> None:
    first = splits[0]
    for streams in splits[1:]:
        if len(streams) != len(first):
            raise ValueError(
                f"scores: got {len(first)} streams of one split and {len(streams)} of another. "
                "Give the same streams in the same order after each --scores."
            )
        if streams[0].class_names != first[0].class_names:
            raise ValueError(
                f"scores: {first[0].run} and {streams[0].run} have other classes, so their mean "
                "means nothing. Give splits of one dataset."
            )
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
    """The one line that scripts read: `top1=0.9 low=0.88 high=0.92 top5=0.99 chance=0.1 ...`."""
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
        "(The best is chosen on the very videos that it is measured on, so it promises too much.)",
        soft_wrap=True,
    )
