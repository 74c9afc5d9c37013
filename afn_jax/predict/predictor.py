"""Runs a network on windows in batches of one size: files and live sources agree exactly."""

from typing import NamedTuple

import numpy as np

from afn_jax.export.network import Network, Outputs
from afn_jax.predict.frames.windows import Window


class Predicted(NamedTuple):
    """What a network says of a window.

    Attributes:
        window: which one.
        probabilities: `[classes]` float64; None if the network does not classify.
        flow: `[pairs, h, w, 2]` float32, the finest; None unless asked for.
        features: `[feature_size]` float32; None unless asked for.
    """

    window: Window
    probabilities: np.ndarray | None
    flow: np.ndarray | None
    features: np.ndarray | None


class Predictor:
    """Collects windows and calls the network whenever a batch is complete.

    Window number n is always in row n modulo the batch size, and missing rows are filled up. So the
    result for a window does not depend on which windows are ready at the same time, although a
    program rounds differently for different batch sizes, and may for different rows.

    While the network computes a batch, the caller goes on: results come one batch late.
    """

    def __init__(self, network: Network, batch_size: int):
        """Takes the number of windows per call."""
        self._network, self._size = network, batch_size
        self._next: list[tuple[Window, np.ndarray]] = []
        self._running: tuple[list[Window], Outputs] | None = None

    def add(self, window: Window, frames: np.ndarray) -> list[Predicted]:
        """Takes the next window and its frames, brightened and cropped; returns what is ready."""
        self._next.append((window, frames))
        if window.number % self._size < self._size - 1:
            return []
        return self._start()

    def flush(self) -> list[Predicted]:
        """Runs an incomplete batch and returns all that remains."""
        ready = self._start() if self._next else []
        return ready + self._collect()

    def _start(self) -> list[Predicted]:
        windows = [window for window, _ in self._next]
        # A new array per batch: JAX may use its memory while the batch is computed.
        batch = np.zeros((self._size, *self._next[0][1].shape), np.uint8)
        for window, frames in self._next:
            batch[window.number % self._size] = frames
        self._next = []
        outputs = self._network(batch)
        ready = self._collect()
        self._running = windows, outputs
        return ready

    def _collect(self) -> list[Predicted]:
        if self._running is None:
            return []
        (windows, outputs), self._running = self._running, None
        logits = None if outputs.logits is None else np.asarray(outputs.logits)
        flow = np.asarray(outputs.flows[0]) if outputs.flows else None
        features = None if outputs.features is None else np.asarray(outputs.features)
        results = []
        for window in windows:
            row = window.number % self._size
            results.append(
                Predicted(
                    window,
                    None if logits is None else softmax(logits[row]),
                    None if flow is None else flow[row],
                    None if features is None else features[row],
                )
            )
        return results


def softmax(logits: np.ndarray) -> np.ndarray:
    """Computes probabilities `[..., classes]` in float64."""
    exp = np.exp(logits.astype(np.float64) - np.max(logits, axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)
