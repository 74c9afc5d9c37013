"""Resizing flow maps, whose values are lengths, and the masks that go with them.

Pixel centres are half-pixel centres: column `i` of a map of width `w` covers `[i, i + 1]` of `w`,
so corners stay on corners and nothing shifts.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from afn_jax.types import Array


def resize_flow(
    flow: Float[Array, "*batch h w 2"], size: tuple[int, int]
) -> Float[Array, "*batch new_h new_w 2"]:
    """Resize a flow map bilinearly and scale its values to pixels of the new map.

    The weights are those of `jax.image.resize("bilinear")`: half-pixel centres, and a wider
    triangle when shrinking, so that no source pixel is skipped.

    Args:
        flow: `[..., H, W, 2]`, (x, y), in pixels of its own size. Any leading axes.
        size: (new_height, new_width).

    Returns:
        `[..., new_height, new_width, 2]`, x times new_width / W and y times new_height / H, in
        `flow`'s dtype. Inside it computes in float32 or better.

    Raises:
        ValueError: if `flow` has no two components or a size is not positive.
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
    """Resize a mask of valid pixels so that True still means wholly valid.

    A new pixel is True only if every source pixel under it is True. Under it are the source pixels
    that its area touches and, along an axis that grows, the two that bilinear interpolation mixes.
    So shrinking by a whole factor is the minimum over each block, shrinking by any other factor
    also asks for the pixels that the new one touches in part, and the same size changes nothing.
    The triangle of `resize_flow` reaches half a new pixel further when it shrinks: keep invalid
    flow out of it, as `multiscale_endpoint_error` does.

    Args:
        mask: `[..., H, W]` bool, True = valid. Any leading axes.
        size: (new_height, new_width).

    Returns:
        `[..., new_height, new_width]` bool.

    Raises:
        ValueError: if `mask` is not a map of bool or a size is not positive.
    """
    if mask.ndim < 2 or mask.dtype != jnp.bool_:
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}; it must be [..., H, W] of bool, "
            "True = valid: compare first, as in mask > 0"
        )
    height, width = mask.shape[-2:]
    _check_sizes((height, width), size)
    rows = jnp.asarray(_support(height, size[0]), jnp.float32)
    columns = jnp.asarray(_support(width, size[1]), jnp.float32)
    num_invalid = jnp.einsum("nh,...hw,mw->...nm", rows, (~mask).astype(jnp.float32), columns)
    return num_invalid == 0


def _support(size: int, new_size: int) -> np.ndarray:
    """`[new_size, size]` bool: which source pixels lie under each new pixel along one axis.

    Centres closer than half the sum of both widths touch, and bilinear interpolation reaches one
    source pixel; all is multiplied by `2 * new_size` to stay in whole numbers.
    """
    new_centers = (2 * np.arange(new_size)[:, None] + 1) * size
    centers = (2 * np.arange(size)[None, :] + 1) * new_size
    return np.abs(new_centers - centers) < max(2 * new_size, size + new_size)


def _check_sizes(old_size: tuple[int, int], size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is {size}; pass (new_height, new_width), both 1 or more")
    if min(old_size) < 1:
        raise ValueError(f"the map to resize is {old_size}; height and width must be 1 or more")
