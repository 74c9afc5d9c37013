"""Robust penalties shared by photometric and smoothness losses."""

import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.types import Array


def charbonnier(
    x: Float[Array, "*shape"], *, alpha: float = 0.45, epsilon: float = 1e-3
) -> Float[Array, "*shape"]:
    """Computes the Charbonnier penalty `(x**2 + epsilon**2)**alpha` (Hidden Two-Stream, Eq. 1).

    Args:
        x: differences, any shape and unit.
        alpha: exponent, above 0. 0.5 is a smooth absolute value; smaller values reduce the
            influence of outliers.
        epsilon: above 0, in the unit of `x`; keeps the gradient finite at 0.

    Returns:
        Same shape as `x`; float32 or higher precision.

    Raises:
        ValueError: if `alpha` or `epsilon` is not positive.
    """
    if not alpha > 0 or not epsilon > 0:
        raise ValueError(f"alpha is {alpha} and epsilon {epsilon}; both must be above 0")
    x = jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))
    # Beyond about 1e19 the square of a float32 is infinite. Values beyond 1e18 get the penalty of
    # 1e18 and no gradient.
    x = jnp.clip(x, -1e18, 1e18)
    # The square of a much smaller epsilon would underflow.
    return (jnp.square(x) + max(epsilon**2, 1e-36)) ** alpha


def absolute(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Computes `|x|` with gradient 0 at 0, where that of `jnp.abs` is 1."""
    return x * jnp.sign(x)
