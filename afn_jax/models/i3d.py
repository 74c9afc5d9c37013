"""I3D on RGB: Inception-v1 inflated to 3D.

Carreira and Zisserman: Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset, 2017.

| part | paper | here |
|---|---|---|
| network | Figure 3 | `afn_jax.nn.i3d.InceptionI3D` |
| 64 frames of 224 x 224 in training | section 3 | `num_frames`; any number works |
| frames in [-1, 1] | the authors' code | `signed_frames` |

The flow stream is the same network on two channels: see `hidden_two_stream.py`.

Guessed, because the paper does not report it: the dropout rate (0.5); the momentum of the batch
statistics; a scale in batch normalization (the authors' has only an offset, which can represent the
same functions with 7,280 fewer parameters); He initialization.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork
from afn_jax.nn.conv import Implementation
from afn_jax.nn.i3d import InceptionI3D
from afn_jax.ops.checks import check_float
from afn_jax.types import Prediction


class I3D(VideoNetwork):
    """I3D on RGB frames; no flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first convolution; 64 in the paper.
        num_frames: frames per clip; 64 in the paper, but any number works.
        implementation: implementation of the 3D convolutions, see `afn_jax.nn.conv`.
    """

    num_frames: int = 64
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        logits = InceptionI3D(
            self.num_classes,
            width=self.width,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            axis_name=self.axis_name,
            implementation=self.implementation,
            name="i3d",
        )(signed_frames(frames), train=train)
        return Prediction(logits=logits, flows=())


def signed_frames(frames: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
    """Maps [0, 1] to [-1, 1]. Raises ValueError for integers, which would wrap around."""
    check_float(frames=frames)
    return 2 * frames - 1
