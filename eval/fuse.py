"""Late fusion of cached scores: `python -m eval fuse --scores A B --weights 1 1.5`."""

import dataclasses
from typing import Literal

import numpy as np
from rich.console import Console

from eval.scores import accuracy, accuracy_interval, fuse, load_scores, ranks

SWEEP = tuple(0.25 * i for i in range(17))  # weights of the second stream, beside 1 of the first


@dataclasses.dataclass(frozen=True)
class FuseConfig:
    """Fuses the scores of streams that were evaluated on the same videos; runs no network."""

    scores: tuple[str, ...]
    """Files scores.npz, or the run folders that hold them; one alone is only read."""
    weights: tuple[float, ...] = ()
    """One for each, in the same order; default: all the same."""
    space: Literal["logits", "probabilities", "rectified"] = "logits"
    """What is averaged; rectified: logits without the negative ones, sum 1 (Hidden Two-Stream)."""
    sweep: bool = False
    """Print the accuracy for a row of weights of the second of two streams."""


def run_fuse(config: FuseConfig, console: Console | None = None) -> dict:
    """Fuses, prints what each stream has alone, and returns top1, top5, chance and the interval.

    Raises:
        ValueError: files that cannot be read or do not belong together, weights that do not fit.
    """
    console = console or Console()
    if not config.scores:
        raise ValueError("scores: got none; give one scores.npz or more with --scores.")
    weights = config.weights or (1.0,) * len(config.scores)
    streams = [load_scores(path) for path in config.scores]
    scores = fuse(streams, weights, config.space)  # before anything is printed: it checks
    if config.sweep and len(streams) != 2:
        raise ValueError(f"sweep: got {len(streams)} streams, but it weighs two of them.")
    for stream, weight in zip(streams, weights, strict=True):
        alone = accuracy(stream.in_space(config.space), stream.labels)
        console.print(
            f"{stream.run}: top1={alone['top1']:.4g} weight={weight:g} protocol={stream.protocol} "
            f"step={stream.step}",
            highlight=False,
            soft_wrap=True,
        )
    if len({stream.protocol for stream in streams}) > 1:
        console.print("warning: the streams were evaluated by other protocols", style="yellow")
    first = streams[0]
    if config.sweep:
        _print_sweep(streams, first.labels, config.space, console)
    interval = accuracy_interval([(first.names, ranks(scores, first.labels) < 1)])
    return accuracy(scores, first.labels) | {
        "chance": 1 / len(first.class_names),
        "low": interval[0],
        "high": interval[1],
        "num_videos": len(first.names),
    }


def fuse_line(values: dict) -> str:
    """The one line that scripts read: `top1=0.9 low=0.88 high=0.92 top5=0.99 chance=0.1 ...`."""
    names = ("top1", "low", "high", "top5", "chance", "num_videos")
    return " ".join(f"{name}={values[name]:.4g}" for name in names if name in values)


def _print_sweep(streams, labels: np.ndarray, space: str, console: Console) -> None:
    rows = [(w, accuracy(fuse(streams, (1.0, w), space), labels)["top1"]) for w in SWEEP]
    best = max(top1 for _, top1 in rows)
    for weight, top1 in rows:
        mark = "  best" if top1 == best else ""
        console.print(f"weights 1 : {weight:<4g} top1={top1:.4g}{mark}", highlight=False)
    console.print(
        "(The best is chosen on the very videos that it is measured on, so it promises too much.)",
        soft_wrap=True,
    )
