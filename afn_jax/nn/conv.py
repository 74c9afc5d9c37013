"""3D convolution and transposed convolution that are fast on CPU, GPU and TPU.

XLA's CPU backend runs 3D convolutions several times slower than 2D ones. Each layer therefore has
two implementations with the same parameters and the same sums. "native" is XLA's 3D convolution.
"folded" folds time into the batch, concatenates the frames of all temporal taps along channels,
and runs one 2D convolution. "auto" selects "folded" on the CPU and "native" on GPU and TPU. On
images of a few pixels the CPU's 2D convolution is slow as well (up to forty times slower than a
matrix product), so there "folded" gathers the patch of each output pixel and runs one matrix
product.

Layout: inputs `[batch, time, height, width, channels]`, kernels `[time, height, width, in, out]`.
"""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from afn_jax.ops.backend import on_cpu

Implementation = Literal["auto", "native", "folded"]
Size3 = tuple[int, int, int]
Initializer = Callable[..., Any]

# Largest output, in pixels, for one matrix product; at 6 x 6, copying the patches costs what it
# saves.
FEW_PIXELS = 16
PIXELS_OF_TWO_FRAMES = 196  # for larger outputs the copies cost more than `_two_frames` saves

he_normal: Initializer = nn.initializers.he_normal()


def use_folded(implementation: Implementation) -> bool:
    """Returns whether `implementation` selects "folded" on the default backend.

    Raises:
        ValueError: if `implementation` is unknown.
    """
    if implementation not in ("auto", "native", "folded"):
        raise ValueError(
            f"implementation: got {implementation!r}; allowed: 'auto', 'native' and 'folded'."
        )
    return implementation == "folded" or (implementation == "auto" and on_cpu())


