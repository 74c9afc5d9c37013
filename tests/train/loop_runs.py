"""Runs the real training loop and reads its outputs."""

import dataclasses
import io
import signal
from pathlib import Path

import chex
import jax
from rich.console import Console

from train import step_metrics
from train.loop import train
from train.writers import read_metrics


def run(config):
    """Trains a run; returns the result and the printed text."""
    output = io.StringIO()
    result = train(config, Console(file=output, width=200))
    return result, output.getvalue()


def rows(run_dir, split="train"):
    """Returns the rows of metrics without speeds, which differ from run to run."""
    timed = ("steps_per_second", "clips_per_second")
    return [
        {name: value for name, value in row.items() if name not in timed}
        for row in read_metrics(run_dir)
        if row["split"] == split
    ]


def contents(folder):
    return {p: p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def saved_steps(run_dir):
    return sorted(int(p.name) for p in (Path(run_dir) / "checkpoints").iterdir())


def assert_same_state(found, right):
    found, right = jax.device_get((found, right))
    chex.assert_trees_all_equal(found, right)


def elsewhere(config, name, **changes):
    return dataclasses.replace(config, run_dir=str(Path(config.run_dir).parent / name), **changes)


def stop_at(step, monkeypatch, number=signal.SIGTERM):
    """Sends this process a signal while the metrics of `step` are read."""

    def read(at, metrics, checkpoints, original=step_metrics.read_finite):
        if at == step:
            signal.raise_signal(number)
        return original(at, metrics, checkpoints)

    monkeypatch.setattr(step_metrics, "read_finite", read)
