"""Exports a trained run as one file, or to ONNX: `python -m eval export --run RUN [--onnx]`."""

import dataclasses
from pathlib import Path
from typing import Annotated

from rich.console import Console

from afn_jax.export.card import Card
from afn_jax.export.load import load
from afn_jax.export.write import write_network
from afn_jax.limits import Limits, check_limits
from eval.run_network import NOT_STATED, read_run
from train.data_changes import warn

SUFFIX, ONNX = ".afn", ".onnx"


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Writes the newest checkpoint of a run as one file that runs without this code."""

    run: str
    """Folder of the run."""
    out: str = ""
    (
        "File to write, NAME.afn, or NAME.onnx with onnx; empty: in the folder of the run and "
        "named after it."
    )
    license: str = NOT_STATED
    """License of the weights, for the card, such as CC-BY-4.0."""
    onnx: bool = False
    """Write an ONNX file instead, for a fixed batch size. Needs jax2onnx, see docs/export.md."""
    batch: Annotated[int, Limits(1)] = 1
    """onnx: number of windows per call."""


def run_export(config: ExportConfig, console: Console | None = None) -> tuple[Path, Card]:
    """Exports a run.

    Returns:
        The path of the file and its card.

    Raises:
        ValueError: not a run folder, or a file name without the right suffix.
        CheckpointError: the run has no readable checkpoint.
        OSError: the file cannot be written.
    """
    console = console or Console()
    check_limits(config)
    path = _path(config)
    run = read_run(config.run, config.license)
    for note in run.notes:
        warn(console, note)
    if config.onnx:
        from afn_jax.export.onnx import write_onnx

        write_onnx(path, run.forward, run.variables, run.card, batch=config.batch)
        return path, run.card
    classifies = bool(run.card.class_names)
    card = write_network(path, run.model, run.variables, run.card, classifies=classifies)
    load(path)  # checks the file as a user of it would
    return path, card


def export_line(path: Path, card: Card) -> str:
    """Returns what was written as one line."""
    outputs = [f"{len(card.class_names)} classes"] * bool(card.class_names)
    outputs += ["flow"] * bool(card.flow_starts)
    where = "ONNX" if path.suffix == ONNX else f"for {', '.join(card.platforms)}"
    return (
        f"wrote {path}: {card.model}, step {card.step}, {card.num_frames} frames of "
        f"{card.size[0]}x{card.size[1]} -> {' and '.join(outputs)}; "
        f"{path.stat().st_size / 1e6:.1f} MB, {where}"
    )


def _path(config: ExportConfig) -> Path:
    folder = Path(config.run)
    suffix = ONNX if config.onnx else SUFFIX
    path = Path(config.out) if config.out else folder / f"{folder.resolve().name}{suffix}"
    if path.suffix != suffix:
        raise ValueError(
            f"out: got {config.out!r}; the name must end in {suffix}, e.g. "
            f"{path.with_suffix(suffix)}."
        )
    if not path.parent.is_dir():
        raise ValueError(f"out: the folder {path.parent} does not exist. Create it first.")
    return path
