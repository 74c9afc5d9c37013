"""VGG-16, and the pooling and dense layers that it shares with C3D.

Source: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
2015, Table 1, column D. The adaptive pooling before the dense layers is torchvision's; it changes
nothing at 224 x 224.
"""

from typing import Any

import chex
import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from afn_jax.nn.conv import he_normal
from afn_jax.nn.conv2d import Conv2D

VGG16_STAGES = (2, 2, 3, 3, 3)  # convolutions per stage; channels 64 128 256 512 512


def max_pool_halves(
    x: Float[Array, "b *space c"], *, axes: tuple[int, ...], keep_last: bool = False
) -> Float[Array, "b *space2 c"]:
    """Computes max pooling with window and stride 2 along `axes`.

    It is computed as maxima of strided slices: on the CPU, the gradient is ten times faster than
    that of a window reduction.

    Args:
        x: images or clips.
        axes: axes of `x` to halve.
        keep_last: pool an odd last row alone, as Caffe does, instead of dropping it, as PyTorch
            does.
    """
    for axis in axes:
        if keep_last and x.shape[axis] % 2:
            padding = [(0, 1) if i == axis else (0, 0) for i in range(x.ndim)]
            x = jnp.pad(x, padding, constant_values=-jnp.inf)
        end = x.shape[axis] // 2 * 2
        x = jnp.maximum(lax.slice_in_dim(x, 0, end, 2, axis), lax.slice_in_dim(x, 1, end, 2, axis))
    return x


def adaptive_average_pool(
    x: Float[Array, "b *space c"], size: tuple[int, ...]
) -> Float[Array, "b *space2 c"]:
    """Computes PyTorch's adaptive average pooling: means over `size` windows along each axis.

    Window i of m over n pixels extends from floor(i n / m) to ceil((i + 1) n / m): windows overlap
    if m does not divide n, and repeat pixels if n is smaller than m.

    Args:
        x: images or clips, channels last.
        size: number of windows along each axis between batch and channels.
    """
    chex.assert_rank(x, len(size) + 2)
    for axis, windows in enumerate(size, start=1):
        length = x.shape[axis]
        if length == windows:
            continue
        means = []
        for i in range(windows):
            start, end = i * length // windows, -(-(i + 1) * length // windows)
            means.append(lax.slice_in_dim(x, start, end, axis=axis).mean(axis))
        x = jnp.stack(means, axis)
    return x


class VGG16(nn.Module):
    """VGG-16: normalized images `[batch, H, W, channels]` to logits `[batch, classes]`.

    Images must be 32 x 32 or larger.

    Attributes:
        num_classes: size of the logits.
        width: channels of the first stage, 64 in the paper; the dense layers have 64 * `width`.
        dropout_rates: after fc6 and fc7; 0.5 in the paper, (0.9, 0.8) for the temporal stream of
            Hidden Two-Stream.
        dtype: of the computation; parameters and logits stay float32.
    """

    num_classes: int
    width: int = 64
    dropout_rates: tuple[float, float] = (0.5, 0.5)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b classes"]:
        if min(x.shape[1:3]) < 32:
            raise ValueError(
                f"frames: got height and width {x.shape[1:3]}, but five poolings halve them: pass "
                "32 x 32 or larger."
            )
        x = x.astype(self.dtype)
        for stage, num_convs in enumerate(VGG16_STAGES, start=1):
            for index in range(1, num_convs + 1):
                x = Conv2D(
                    self.width * 2 ** min(stage - 1, 3),
                    use_bias=True,
                    dtype=self.dtype,
                    name=f"conv{stage}_{index}",
                )(x)
                x = nn.relu(x)
            x = max_pool_halves(x, axes=(1, 2))
        x = adaptive_average_pool(x, (7, 7))
        return dense_layers(
            x,
            train=train,
            hidden=64 * self.width,
            num_classes=self.num_classes,
            dropout_rates=self.dropout_rates,
            dtype=self.dtype,
        )


def dense_layers(
    x: Float[Array, "b *space c"],
    *,
    train: bool,
    hidden: int,
    num_classes: int,
    dropout_rates: tuple[float, float],
    dtype: Any,
) -> Float[Array, "b classes"]:
    """Applies fc6, fc7 and the classifier as layers of the calling module (inside `nn.compact`)."""
    x = x.reshape(x.shape[0], -1)
    for name, rate in zip(("fc6", "fc7"), dropout_rates, strict=True):
        x = nn.relu(nn.Dense(hidden, dtype=dtype, kernel_init=he_normal, name=name)(x))
        x = nn.Dropout(rate, deterministic=not train)(x)
    return nn.Dense(num_classes, name="classifier")(x.astype(jnp.float32))
