"""2D convolution and transposed convolution over frames, padded like those in `conv.py`."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from afn_jax.nn.conv import (
    Implementation,
    Initializer,
    add_bias,
    conv3d,
    convolve,
    double_frames,
    he_normal,
    use_folded,
)

# Each output of a transposed convolution sees every second tap along both axes; only these count in
# He's fan-in.
he_normal_doubling: Initializer = nn.initializers.variance_scaling(
    8.0, "fan_in", "truncated_normal"
)


def conv2d(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c f"],
    *,
    strides: tuple[int, int] = (1, 1),
    implementation: Implementation = "auto",
) -> Float[Array, "b h2 w2 f"]:
    """Computes a 2D convolution, padded by half the (odd) kernel on each side; see `conv3d`."""
    if use_folded(implementation):
        one_frame = conv3d(x[:, None], kernel[None], strides=(1, *strides), implementation="folded")
        return one_frame[:, 0]
    padding = [((size - 1) // 2,) * 2 for size in kernel.shape[:2]]
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


class Conv2D(nn.Module):
    """2D convolution layer, padded by half the (odd) kernel on each side at any stride.

    Padding "SAME" differs at stride 2, where it shifts the image by half a pixel.
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    use_bias: bool = False
    dtype: Any = jnp.float32
    implementation: Implementation = "auto"
    kernel_init: Initializer = he_normal

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        return convolve(self, x, conv2d)


class ConvTranspose2D(nn.Module):
    """Transposed convolution that doubles height and width: 4x4 kernel, stride 2, padding 1.

    The kernel is that of a convolution over the zero-interleaved input: the mirror image of the
    kernels of PyTorch and Caffe.
    """

    features: int
    use_bias: bool = False
    dtype: Any = jnp.float32
    implementation: Implementation = "auto"
    kernel_init: Initializer = he_normal_doubling

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        shape = (4, 4, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        if use_folded(self.implementation):
            y = double_frames(x, kernel)
        else:
            y = lax.conv_general_dilated(
                x,
                kernel,
                (1, 1),
                [(2, 2), (2, 2)],
                lhs_dilation=(2, 2),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return add_bias(self, y) if self.use_bias else y
