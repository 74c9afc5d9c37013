"""Classifies videos with the newest checkpoint of a run: `python -m eval video --run RUN VIDEO...`.

It is `afn-jax predict` on a run folder instead of an exported file.
"""

import dataclasses
import shlex
from typing import Annotated

import tyro

from afn_jax.command.predict import PredictOptions, run_options
from afn_jax.export.network import Network
from afn_jax.near_names import printable
from eval.run_network import load_run

__all__ = ["VideoConfig", "load_run", "run_video"]


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    """Classifies videos: tables, segments, an annotated film and a page per folder.

    python -m eval video --run RUN VIDEO... --out DIR
    """

    run: str
    """Folder of the run."""
    options: Annotated[PredictOptions, tyro.conf.arg(name="")]


def run_video(config: VideoConfig) -> int:
    """Predicts videos and returns the exit code, as `afn_jax.command.predict.run` does.

    Raises:
        ValueError: not a run folder, wrong settings, or no video.
        CheckpointError: the run has no readable checkpoint.
    """

    def load_network(*, flow: bool, features: bool) -> Network:
        return load_run(config.run, flow=flow, features=features)

    command = f"python -m eval video --run {shlex.quote(printable(config.run))}"
    return run_options(config.options, load_network, command)
