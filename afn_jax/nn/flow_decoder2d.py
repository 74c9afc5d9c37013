"""The 2D decoder with skip connections that predicts flow at several scales.

Source: FlowNet-S (Fischer et al. 2015, Figure 3), as ActionFlowNet's two-frame models have it, and
with a convolution between the transposed ones as MotionNet has it (Hidden Two-Stream section 3.1).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv import Implementation, Initializer, he_normal
from afn_jax.nn.conv2d import Conv2D, ConvTranspose2D, he_normal_doubling


class FlowDecoder2D(nn.Module):
    """Predicts flow, doubles the size, adds a skip connection, and so on: one flow a size.

    What each level starts from: the encoder's features of that size, the features from below after
    a transposed convolution, and the flow from below after one that is learned too.

    Attributes:
        features: output channels of each transposed convolution, coarsest first.
        flow_channels: two for each flow field.
        smooth: a linear 3x3 convolution after each level's concatenation, to as many channels as
            the transposed one has; flow and the next level start from its output.
        norm: `norm(name=...)` after each transposed convolution, or None.
        deconv_bias: of the transposed convolutions.
        deconv_init, flow_init: of the transposed convolutions, and of the layers that predict flow.
        negative_slope: of the leaky ReLU; 0.1 in FlowNet.
        implementation: of the transposed convolutions, see `afn_jax.nn.conv`.
    """

    features: tuple[int, ...]
    flow_channels: int = 2
    smooth: bool = False
    norm: Any = None
    deconv_bias: bool = False
    deconv_init: Initializer = he_normal_doubling
    flow_init: Initializer = he_normal
    dtype: Any = jnp.float32
    negative_slope: float = 0.1
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], skips: list[Array]) -> list[Array]:
        """Flow at the size of each of `skips` and of `x`, finest first.

        Args:
            x: `[b, h, w, c]`, the encoder's last features.
            skips: its features before, coarsest first; each level at most doubles the size.

        Returns:
            `[b, h, w, flow_channels]` each, float32 (also in a bfloat16 model).
        """
        flows = [self._flow(x, 0)]
        for level, (features, skip) in enumerate(zip(self.features, skips, strict=True), 1):
            x = self._double(features, f"deconv{level}")(x)
            if self.norm is not None:
                x = self.norm(name=f"norm{level}")(x)
            x = nn.leaky_relu(x, self.negative_slope)
            flow = self._double(self.flow_channels, f"upflow{level}")(flows[-1])
            # Odd sizes were rounded up on the way down.
            height, width = skip.shape[1:3]
            parts = [skip.astype(x.dtype), x[:, :height, :width], flow[:, :height, :width]]
            x = jnp.concatenate(parts, -1)
            if self.smooth:
                x = Conv2D(features, use_bias=True, dtype=self.dtype, name=f"smooth{level}")(x)
            flows.append(self._flow(x, level))
        return flows[::-1]

    def _flow(self, x: Array, level: int) -> Array:
        init, name = self.flow_init, f"flow{level}"
        return Conv2D(self.flow_channels, use_bias=True, kernel_init=init, name=name)(x)

    def _double(self, features: int, name: str) -> ConvTranspose2D:
        return ConvTranspose2D(
            features,
            use_bias=self.deconv_bias,
            dtype=self.dtype,
            implementation=self.implementation,
            kernel_init=self.deconv_init,
            name=name,
        )
