"""A network in NumPy for tests of what uses a network."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from afn_jax.export.card import Card
from afn_jax.export.network import Outputs, check_frames
from afn_jax.models import VideoNetwork


def make_card(**changes: Any) -> Card:
    """Returns a card of a small network without flow; `changes` replace its fields."""
    card = Card(
        model="resnet18-frame",
        class_names=("left", "right", "up"),
        num_frames=4,
        stride=1,
        num_segments=1,
        size=(16, 24),
        short_side=16,
        crop_scale=1.0,
        brighten="none",
        gamma=0.4,
        flow_starts=(),
        feature_size=3,
        recipe="fake",
        stage="main",
        step=100,
        metrics={"top1": 0.5},
        license="Apache-2.0",
        versions={"afn_jax": "0"},
        platforms=("cpu",),
    )
    return dataclasses.replace(card, **changes)


def card_of(name: str, model: VideoNetwork, shapes: dict[str, Any], side: int) -> Card:
    """Returns the card of a network of `benchmarks.tiny_models`.

    Args:
        name: of the network.
        model: the network.
        shapes: of its outputs, from `output_shapes`.
        side: of its frames, in pixels.
    """
    pairs = shapes["flows"][0].shape[1] if "flows" in shapes else 0
    classes = shapes["logits"].shape[-1] if "logits" in shapes else 0
    return make_card(
        model=name,
        class_names=tuple(map(str, range(classes))),
        num_frames=model.num_frames,
        size=(side, side),
        feature_size=shapes["features"].shape[-1] if "features" in shapes else 0,
        flow_starts=model.flow_starts(model.num_frames)[:pairs],
    )


def mean_color(frames: np.ndarray) -> Outputs:
    """Logits and features are the mean color of each window in [0, 1]."""
    color = frames.mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32) / 255
    return Outputs(logits=color, features=color)


@dataclasses.dataclass
class FakeNetwork:
    """A `Network` that calls a NumPy function.

    Attributes:
        card: of the network.
        function: maps uint8 `[batch, num_frames, *size, 3]` to `Outputs`.
        name: in messages.
        batches: sizes of the batches of all calls, in order.
    """

    card: Card = dataclasses.field(default_factory=make_card)
    function: Callable[[np.ndarray], Outputs] = mean_color
    name: str = "fake.afn"
    batches: list[int] = dataclasses.field(default_factory=list)

    def __call__(self, frames: np.ndarray) -> Outputs:
        frames = np.asarray(frames)
        check_frames(frames, self.card, self.name)
        self.batches.append(len(frames))
        return self.function(frames)
