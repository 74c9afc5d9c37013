"""Max pooling of any window that rounds sizes up, in any number of dimensions."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def max_pool_same(
    x: Float[Array, "b *space c"], window: tuple[int, ...], strides: tuple[int, ...]
) -> Float[Array, "b *space2 c"]:
    """Max pooling padded as TensorFlow's "SAME": size n at stride s becomes n / s, rounded up.

    At even sizes it is Caffe's pooling too, which rounds up. Written as maxima of strided slices,
    axis after axis: on a CPU its gradient is several times faster than that of a window reduction.

    Args:
        x: images or clips, channels last.
        window, strides: along each axis between batch and channels.
    """
    for axis, (size, stride) in enumerate(zip(window, strides, strict=True), start=1):
        if size == stride == 1:
            continue
        length = -(-x.shape[axis] // stride)
        missing = max((length - 1) * stride + size - x.shape[axis], 0)
        padding = [(0, 0)] * x.ndim
        padding[axis] = (missing // 2, missing - missing // 2)
        padded = jnp.pad(x, padding, constant_values=-jnp.inf)
        end = (length - 1) * stride + 1
        x = lax.slice_in_dim(padded, 0, end, stride, axis)
        for tap in range(1, size):
            x = jnp.maximum(x, lax.slice_in_dim(padded, tap, tap + end, stride, axis))
    return x
