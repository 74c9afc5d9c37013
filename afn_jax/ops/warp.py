"""Backward bilinear warping of images and feature maps by flow.

Flow is in pixels of its own map, (x, y) = (right, down); integer coordinates are pixel centres.
`warp(frame[t + 1], flow[t])` looks like `frame[t]`.
"""

import math
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.ops.grid import pixel_grid
from afn_jax.types import Array


def warp(
    image: Float[Array, "*batch h w c"],
    flow: Float[Array, "*batch h w 2"],
    *,
    padding: Literal["border", "zeros"] = "border",
) -> Float[Array, "*batch h w c"]:
    """Sample `image` at every pixel's own position plus its flow, bilinearly.

    The values and derivatives are those of `jax.scipy.ndimage.map_coordinates(order=1)`, mode
    "nearest" for border and "constant" for zeros. At an integer coordinate, zero flow among them,
    the interpolant has a kink; the derivative there is the one towards larger coordinates (right,
    down), never zero or halved by a clip.

    Args:
        image: `[..., H, W, C]`, float, any range. Any leading axes, the same as those of `flow`.
        flow: `[..., H, W, 2]`, in pixels.
        padding: what lies outside the image: "border" repeats the nearest edge pixel, "zeros"
            counts every corner outside as 0.

    Returns:
        `[..., H, W, C]`, of `image`'s dtype. Inside it computes in float32 or better.

    Raises:
        ValueError: if `padding` is unknown, `image` is not float, `flow` has no two components, or
            the two disagree on leading axes or size.
    """
    if padding not in ("border", "zeros"):
        raise ValueError(f'padding is {padding!r}; choose "border" or "zeros"')
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(
            f"image has dtype {image.dtype}; warp needs float: convert with image / 255.0"
        )
    _check_two_components(flow)
    if image.ndim < 3 or image.shape[:-1] != flow.shape[:-1]:
        raise ValueError(
            f"image has shape {image.shape} and flow {flow.shape}; they must be [..., H, W, C] and "
            "[..., H, W, 2] with the same leading axes and size: resize with resize_flow, or "
            "broadcast first"
        )
    *leading, height, width, channels = image.shape
    num_images = math.prod(leading)
    dtype = jnp.promote_types(jnp.promote_types(image.dtype, flow.dtype), jnp.float32)

    position = _sampling_points(jnp.asarray(flow, dtype)).reshape(num_images, height, width, 2)
    lower = jnp.floor(position)
    fraction = position - lower
    # Clipped as floats, because a flow of 1e10 (the mark of unknown flow) has no int32. -2 and the
    # size itself leave both corners outside, and the gradient does not pass through indices.
    lower_x = jnp.clip(lower[..., 0], -2, width).astype(jnp.int32)
    lower_y = jnp.clip(lower[..., 1], -2, height).astype(jnp.int32)

    first_pixel = jnp.arange(num_images, dtype=jnp.int32)[:, None, None] * (height * width)
    indices, weights = [], []
    for y, weight_y in ((lower_y, 1 - fraction[..., 1]), (lower_y + 1, fraction[..., 1])):
        for x, weight_x in ((lower_x, 1 - fraction[..., 0]), (lower_x + 1, fraction[..., 0])):
            weight = weight_y * weight_x
            if padding == "zeros":
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                weight = jnp.where(inside, weight, 0)
            weights.append(weight)
            nearest = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
            indices.append(first_pixel + nearest)

    # One gather of channel vectors for all four corners: its transpose is one scatter, and the
    # gradient of the flow is one sum over channels. Four gathers are slower to differentiate.
    pixels = jnp.asarray(image, dtype).reshape(num_images * height * width, channels)
    corners = pixels.at[jnp.stack(indices, axis=-1)].get(mode="promise_in_bounds")
    warped = jnp.sum(jnp.stack(weights, axis=-1)[..., None] * corners, axis=-2)
    return warped.reshape(image.shape).astype(image.dtype)


def warp_mask(flow: Float[Array, "*batch h w 2"]) -> Bool[Array, "*batch h w"]:
    """Where `warp` samples inside the image, the outermost pixel centres included.

    Args:
        flow: `[..., H, W, 2]`, in pixels. Any leading axes.

    Returns:
        `[..., H, W]`, True where pixel + flow lies in `[0, W - 1] x [0, H - 1]`; False for NaN.

    Raises:
        ValueError: if `flow` has no two components.
    """
    _check_two_components(flow)
    height, width = flow.shape[-3:-1]
    dtype = jnp.promote_types(flow.dtype, jnp.float32)
    x, y = jnp.moveaxis(_sampling_points(jnp.asarray(flow, dtype)), -1, 0)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _sampling_points(flow: Float[Array, "*batch h w 2"]) -> Float[Array, "*batch h w 2"]:
    """The place `(x, y)` in the other frame that each pixel's flow points to."""
    grid = pixel_grid(*flow.shape[-3:-1], dtype=flow.dtype)
    return flow + jnp.broadcast_to(grid, flow.shape)


def _check_two_components(flow: Array) -> None:
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape}; it must be [..., H, W, 2] with the last axis "
            "(x, y) = (right, down)"
        )
