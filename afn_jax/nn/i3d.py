"""I3D: Inception-v1 inflated to 3D.

Source: Carreira and Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset,
2017, Figure 3. Each k x k convolution of Inception-v1 (Szegedy et al. 2015, Table 1, with 3x3 in
place of 5x5) becomes k x k x k and is followed by batch normalization and ReLU. The first two
poolings do not pool over time. Padding is TensorFlow's "SAME", which rounds sizes up, as the
published weights require.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv import Conv3D, Implementation
from afn_jax.nn.normalization import batch_norm
from afn_jax.nn.pooling import max_pool_same

# Blocks and the max poolings between them, in order. A block: channels of its branches, by kernel
# size: 1; 1 then 3; 1 then 3 (5 in Inception-v1); pooling, 1. A pooling: window and strides.
BLOCKS: dict[str, tuple[Any, ...]] = {
    "pool2": ((1, 3, 3), (1, 2, 2)),
    "3b": (64, (96, 128), (16, 32), 32),
    "3c": (128, (128, 192), (32, 96), 64),
    "pool3": ((3, 3, 3), (2, 2, 2)),
    "4b": (192, (96, 208), (16, 48), 64),
    "4c": (160, (112, 224), (24, 64), 64),
    "4d": (128, (128, 256), (24, 64), 64),
    "4e": (112, (144, 288), (32, 64), 64),
    "4f": (256, (160, 320), (32, 128), 128),
    "pool4": ((2, 2, 2), (2, 2, 2)),
    "5b": (256, (160, 320), (32, 128), 128),
    "5c": (384, (192, 384), (48, 128), 128),
}


class InceptionI3D(nn.Module):
    """I3D: clips `[batch, time, H, W, channels]` to logits `[batch, classes]` averaged over time.

    Attributes:
        num_classes: size of the logits.
        width: channels of the first convolution, 64 in the paper; all others scale with it.
        dropout_rate: of the dropout before the classifier.
        dtype: of the computation; parameters and logits stay float32.
        axis_name: pmap axis over which batch statistics are averaged, or None.
        implementation: of the 3D convolutions, see `afn_jax.nn.conv`.
    """

    num_classes: int
    width: int = 64
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    axis_name: str | None = None
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool) -> Float[Array, "b classes"]:
        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)

        def conv(x, channels, size, name, stride=1):
            channels = max(channels * self.width // 64, 1)
            layer = Conv3D(
                channels,
                (size,) * 3,
                (stride,) * 3,
                dtype=self.dtype,
                implementation=self.implementation,
                name=name,
            )
            x = _conv_same(layer, x) if stride > 1 else layer(x)
            return nn.relu(norm(name=f"{name}_norm", epsilon=1e-3)(x))

        x = conv(x.astype(self.dtype), 64, 7, "conv1a", stride=2)
        x = max_pool_same(x, (1, 3, 3), (1, 2, 2))
        x = conv(x, 64, 1, "conv2b")
        x = conv(x, 192, 3, "conv2c")
        for name, block in BLOCKS.items():
            if name.startswith("pool"):
                x = max_pool_same(x, *block)
                continue
            one, (reduce3, three), (reduce5, five), pool = block
            branches = [
                conv(x, one, 1, f"mixed{name}_0"),
                conv(conv(x, reduce3, 1, f"mixed{name}_1a"), three, 3, f"mixed{name}_1b"),
                conv(conv(x, reduce5, 1, f"mixed{name}_2a"), five, 3, f"mixed{name}_2b"),
                conv(max_pool_same(x, (3, 3, 3), (1, 1, 1)), pool, 1, f"mixed{name}_3"),
            ]
            x = jnp.concatenate(branches, -1)
        x = x.astype(jnp.float32).mean((2, 3))
        # The paper averages windows of two frames and then the scores of all windows, so the first
        # and last frames have half the weight of the others.
        if x.shape[1] > 1:
            x = (x[:, :-1] + x[:, 1:]) / 2
        # The classifier is linear, so the score of the mean window is the mean of the scores.
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x).mean(1)
        return nn.Dense(self.num_classes, name="classifier")(x)


def _conv_same(layer: Callable[[Array], Array], x: Array) -> Array:
    """Applies the strided `layer` with the padding of TensorFlow's "SAME".

    At even sizes, the windows of "SAME" start one pixel later than those of `layer`. One more zero
    in front aligns them and adds a first window, which is dropped.
    """
    even = [(1 - size % 2, 0) for size in x.shape[1:4]]
    y = layer(jnp.pad(x, ((0, 0), *even, (0, 0))))
    return y[:, even[0][0] :, even[1][0] :, even[2][0] :]
