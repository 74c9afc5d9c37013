"""Backward bilinear warping of images and feature maps by flow.

Flow is in pixels of its own map, (x, y) = (right, down); integer coordinates are pixel centers.
`warp(frame[t + 1], flow[t])` looks like `frame[t]`.
"""

import functools
import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Bool, Float

from afn_jax.ops.backend import on_cpu
from afn_jax.ops.checks import check_float
from afn_jax.ops.derivative import differentiate_as
from afn_jax.types import Array

IMPLEMENTATIONS = ("gather", "map_coordinates")


def warp(
    image: Float[Array, "*batch h w c"],
    flow: Float[Array, "*batch h w 2"],
    *,
    padding: Literal["border", "zeros"] = "border",
    implementation: Literal["gather", "map_coordinates"] = "gather",
) -> Float[Array, "*batch h w c"]:
    """Warps an image backward: samples it bilinearly at each pixel's position plus its flow.

    Values and derivatives are those of `jax.scipy.ndimage.map_coordinates(order=1)` with mode
    "nearest" for "border" and "constant" for "zeros". At integer coordinates, including zero flow,
    the interpolant has a kink; the derivative there is the one toward larger coordinates (right,
    down), never zero or halved by a clip.

    Args:
        image: `[..., H, W, C]`, float, any range. Any leading axes.
        flow: `[..., H, W, 2]`, in pixels, with the same leading axes and size.
        padding: values outside the image: "border" repeats the nearest edge pixel, "zeros" takes
            every corner outside as 0.
        implementation: "map_coordinates" calls that function for each channel; "gather" computes
            the same with one index per pixel for all channels, faster on the CPU (see
            docs/benchmarks.md).

    Returns:
        `[..., H, W, C]`, with the dtype of `image`; computed in float32 or higher precision.

    Raises:
        ValueError: if `padding` or `implementation` is unknown, `image` is not float, the last axis
            of `flow` is not 2, or the two differ in leading axes or size.
    """
    if padding not in ("border", "zeros"):
        raise ValueError(f'padding is {padding!r}; choose "border" or "zeros"')
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f'implementation is {implementation!r}; choose "gather" or "map_coordinates"'
        )
    check_float(image=image)
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

    if implementation == "map_coordinates":
        warp_images = functools.partial(_by_map_coordinates, padding)
    else:
        four_gathers = functools.partial(_four_gathers, padding)
        one_gather = functools.partial(_one_gather, padding)
        warp_images = differentiate_as(four_gathers, one_gather, with_first_fixed=four_gathers)
    warped = warp_images(
        jnp.asarray(image, dtype).reshape(num_images, height, width, channels),
        jnp.asarray(flow, dtype).reshape(num_images, height, width, 2),
    )
    return warped.reshape(image.shape).astype(image.dtype)


def _by_map_coordinates(padding: str, images: Array, flow: Array) -> Array:
    """Samples each channel of each image separately."""
    height, width = flow.shape[1:3]
    x, y = _sampling_points(flow)
    # Farther outside nothing changes, but `map_coordinates` would overflow int32.
    x, y = jnp.clip(x, -2, width + 1), jnp.clip(y, -2, height + 1)
    mode = {"border": "nearest", "zeros": "constant"}[padding]

    def plane(image, y, x):
        return map_coordinates(image, [y, x], order=1, mode=mode)

    planes = jax.vmap(plane, in_axes=(-1, None, None), out_axes=-1)
    return jax.vmap(planes)(images, y, x)


def _four_gathers(padding: str, images: Array, flow: Array) -> Array:
    """Gathers the corners separately: XLA fuses all four into one kernel and stores no corner."""
    pixels = images.reshape(-1, images.shape[-1])
    rows, columns = _neighbors(padding, flow)
    if on_cpu():  # which would recompute them per channel
        rows, columns = jax.lax.optimization_barrier((rows, columns))

    def along_row(row):
        return sum(
            pixels.at[row + column].get(mode="promise_in_bounds") * weight[..., None]
            for column, weight in columns
        )

    return sum(along_row(row) * weight[..., None] for row, weight in rows)


def _one_gather(padding: str, images: Array, flow: Array) -> Array:
    """Gathers all corners at once, so that its transpose is one scatter instead of four."""
    pixels = images.reshape(-1, images.shape[-1])
    corners = list(itertools.product(*_neighbors(padding, flow)))
    indices = jnp.stack([row + column for (row, _), (column, _) in corners], axis=-1)
    weights = jnp.stack([down * right for (_, down), (_, right) in corners], axis=-1)
    return jnp.sum(weights[..., None] * pixels.at[indices].get(mode="promise_in_bounds"), axis=-2)


def _neighbors(padding: str, flow: Array) -> list[list[tuple[Array, Array]]]:
    """Returns the two rows and the two columns around each sampling point.

    Each is a pair of index and weight. Row + column is an index into the pixels of all images,
    concatenated.
    """
    num_images, height, width = flow.shape[:3]
    x, y = _sampling_points(flow)
    around = []
    for position, size in ((y, height), (x, width)):
        lower = jnp.floor(position)
        fraction = position - lower
        # Clipped as floats, because a flow of 1e10 (the marker of unknown flow) overflows int32. -2
        # and the size keep both neighbors outside, and no gradient passes through indices.
        lower = jnp.clip(lower, -2, size).astype(jnp.int32)
        pair = []
        for index, weight in ((lower, 1 - fraction), (lower + 1, fraction)):
            if padding == "zeros":
                weight = jnp.where((index >= 0) & (index < size), weight, 0)
            pair.append((jnp.clip(index, 0, size - 1), weight))
        around.append(pair)
    rows, columns = around
    first = jnp.arange(num_images, dtype=jnp.int32).reshape(-1, 1, 1) * (height * width)
    return [[(first + row * width, weight) for row, weight in rows], columns]


def warp_mask(flow: Float[Array, "*batch h w 2"]) -> Bool[Array, "*batch h w"]:
    """Returns where `warp` samples inside the image, including the outermost pixel centers.

    Args:
        flow: `[..., H, W, 2]`, in pixels. Any leading axes.

    Returns:
        `[..., H, W]`, True where pixel + flow lies in `[0, W - 1] x [0, H - 1]`; False for NaN.

    Raises:
        ValueError: if the last axis of `flow` is not 2.
    """
    _check_two_components(flow)
    height, width = flow.shape[-3:-1]
    dtype = jnp.promote_types(flow.dtype, jnp.float32)
    x, y = _sampling_points(jnp.asarray(flow, dtype))
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _sampling_points(flow: Float[Array, "*batch h w 2"]) -> tuple[Array, Array]:
    """Returns the x and y coordinates in the other frame that each pixel's flow points to.

    They are separate arrays, because storing and reading one grid of both doubles the time of a
    warp.
    """
    height, width = flow.shape[-3:-1]
    ones = (1,) * (flow.ndim - 3)
    columns = jnp.arange(width, dtype=flow.dtype).reshape(*ones, 1, width)
    rows = jnp.arange(height, dtype=flow.dtype).reshape(*ones, height, 1)
    return flow[..., 0] + columns, flow[..., 1] + rows


def _check_two_components(flow: Array) -> None:
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape}; it must be [..., H, W, 2] with the last axis "
            "(x, y) = (right, down)"
        )
