"""The decoder with skip connections that turns an encoder's features into flow, in 2D and in 3D.

Source: FlowNet-S (Fischer et al. 2015, Figure 3). ActionFlowNet's two-frame models have it as it
is; its multi-frame ones in 3D (section 3.1), with one scale of the loss, so that no flow is
predicted and fed on at the coarser levels; MotionNet with a convolution after each level (Hidden
Two-Stream section 3.1).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv import Initializer, he_normal

# Starts near zero flow, not at a random one that has to be unlearnt first. Guessed.
NEAR_ZERO = nn.initializers.normal(1e-3)


class FlowDecoder(nn.Module):
    """Doubles the size, adds a skip connection, and predicts flow at every size or the last one.

    Where flow is predicted at every size, a level starts from the encoder's features of its size,
    the features from below after a transposed convolution, and the flow from below after one that
    is learned too.

    Plain ReLUs let a decoder die at exactly zero flow: leaky ones do not.

    Attributes:
        features: output channels of each transposed convolution, coarsest first.
        conv: `conv(features, name=..., ...)`, a 3x3 or 3x3x3 convolution: `Conv2D` or `Conv3D`.
        deconv: `deconv(features, name=...)`, which doubles the size: `ConvTranspose2D` or
            `ConvTranspose3D`, whose `upsample_time` is set where the skip connection has more time.
        dtype: of `smooth`; the layers that predict flow compute in float32.
        every_size: flow at the size of the last features and of each skip connection, or only at
            that of the last skip connection.
        flow_channels: two for each flow field.
        smooth: a linear convolution after each level's concatenation, to as many channels as the
            transposed one has; flow and the next level start from its output.
        norm: `norm(name=...)` after each transposed convolution, or None.
        flow_init: of the layers that predict flow.
        negative_slope: of the leaky ReLU; 0.1 in FlowNet.
    """

    features: tuple[int, ...]
    conv: Callable[..., nn.Module]
    deconv: Callable[..., nn.Module]
    dtype: Any = jnp.float32
    every_size: bool = True
    flow_channels: int = 2
    smooth: bool = False
    norm: Any = None
    flow_init: Initializer = he_normal
    negative_slope: float = 0.1

    @nn.compact
    def __call__(self, x: Float[Array, "b *size c"], skips: list[Array]) -> list[Array]:
        """Flow, finest first.

        Args:
            x: `[b, h, w, c]` or `[b, t, h, w, c]`, the encoder's last features.
            skips: its features before, coarsest first; each level at most doubles the size.

        Returns:
            `[b, (t,) h, w, flow_channels]` each, float32 (also in a bfloat16 model).
        """
        flows = [self._flow(x, 0)] if self.every_size else []
        for level, (features, skip) in enumerate(zip(self.features, skips, strict=True), 1):
            time = {"upsample_time": skip.shape[1] > x.shape[1]} if x.ndim == 5 else {}
            # Odd sizes were rounded up on the way down.
            cut = tuple(slice(size) for size in skip.shape[:-1])
            x = self.deconv(features, name=f"deconv{level}", **time)(x)
            if self.norm is not None:
                x = self.norm(name=f"norm{level}")(x)
            x = nn.leaky_relu(x, self.negative_slope)[cut]
            parts = [skip.astype(x.dtype), x]
            if self.every_size:
                up_flow = self.deconv(self.flow_channels, name=f"upflow{level}", **time)
                parts.append(up_flow(flows[-1])[cut])
            x = jnp.concatenate(parts, -1)
            if self.smooth:
                x = self.conv(features, use_bias=True, dtype=self.dtype, name=f"smooth{level}")(x)
            if self.every_size or level == len(skips):
                flows.append(self._flow(x, level))
        return flows[::-1]

    def _flow(self, x: Array, level: int) -> Array:
        init, name = self.flow_init, f"flow{level}"
        layer = self.conv(
            self.flow_channels, use_bias=True, dtype=jnp.float32, kernel_init=init, name=name
        )
        return layer(x)