def conv3d(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "kt kh kw c f"],
    *,
    strides: Size3 = (1, 1, 1),
    implementation: Implementation = "auto",
) -> Float[Array, "b t2 h2 w2 f"]:
    """Computes a 3D convolution, padded by half the (odd) kernel: stride 1 keeps the size."""
    padding = [((size - 1) // 2, (size - 1) // 2) for size in kernel.shape[:3]]
    if not use_folded(implementation):
        return lax.conv_general_dilated(
            x, kernel, strides, padding, dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        )
    kernel, padding = _without_idle_taps(x.shape[1:4], kernel, strides, padding)
    rows, columns = (-(-n // stride) for n, stride in zip(x.shape[2:4], strides[1:], strict=True))
    if rows * columns <= FEW_PIXELS:
        return _one_product(_pad(x, padding), kernel, strides)
    taps, stride = kernel.shape[0], strides[0]
    if (x.shape[1], taps, stride) == (2, 3, 1) and rows * columns <= PIXELS_OF_TWO_FRAMES:
        return _two_frames(x, kernel, strides, padding)
    x = _pad(x, [padding[0], (0, 0), (0, 0)])
    length = (x.shape[1] - taps) // stride + 1
    windows = [x[:, k : k + (length - 1) * stride + 1 : stride] for k in range(taps)]
    y = lax.conv_general_dilated(
        _fold(windows),
        _stack_taps(kernel),
        strides[1:],
        padding[1:],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(x.shape[0], length, *y.shape[1:])


def conv_transpose3d(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "kt kh kw c f"],
    *,
    upsample_time: bool,
    implementation: Implementation = "auto",
) -> Float[Array, "b t2 h2 w2 f"]:
    """Computes a transposed convolution that doubles height, width and, if asked, time.

    Args:
        x: `[batch, time, height, width, channels]`.
        kernel: 4 taps along each axis that is doubled, 3 along time if it is not. It is the kernel
            of a convolution over the zero-interleaved input, so PyTorch's kernel is its mirror
            image.
        upsample_time: double time too.
        implementation: "auto", "native" or "folded"; see the module docstring.

    Raises:
        ValueError: if `kernel` has the wrong number of taps or `implementation` is unknown.
    """
    doubling = (upsample_time, True, True)
    expected = tuple(4 if double else 3 for double in doubling)
    if kernel.shape[:3] != expected:
        raise ValueError(f"kernel: got taps {kernel.shape[:3]}, expected {expected}.")
    dilation = tuple(2 if double else 1 for double in doubling)
    padding = [(2, 2) if double else (1, 1) for double in doubling]
    if not use_folded(implementation):
        return lax.conv_general_dilated(
            x,
            kernel,
            (1, 1, 1),
            padding,
            lhs_dilation=dilation,
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )
    batch, length, height, width = x.shape[:4]

    def upsample(windows, taps):
        y = double_frames(_fold(windows), _stack_taps(taps))
        return y.reshape(batch, length, 2 * height, 2 * width, -1)

    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    before, now, after = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
    if not upsample_time:
        return upsample([before, now, after], kernel)
    # With zeros between the frames, even outputs use only taps 0 and 2, odd ones only 1 and 3.
    even = upsample([before, now], kernel[0::2])
    odd = upsample([now, after], kernel[1::2])
    return jnp.stack([even, odd], 2).reshape(batch, 2 * length, *even.shape[2:])


def double_frames(x: Array, kernel: Array) -> Array:
    """Doubles `[n, h, w, c]` with a 4x4 kernel: one 2x2 convolution per parity of row and column.

    A convolution over the zero-interleaved input gives the same result for four times the work.
    """
    count, height, width = x.shape[:3]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = []
    for row in (0, 1):
        columns = [
            lax.conv_general_dilated(
                x[:, row : row + height + 1, column : column + width + 1],
                kernel[row::2, column::2],
                (1, 1),
                "VALID",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            for column in (0, 1)
        ]
        rows.append(jnp.stack(columns, 3))
    return jnp.stack(rows, 2).reshape(count, 2 * height, 2 * width, -1)


def _without_idle_taps(sizes: Size3, kernel: Array, strides: Size3, padding: list) -> tuple:
    """Returns the kernel without the taps that only see padding, and the padding it then needs.

    For clips of a single frame these are two of three temporal taps: two thirds of the work and of
    the weights that are read.
    """
    needed = []
    for axis, (size, stride, (before, after)) in enumerate(
        zip(sizes, strides, padding, strict=True)
    ):
        taps = kernel.shape[axis]
        outputs = (size + before + after - taps) // stride + 1
        starts = [stride * i - before for i in range(outputs)]
        busy = [k for k in range(taps) if any(0 <= start + k < size for start in starts)]
        if not busy:  # an empty input
            return kernel, padding
        kernel = lax.slice_in_dim(kernel, busy[0], busy[-1] + 1, axis=axis)
        end = starts[-1] + busy[-1] + 1
        needed.append((before - busy[0], end - size))
    return kernel, needed


def _pad(x: Array, padding: list) -> Array:
    """Pads time, height and width with zeros; negative numbers crop."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0)])


def _two_frames(x: Array, kernel: Array, strides: Size3, padding: list) -> Array:
    """Convolves clips of two frames with three temporal taps, both frames side by side in channels.

    Two of the six products of a tap and a frame involve only padding and are skipped.
    """
    batch, _, height, width, channels = x.shape
    features = kernel.shape[-1]
    both = jnp.moveaxis(x, 1, 3).reshape(batch, 1, height, width, 2 * channels)
    # `[frame, kh, kw, c, output frame, f]`
    blocks = jnp.stack([kernel[1:], kernel[:2]], axis=-2)
    blocks = _stack_taps(blocks.reshape(*blocks.shape[:4], 2 * features))
    y = _one_product(_pad(both, [(0, 0), *padding[1:]]), blocks[None], strides)
    return jnp.moveaxis(y.reshape(batch, *y.shape[2:4], 2, features), 3, 1)


def _one_product(x: Array, kernel: Array, strides: Size3) -> Array:
    """Convolves the padded `x` as one matrix product of its strided views, one view per tap."""
    sides = [
        (side - size) // stride + 1
        for side, size, stride in zip(x.shape[1:4], kernel.shape[:3], strides, strict=True)
    ]
    views = []
    for tap in np.ndindex(kernel.shape[:3]):
        last = [t + (side - 1) * s + 1 for t, side, s in zip(tap, sides, strides, strict=True)]
        views.append(lax.slice(x, (0, *tap, 0), (x.shape[0], *last, x.shape[-1]), (1, *strides, 1)))
    patches = jnp.concatenate(views, -1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def _fold(windows: list[Array]) -> Array:
    """Folds k taps `[b, t, h, w, c]` into channels and time into the batch: `[bt, h, w, kc]`."""
    stacked = jnp.concatenate(windows, -1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _stack_taps(kernel: Array) -> Array:
    """Reshapes `[kt, kh, kw, c, f]` to `[kh, kw, kt * c, f]`, in the channel order of `_fold`."""
    taps, height, width, channels, features = kernel.shape
    return jnp.moveaxis(kernel, 0, 2).reshape(height, width, taps * channels, features)


def convolve(layer: nn.Module, x: Array, convolution: Callable[..., Array]) -> Array:
    """Applies `conv3d` or `conv2d` with the kernel, the bias and the options of a layer."""
    shape = (*layer.kernel_size, x.shape[-1], layer.features)
    kernel = layer.param("kernel", layer.kernel_init, shape, jnp.float32)
    y = convolution(
        x.astype(layer.dtype),
        kernel.astype(layer.dtype),
        strides=layer.strides,
        implementation=layer.implementation,
    )
    return add_bias(layer, y) if layer.use_bias else y


def add_bias(layer: nn.Module, y: Array) -> Array:
    """Adds a bias per channel, a parameter of the layer that starts at zero."""
    bias = layer.param("bias", nn.initializers.zeros, (layer.features,), jnp.float32)
    return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


class Conv3D(nn.Module):
    """3D convolution layer, padded to keep the size at stride 1; see `conv3d`."""

    features: int
    kernel_size: Size3 = (3, 3, 3)
    strides: Size3 = (1, 1, 1)
    use_bias: bool = False
    dtype: Any = jnp.float32
    implementation: Implementation = "auto"
    kernel_init: Initializer = he_normal

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 f"]:
        return convolve(self, x, conv3d)


class ConvTranspose3D(nn.Module):
    """Transposed 3D convolution without bias that doubles the size; see `conv_transpose3d`."""

    features: int
    upsample_time: bool = True
    dtype: Any = jnp.float32
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 f"]:
        shape = (4 if self.upsample_time else 3, 4, 4, x.shape[-1], self.features)
        # Each output sees every second tap along a doubled axis; only these count in He's fan-in.
        seen = 8 if self.upsample_time else 4
        initializer = nn.initializers.variance_scaling(2.0 * seen, "fan_in", "truncated_normal")
        kernel = self.param("kernel", initializer, shape, jnp.float32)
        return conv_transpose3d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            upsample_time=self.upsample_time,
            implementation=self.implementation,
        )
