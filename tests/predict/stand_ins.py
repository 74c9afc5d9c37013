"""What tests of the engine share: networks whose answers are known, and a silent reporter."""

import flax.linen as nn
import jax
import numpy as np

from afn_jax.export.network import Outputs
from tests.export.fake_network import FakeNetwork, make_card


class Silent:
    """A reporter that remembers the outcomes."""

    def __init__(self):
        self.outcomes = []

    def start(self, number, of, video):
        self.at = number, of

    def advance(self, done, of):
        pass

    def finish(self, video, outcome, seconds, took):
        self.outcomes.append((video, outcome))


class _Small(nn.Module):
    @nn.compact
    def __call__(self, frames):
        x = frames.reshape(-1, *frames.shape[2:]) / 255
        x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x)).mean((1, 2))
        return nn.Dense(3)(x.reshape(len(frames), -1))


def inexact_network() -> FakeNetwork:
    """A compiled network of two layers, whose float32 sums are not exact."""
    module, frames = _Small(), np.zeros((1, 4, 16, 24, 3), np.uint8)
    parameters = module.init(jax.random.key(0), frames)
    scaled = jax.tree.map(lambda x: 3 * x, parameters)
    apply = jax.jit(module.apply)
    return FakeNetwork(make_card(), lambda frames: Outputs(apply(scaled, frames)))


def brightness_network(**changes) -> FakeNetwork:
    """Class "bright" is as probable as the window is bright; features are the mean color."""

    def function(frames):
        mean = frames.mean(axis=(1, 2, 3, 4), dtype=np.float64) / 255
        mean = np.clip(mean, 1e-6, 1 - 1e-6)
        logits = np.log(np.stack([1 - mean, mean], 1)).astype(np.float32)
        features = (frames.mean(axis=(1, 2, 3)) / 255).astype(np.float32)
        flows = ()
        if card.flow_starts:
            height, width = card.size
            flow = np.zeros((len(frames), len(card.flow_starts), height, width, 2), np.float32)
            flow[..., 0] = 1.0 + np.arange(len(card.flow_starts))[:, None, None]
            flows = (flow,)
        return Outputs(logits if card.class_names else None, flows, features)

    card = make_card(**{"class_names": ("dark", "bright")} | changes)
    return FakeNetwork(card, function)


def lights(*levels: int, height: int = 48, width: int = 64) -> np.ndarray:
    """`[N, H, W, 3]` uint8: gray pictures of these levels."""
    return np.stack([np.full((height, width, 3), level, np.uint8) for level in levels])
