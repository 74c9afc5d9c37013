"""The 3D decoder with skip connections that turns an encoder's features into flow.

Source: FlowNet-S (Fischer et al. 2015, Figure 3) extended to 3D as ActionFlowNet section 3.1 says:
transposed convolutions, each followed by the encoder's features of that size. One loss scale, so no
flow is predicted (and fed on) at the coarser levels.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv import Conv3D, ConvTranspose3D, Implementation


class FlowDecoder3D(nn.Module):
    """Doubles the size once per skip connection and predicts flow from the last one.

    Plain ReLUs let a decoder die at exactly zero flow: leaky ones, with normalisation, do not.

    Attributes:
        features: output channels of each transposed convolution, coarsest first.
        norm: `norm(name=...)`.
        negative_slope: of the leaky ReLU; 0.1 in FlowNet.
    """

    features: tuple[int, ...]
    norm: Any
    dtype: Any = jnp.float32
    implementation: Implementation = "auto"
    negative_slope: float = 0.1

    @nn.compact
    def __call__(self, x: Array, skips: list[Array]) -> Float[Array, "b t h w 2"]:
        """Decodes `x` `[b, t, h, w, c]` with the encoder's features `skips`, coarsest first."""
        for level, (features, skip) in enumerate(zip(self.features, skips, strict=True)):
            x = ConvTranspose3D(
                features,
                upsample_time=skip.shape[1] > x.shape[1],
                dtype=self.dtype,
                implementation=self.implementation,
                name=f"deconv{level}",
            )(x)
            x = nn.leaky_relu(self.norm(name=f"norm{level}")(x), self.negative_slope)
            # Odd sizes were rounded up on the way down.
            x = x[:, : skip.shape[1], : skip.shape[2], : skip.shape[3]]
            x = jnp.concatenate([x, skip.astype(x.dtype)], -1)
        # Starts near zero flow, not at a random one that has to be unlearnt first (guessed). The
        # flow itself is float32, also under a bfloat16 model.
        return Conv3D(
            2,
            use_bias=True,
            implementation=self.implementation,
            kernel_init=nn.initializers.normal(1e-3),
            name="flow",
        )(x)
