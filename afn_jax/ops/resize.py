"""Resizing of flow maps and validity masks, with half-pixel centers.

Column `i` of a map of width `w` covers `[i, i + 1]` of `[0, w]`, so the corners of the old and the
new map coincide and nothing shifts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from afn_jax.types import Array


def resize_flow(
    flow: Float[Array, "*batch h w 2"], size: tuple[int, int]
) -> Float[Array, "*batch new_h new_w 2"]:
    """Resizes a flow map bilinearly and scales its values to pixels of the new map.

    The weights are those of `jax.image.resize("bilinear")`: half-pixel centers, and a wider
    triangle when shrinking, so that every source pixel contributes.

    Args:
        flow: `[..., H, W, 2]`, (x, y), in pixels of its own map. Any leading axes.
        size: (new_height, new_width).

    Returns:
        `[..., new_height, new_width, 2]` with the dtype of `flow`: x is scaled by new_width / W and
        y by new_height / H. Computed in float32 or higher precision.

    Raises:
        ValueError: if the last axis of `flow` is not 2, or a size is not positive.
    """
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape}; it must be [..., H, W, 2] with the last axis "
            "(x, y) = (right, down)"
        )
    *leading, height, width, _ = flow.shape
    _check_sizes((height, width), size)
    new_height, new_width = size
    dtype = jnp.promote_types(flow.dtype, jnp.float32)
    resized = jax.image.resize(
        jnp.asarray(flow, dtype), (*leading, new_height, new_width, 2), method="bilinear"
    )
    scale = jnp.asarray([new_width / width, new_height / height], dtype)
    return (resized * jnp.broadcast_to(scale, resized.shape)).astype(flow.dtype)


def resize_mask(
    mask: Bool[Array, "*batch h w"], size: tuple[int, int]
) -> Bool[Array, "*batch new_h new_w"]:
    """Resizes a validity mask so that True still means entirely valid.

    A new pixel is True only if all its source pixels are True: those that its area touches and,
    along an axis that grows, the two that bilinear interpolation combines. Shrinking by an integer
    factor is thus the minimum over each block, shrinking by another factor also requires partly
    covered pixels to be valid, and the same size leaves the mask unchanged. When shrinking, the
    interpolation kernel of `resize_flow` reaches half a new pixel further: keep invalid flow out of
    it, as `multiscale_endpoint_error` does.

    Args:
        mask: `[..., H, W]` bool, True = valid. Any leading axes.
        size: (new_height, new_width).

    Returns:
        `[..., new_height, new_width]` bool.

    Raises:
        ValueError: if `mask` is not a bool map, or a size is not positive.
    """
    if mask.ndim < 2 or mask.dtype != jnp.bool_:
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}; it must be [..., H, W] of bool, "
            "True = valid: compare first, e.g. mask > 0"
        )
    height, width = mask.shape[-2:]
    _check_sizes((height, width), size)
    rows = jnp.asarray(_support(height, size[0]), jnp.float32)
    columns = jnp.asarray(_support(width, size[1]), jnp.float32)
    num_invalid = jnp.einsum("nh,...hw,mw->...nm", rows, (~mask).astype(jnp.float32), columns)
    return num_invalid == 0


def _support(size: int, new_size: int) -> np.ndarray:
    """Returns `[new_size, size]` bool: the source pixels of each new pixel along one axis.

    Two pixels touch if their centers are closer than half the sum of their widths, and bilinear
    interpolation reaches one source pixel. Everything is multiplied by `2 * new_size` to remain in
    integers.
    """
    new_centers = (2 * np.arange(new_size)[:, None] + 1) * size
    centers = (2 * np.arange(size)[None, :] + 1) * new_size
    return np.abs(new_centers - centers) < max(2 * new_size, size + new_size)


def _check_sizes(old_size: tuple[int, int], size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is {size}; pass (new_height, new_width), both 1 or more")
    if min(old_size) < 1:
        raise ValueError(f"the map to resize is {old_size}; height and width must be 1 or more")
