"""A trained network as a function of frames, with its card."""

from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from afn_jax.export.card import Card

Array = jax.Array | np.ndarray


class Outputs(NamedTuple):
    """What a network predicts for a batch of windows.

    The arrays are computed asynchronously; `np.asarray` waits for them.

    Attributes:
        logits: `[batch, classes]` float32; None if the network does not classify.
        flows: finest first, each `[batch, pairs, h, w, 2]` float32, (x, y) = (right, down) in
            pixels of that map's own resolution; () unless asked for.
        features: `[batch, feature_size]` float32, the input of the classifier averaged over frames
            and segments; None unless asked for.
    """

    logits: Array | None = None
    flows: tuple[Array, ...] = ()
    features: Array | None = None


class Network(Protocol):
    """A trained network.

    Attributes:
        card: what it takes and gives.
        name: path of its file or run folder, for messages.
    """

    card: Card
    name: str

    def __call__(self, frames: Any) -> Outputs:
        """Predicts a batch of windows.

        Args:
            frames: `[batch, num_frames, *size, 3]` uint8, RGB, brightened as the card tells.

        Raises:
            ValueError: the frames have another shape or dtype; the message says which.
        """
        ...


def check_frames(frames: Any, card: Card, name: str) -> None:
    """Raises ValueError unless frames are uint8 of the shape that a network takes."""
    shape, dtype = np.shape(frames), getattr(frames, "dtype", None)
    expected = (card.num_frames, *card.size, 3)
    if len(shape) != 5 or shape[0] < 1 or shape[1:] != expected or dtype != np.uint8:
        raise ValueError(
            f"frames: got shape {shape} and dtype {dtype}; {name} takes "
            f"[batch, {', '.join(map(str, expected))}] uint8: RGB in 0..255, one window or more."
        )
