"""Median filter, computed by a network of minima and maxima.

Minima and maxima of whole shifted maps run at memory bandwidth on every platform and are
differentiable; sorting 25 values per pixel is much slower.
"""

from functools import cache

import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.types import Array


def median_filter(x: Float[Array, "*batch h w"], size: int) -> Float[Array, "*batch h w"]:
    """Computes the median over a square window, with border pixels repeated outside the map.

    Args:
        x: `[..., H, W]`. Any leading axes.
        size: side of the window in pixels, odd; 1 returns `x` unchanged.

    Returns:
        Same shape and dtype as `x`.

    Raises:
        ValueError: if `size` is even or below 1, or `x` has fewer than two axes.
    """
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}; it must be [..., H, W]")
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size is {size}; pass an odd number of pixels, e.g. 3 or 5")
    if size == 1 or x.size == 0:
        return x
    dtype, (height, width) = x.dtype, x.shape[-2:]
    if jnp.issubdtype(dtype, jnp.floating):
        # The values stay the same, and the gradient is summed in float32.
        x = x.astype(jnp.promote_types(dtype, jnp.float32))
    reach = size // 2
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(reach, reach)] * 2, mode="edge")
    values = [
        padded[..., row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]
    for low, high in _median_network(size * size):
        smaller = jnp.minimum(values[low], values[high])
        values[high] = jnp.maximum(values[low], values[high])
        values[low] = smaller
    return values[size * size // 2].astype(dtype)


@cache
def _median_network(count: int) -> tuple[tuple[int, int], ...]:
    """Returns the compare-and-swap pairs that bring the median of `count` values to the middle.

    These are the pairs of Batcher's odd-even merge sort that affect the middle position.
    """
    pairs = []
    power = 1
    while power < count:
        power *= 2
    block = 1
    while block < power:
        step = block
        while step >= 1:
            for start in range(step % block, power - step, 2 * step):
                for i in range(step):
                    low, high = start + i, start + i + step
                    if low // (2 * block) == high // (2 * block) and high < count:
                        pairs.append((low, high))
            step //= 2
        block *= 2
    needed, kept = {count // 2}, []
    for low, high in reversed(pairs):
        if low in needed or high in needed:
            needed |= {low, high}
            kept.append((low, high))
    return tuple(reversed(kept))
