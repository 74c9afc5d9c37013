"""Coordinates of pixel centers, in the (x, y) order of flow."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Float

from afn_jax.types import Array


def pixel_grid(height: int, width: int, *, dtype: DTypeLike = jnp.float32) -> Float[Array, "h w 2"]:
    """Returns the pixel centers: `pixel_grid(h, w)[row, column] == (column, row)`.

    The grid plus a flow map is the position of each pixel in the next frame.

    Args:
        height: number of rows.
        width: number of columns.
        dtype: of the result. bfloat16 and float16 cannot represent all columns of a large image.

    Returns:
        `[height, width, 2]`, (x, y) = (right, down), in pixels.

    Raises:
        ValueError: if a size is negative.
    """
    if height < 0 or width < 0:
        raise ValueError(
            f"height and width are {height} and {width}; pass sizes of 0 or more, in pixels"
        )
    columns = jnp.broadcast_to(jnp.arange(width, dtype=dtype)[None, :], (height, width))
    rows = jnp.broadcast_to(jnp.arange(height, dtype=dtype)[:, None], (height, width))
    return jnp.stack([columns, rows], axis=-1)
