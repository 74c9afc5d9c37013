"""The metrics of training steps: read late, checked, and averaged between two rows."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from train.checkpoint import Checkpoints
from train.step import Metrics


class TrainingStopped(Exception):
    """Training cannot continue; the message says why, what is saved and what to try."""


class Diverged(TrainingStopped):
    """The loss or its gradient is no longer finite; with several processes, all notice together."""


class StepMetrics:
    """The metrics of the steps since the last row.

    The metrics of a step are read only when the next step is under way, so that the devices do not
    wait for the host.
    """

    def __init__(self, checkpoints: Checkpoints, pending: Sequence[dict[str, float]] = ()):
        """Begins with the metrics that are `pending` since the last row of a resumed run."""
        self._checkpoints = checkpoints
        self._newest: tuple[int, Metrics] | None = None  # still being computed
        self._read: list[dict[str, float]] = list(pending)

    def add(self, step: int, metrics: Metrics) -> None:
        """Reads the metrics of the step before and keeps those of this step for later.

        Raises:
            Diverged: see `read_finite`.
        """
        self.wait()
        self._newest = (step, metrics)

    def wait(self) -> None:
        """Waits for the newest step and reads its metrics.

        Raises:
            Diverged: see `read_finite`.
        """
        if self._newest is not None:
            self._read.append(read_finite(*self._newest, self._checkpoints))
            self._newest = None

    def pending(self) -> list[dict[str, float]]:
        """Returns the metrics since the last row that have been read, for a checkpoint."""
        return list(self._read)

    def mean(self) -> dict[str, float]:
        """Returns the means over the steps since the last call.

        Each is over the steps in which it counted something. A metric that counted nothing in any
        step, such as the endpoint error without a valid pixel, is left out.

        Raises:
            Diverged: see `read_finite`.
        """
        self.wait()
        rows, self._read = self._read, []
        counted = {name: [row[name] for row in rows if row[name] == row[name]] for name in rows[0]}
        return {name: float(np.mean(values)) for name, values in counted.items() if values}


def read_finite(step: int, metrics: Any, checkpoints: Checkpoints) -> dict[str, float]:
    """Waits for the metrics of a step.

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    if not (math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"])):
        saved = checkpoints.latest_step()
        terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise Diverged(
            f"the loss or its gradient is not finite at step {step} ({terms}). "
            + (f"The checkpoint of step {saved} is intact. " if saved else "")
            + "Try a lower --optim.learning-rate, --optim.warmup-steps, or --optim.clip-norm 1"
            + (", with another --run-dir." if saved else ".")
        )
    return values
