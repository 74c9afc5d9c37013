"""The robust penalty that photometric and smoothness losses share."""

import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.types import Array


def charbonnier(
    x: Float[Array, "*shape"], *, alpha: float = 0.45, epsilon: float = 1e-3
) -> Float[Array, "*shape"]:
    """Generalised Charbonnier penalty `(x**2 + epsilon**2)**alpha` (Hidden Two-Stream section 3.1).

    Args:
        x: differences, any shape. What counts as large depends on their unit: `epsilon` has it too.
        alpha: above 0. 0.5 is a smooth absolute value; below it, outliers weigh less.
        epsilon: above 0, so that the gradient is finite at 0.

    Returns:
        The same shape; float32 or better.

    Raises:
        ValueError: `alpha` or `epsilon` is not positive.
    """
    if not alpha > 0 or not epsilon > 0:
        raise ValueError(f"alpha is {alpha} and epsilon {epsilon}; both must be above 0")
    x = jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))
    # Beyond 1e18 the square of a float32 is infinite. No picture or flow is that large; what is
    # gets the penalty of 1e18 and no gradient.
    x = jnp.clip(x, -1e18, 1e18)
    # The square of an epsilon below 1e-18 would vanish, and the gradient at 0 with it.
    return (jnp.square(x) + max(epsilon**2, 1e-36)) ** alpha


def absolute(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`|x|` with gradient 0 at 0, where that of `jnp.abs` is 1: what is at rest is not pushed."""
    return x * jnp.sign(x)
