"""Argument checks shared by several operators."""

import jax.numpy as jnp

from afn_jax.types import Array


def check_float(**arrays: Array) -> None:
    """Raises ValueError unless all arrays are float: integers wrap around and have no gradient."""
    for name, array in arrays.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(
                f"{name} has dtype {array.dtype}; it must be float: convert an image with "
                f"{name} / 255.0, anything else with {name}.astype(jnp.float32)"
            )
