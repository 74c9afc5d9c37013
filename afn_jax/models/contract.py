"""The contract between networks and their users: what every network of `list_models()` answers.

| question | answer |
|---|---|
| `model.apply(variables, frames, train=...)` | an `afn_jax.types.Prediction` |
| `model.flow_starts(num_frames)` | the frame at which each flow starts |
| `model.num_segments` | segments per clip, or None if the network does not split clips |
| `model.backward_flows` | whether predictions in training contain backward flows too |

A network derives from `VideoNetwork`, which declares the fields that every network has, and
overrides only what differs from the defaults there. Training also sets the following fields, if a
network has them:

| field | meaning |
|---|---|
| `flow_stride` | size of the frames divided by the size of the flow |
| `predict_flow`, `classify` | False leaves out the flow decoder, the classifier |
| `bidirectional` | True adds backward flows in training |
| `num_segments` | number of segments that a clip consists of |
"""

from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class VideoNetwork(nn.Module):
    """Base class of all networks: frames `[batch, time, H, W, 3]` in [0, 1] -> `Prediction`.

    Attributes:
        num_classes: size of the logits.
        width: channels of the first stage; all other widths are proportional to it.
        num_frames: frames per clip; all segments together, if a clip has several.
        dropout_rate: dropout rate before the classifier.
        dtype: dtype of the computation. Parameters, flows and logits stay float32.
        axis_name: pmap axis over which batch statistics are averaged, or None. Unused by networks
            without batch normalization.
        num_segments: number of equal parts that a clip consists of; no flow crosses from one part
            to the next. None: the network does not split clips. A network that does has a field of
            this name.
        backward_flows: whether predictions in training contain backward flows too, after the
            forward flows on the axis of pairs.
    """

    num_classes: int
    width: int = 64
    num_frames: int = 1
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    axis_name: str | None = None

    # Not fields, unless a network declares them as such.
    num_segments = None
    backward_flows = False

    def flow_starts(self, num_frames: int) -> tuple[int, ...]:
        """Returns the frame at which each flow starts, in the order of `Prediction.flows`.

        By default there is one flow per frame: to the next frame and, from the last, to the frame
        after the clip (the future flow). If a clip has several segments, no flow starts at the last
        frame of a segment. Entries past the last flow are unused: networks without a future flow
        have one flow fewer, and networks without flow have none.
        """
        num_segments = self.num_segments or 1
        if num_segments == 1:
            return tuple(range(num_frames))
        length = num_frames // num_segments
        return tuple(first + t for first in range(0, num_frames, length) for t in range(length - 1))


def check_choice(field: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raises ValueError if the value of a field is not one of `allowed`."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(f"{field}: got {value!r}; allowed: {', '.join(map(repr, allowed))}.")


def check_fusion_weights(weights: tuple[float, float]) -> None:
    """Raises ValueError unless both weights are 0 or more, and at least one is above 0."""
    if min(weights) < 0 or sum(weights) == 0:
        raise ValueError(
            f"fusion_weights: got {weights}; give a weight of 0 or more for the spatial and the "
            "temporal stream, at least one of them above 0."
        )
