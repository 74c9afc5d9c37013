"""What several operators demand of their arguments."""

import jax.numpy as jnp

from afn_jax.types import Array


def check_float(**arrays: Array) -> None:
    """Raises ValueError unless all arrays are float: integers have no gradient and wrap around."""
    for name, array in arrays.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(
                f"{name} has dtype {array.dtype}; it must be float: convert an image with "
                f"{name} / 255.0, anything else with {name}.astype(jnp.float32)"
            )
