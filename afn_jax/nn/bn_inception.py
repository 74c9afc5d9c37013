"""BN-Inception: the 2D network of Temporal Segment Networks.

Source: Ioffe and Szegedy, Batch Normalization, 2015, Figure 5. The channels are those of the
released Caffe network that Wang et al., Temporal Segment Networks, 2016, start from. That network
differs from the figure in the pooling branch of 4c (128 channels, not 96) and in the last blocks.
Each convolution is followed by batch normalization and ReLU. The Caffe network's convolutions have
biases, which are omitted here because the normalization cancels them. Sizes are rounded up at each
halving.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv2d import Conv2D
from afn_jax.nn.pooling import max_pool_same

# Channels of the branches: 1x1; 1x1 then 3x3; 1x1 then 3x3 twice; pooling then 1x1. Blocks with 0
# have no 1x1 branch, halve the size, and max-pool all channels without a convolution after it.
BLOCKS = {
    "3a": (64, (64, 64), (64, 96), 32),
    "3b": (64, (64, 96), (64, 96), 64),
    "3c": (0, (128, 160), (64, 96), 0),
    "4a": (224, (64, 96), (96, 128), 128),
    "4b": (192, (96, 128), (96, 128), 128),
    "4c": (160, (128, 160), (128, 160), 128),
    "4d": (96, (128, 192), (160, 192), 128),
    "4e": (0, (128, 192), (192, 256), 0),
    "5a": (352, (192, 320), (160, 224), 128),
    "5b": (352, (192, 320), (192, 224), 128),
}


class BNInception(nn.Module):
    """BN-Inception: images `[batch, H, W, channels]` to features `[batch, H / 32, W / 32, 1024]`.

    Attributes:
        norm: makes a normalization layer: `norm(name=...)`.
        width: channels of the first convolution, 64 in the paper; all others scale with it.
        dtype: of the convolutions.
    """

    norm: Any
    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        x = self._conv(x, 64, 7, "conv1", stride=2)
        x = max_pool_same(x, (3, 3), (2, 2))
        x = self._conv(x, 64, 1, "conv2_reduce")
        x = self._conv(x, 192, 3, "conv2")
        x = max_pool_same(x, (3, 3), (2, 2))
        for name, (one, (reduce3, three), (reduce5, five), pool) in BLOCKS.items():
            stride = 1 if one else 2
            branches = [self._conv(x, one, 1, f"inception{name}_1x1")] if one else []
            y = self._conv(x, reduce3, 1, f"inception{name}_3x3_reduce")
            branches.append(self._conv(y, three, 3, f"inception{name}_3x3", stride=stride))
            y = self._conv(x, reduce5, 1, f"inception{name}_double_reduce")
            y = self._conv(y, five, 3, f"inception{name}_double_1")
            branches.append(self._conv(y, five, 3, f"inception{name}_double_2", stride=stride))
            if not one or name == "5b":
                y = max_pool_same(x, (3, 3), (stride, stride))
            else:
                y = nn.avg_pool(x, (3, 3), padding="SAME")  # includes the padding, as in Caffe
            branches.append(self._conv(y, pool, 1, f"inception{name}_pool") if pool else y)
            x = jnp.concatenate(branches, -1)
        return x

    def _conv(self, x: Array, channels: int, size: int, name: str, stride: int = 1) -> Array:
        channels = max(channels * self.width // 64, 1)
        x = Conv2D(channels, (size, size), (stride, stride), dtype=self.dtype, name=name)(x)
        return nn.relu(self.norm(name=f"{name}_norm")(x))
