"""Differences of neighboring pixels along one axis: the stencils of TV-L1.

Each is written as one slice and one pad, which XLA fuses into the loop over pixels.
"""

import jax.numpy as jnp
import numpy as np

from afn_jax.types import Array


def shift(x: Array, axis: int, step: int) -> Array:
    """Shifts `x` by `step` (+1 or -1) along `axis`, filling with zeros."""
    size = x.shape[axis]
    axis %= x.ndim
    if step > 0:
        kept, pad = _slice(x, axis, 0, size - 1), (1, 0)
    else:
        kept, pad = _slice(x, axis, 1, size), (0, 1)
    return jnp.pad(kept, [pad if a == axis else (0, 0) for a in range(x.ndim)])


def forward_difference(
    x: Array, axis: int, here: Array | float = -1.0, after: Array | float = 1.0
) -> Array:
    """Computes `x[i + 1] - x[i]`, and 0 at the last pixel (Neumann boundary).

    Args:
        x: map of any shape.
        axis: axis to differentiate along.
        here: weight of this pixel, a scalar or a map.
        after: weight of the next pixel, a scalar or a map.
    """
    axis %= x.ndim
    size = x.shape[axis]
    here, after = (_all_but_last(weight, axis - x.ndim) for weight in (here, after))
    difference = here * _slice(x, axis, 0, size - 1) + after * _slice(x, axis, 1, size)
    return jnp.pad(difference, [(0, 1) if a == axis else (0, 0) for a in range(x.ndim)])


def forward_difference_again(
    x: Array, axis: int, here: Array | float = -1.0, after: Array | float = 1.0
) -> Array:
    """Same as `forward_difference` in another formulation; see `Stencils.gradient_again`."""
    axis %= x.ndim
    size = x.shape[axis]
    but_last = np.arange(size) < size - 1  # a constant
    but_last = but_last.reshape([size if a == axis else 1 for a in range(x.ndim)]).astype(x.dtype)
    return but_last * (here * x + after * shift(x, axis, -1))


def backward_difference(p: Array, axis: int) -> Array:
    """Computes `p[i] - p[i - 1]`, with 0 before the first pixel.

    It is the negative adjoint of `forward_difference` where the last `p` is 0, as it is in the dual
    variable.
    """
    return p - shift(p, axis, 1)


def central_difference(x: Array, axis: int) -> Array:
    """Computes `(x[i + 1] - x[i - 1]) / 2`, with border pixels repeated outside."""
    axis %= x.ndim
    size = x.shape[axis]
    padded = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)], mode="edge")
    return 0.5 * (_slice(padded, axis, 2, size + 2) - _slice(padded, axis, 0, size))


def _all_but_last(weight: Array | float, axis: int) -> Array | float:
    """Drops the last line of a map of weights; returns a scalar weight unchanged."""
    if jnp.ndim(weight) < -axis:
        return weight
    return _slice(weight, axis % weight.ndim, 0, weight.shape[axis] - 1)


def _slice(x: Array, axis: int, start: int, stop: int) -> Array:
    return x[tuple(slice(start, stop) if a == axis else slice(None) for a in range(x.ndim))]
