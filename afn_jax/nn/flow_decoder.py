"""Decoder with skip connections from an encoder's features to flow, in 2D and 3D.

Source: FlowNet-S (Fischer et al. 2015, Figure 3). ActionFlowNet's two-frame models use it
unchanged. Its multi-frame models use it in 3D (section 3.1) with the loss at a single scale, so the
coarser levels neither predict flow nor pass it on. MotionNet adds a convolution after each level
(Hidden Two-Stream section 3.1).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv import Initializer, he_normal

# Training starts near zero flow instead of at random flow that it must first unlearn. Guessed.
NEAR_ZERO = nn.initializers.normal(1e-3)


class FlowDecoder(nn.Module):
    """Flow decoder: each level doubles the size and adds a skip connection.

    The input of each level is the concatenation of the encoder's features of that size and the
    transposed convolution of the coarser level's features. If flow is predicted at every size, a
    learned transposed convolution of the coarser flow is concatenated too.

    With plain ReLUs a decoder can die at exactly zero flow; leaky ReLUs prevent this.

    Attributes:
        features: output channels of each transposed convolution, coarsest first.
        conv: makes a 3x3 or 3x3x3 convolution, `Conv2D` or `Conv3D`: `conv(features, name=...)`.
        deconv: makes a transposed convolution that doubles the size, `ConvTranspose2D` or
            `ConvTranspose3D`: `deconv(features, name=...)`. In 3D it receives `upsample_time`, True
            where the skip connection has more frames.
        dtype: of the `smooth` convolutions; the layers that predict flow compute in float32.
        every_size: predict flow at the size of the encoder's last features and of every skip
            connection; False: only at the size of the last skip connection.
        flow_channels: two per flow field.
        smooth: add a linear convolution after each level's concatenation, with as many channels as
            the level's transposed convolution; flow and the next level start from its output.
        norm: makes the normalization after each transposed convolution, `norm(name=...)`, or None.
        flow_init: initializer of the layers that predict flow.
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
        """Computes flow, finest first.

        Args:
            x: `[b, h, w, c]` or `[b, t, h, w, c]`, the encoder's last features.
            skips: its earlier features, coarsest first; each level at most doubles the size.

        Returns:
            Maps `[b, (t,) h, w, flow_channels]` in float32, even in bfloat16 models.
        """
        flows = [self._flow(x, 0)] if self.every_size else []
        for level, (features, skip) in enumerate(zip(self.features, skips, strict=True), 1):
            time = {"upsample_time": skip.shape[1] > x.shape[1]} if x.ndim == 5 else {}
            # The encoder rounds odd sizes up, so twice a size can be one too many.
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
