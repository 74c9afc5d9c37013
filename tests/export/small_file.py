"""A small network with flow and logits, exported."""

import numpy as np

from afn_jax.export.card import Card
from afn_jax.export.write import write_network
from tests.export.fake_network import make_card
from tests.filled_variables import filled_variables
from tests.small_run import SmallNetwork


def small_card(**changes) -> Card:
    """Returns the card of `small_network`."""
    fields = dict(model="small", size=(8, 12), flow_starts=(0, 1, 2, 3), feature_size=8)
    return make_card(**fields | changes)


def small_network():
    """Returns the network and its variables."""
    model = SmallNetwork(num_classes=3)
    clip = np.zeros((1, 4, 8, 12, 3), np.float32)
    return model, filled_variables(model, clip, train=False)


def write_small(path, **changes) -> Card:
    """Writes `small_network` as a file."""
    return write_network(path, *small_network(), small_card(**changes))


def some_frames(batch: int, card: Card, seed: int = 0) -> np.ndarray:
    """Returns random frames, `[batch, num_frames, *size, 3]` uint8."""
    shape = (batch, card.num_frames, *card.size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
