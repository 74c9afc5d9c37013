"""Bilinear resizing of maps, flow and validity masks, with half-pixel centers.

Column `i` of a map of width `w` covers `[i, i + 1]` of `[0, w]`, so the corners of the old and the
new map coincide and nothing shifts.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from afn_jax.types import Array

# Pixels are added up this many at a time. More of them in one program compile slowly.
_GROUP = 8


def resize_linear(x: Array, size: Sequence[int], axes: Sequence[int] = (-3, -2)) -> Array:
    """Resizes axes of an array by linear interpolation.

    The weights are those of `jax.image.resize("bilinear")`: half-pixel centers, and a wider
    triangle when shrinking, so that every source pixel contributes. That function multiplies by a
    dense matrix per axis, most of it zeros. Here, each new pixel adds up the source pixels that it
    depends on, which is exact on every platform and faster.

    Args:
        x: float array.
        size: new size of each of `axes`, 1 or more.
        axes: the axes to resize; height and width of `[..., H, W, C]` by default.

    Returns:
        The resized array with the dtype of `x`. Computed in float32 or higher precision.
    """
    resized = jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))
    axes = [axis % x.ndim for axis in axes]
    changes = [(x.shape[axis], new, axis) for axis, new in zip(axes, size, strict=True)]
    # The axis that shrinks most comes first: it leaves the least work for the others. Between equal
    # factors, more of the work (of the gradient, when enlarging) is on the axis with longer rows.
    for old, new, axis in sorted(changes, key=_order):
        if old != new:
            resized = _resize_axis(resized, old, new, axis)
    return resized.astype(x.dtype)


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
    height, width = flow.shape[-3:-1]
    _check_sizes((height, width), size)
    new_height, new_width = size
    dtype = jnp.promote_types(flow.dtype, jnp.float32)
    scale = jnp.asarray([new_width / width, new_height / height], dtype)
    resized = jnp.asarray(flow, dtype)
    enlarge = new_height * new_width > height * width
    if enlarge:  # the values of the smaller map are scaled
        resized = resized * jnp.broadcast_to(scale, resized.shape)
    resized = resize_linear(resized, size)
    if not enlarge:
        resized = resized * jnp.broadcast_to(scale, resized.shape)
    return resized.astype(flow.dtype)


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
    _check_sizes(mask.shape[-2:], size)
    num_invalid = (~jnp.asarray(mask)).astype(jnp.float32)
    for axis, new in zip((mask.ndim - 2, mask.ndim - 1), size, strict=True):
        if mask.shape[axis] != new:
            num_invalid = _gather(num_invalid, _mask_taps(mask.shape[axis], new), axis)
    return num_invalid == 0


class _Taps(NamedTuple):
    """For each of n pixels, which k pixels of the other map it depends on, and their weights.

    index: `[n, k]`, int32.
    weight: `[n, k]`, float64. Pixels that depend on fewer than k have zeros.
    """

    index: np.ndarray
    weight: np.ndarray


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _resize_axis(x: Array, old: int, new: int, axis: int) -> Array:
    return _gather(x, _taps(old, new), axis)


@_resize_axis.defjvp
def _resize_axis_jvp(old, new, axis, primals, tangents):
    # The same linear function as a scatter, because reverse mode turns it into a gather.
    tangent = _scatter(tangents[0], _taps(old, new, backward=True), new, axis)
    return _resize_axis(primals[0], old, new, axis), tangent


def _gather(x: Array, taps: _Taps, axis: int) -> Array:
    """Adds up the pixels that each new pixel depends on."""

    def add(out, index, weight):
        pixels = x.at[_along(axis, index)].get(mode="promise_in_bounds")
        return out + pixels * weight

    return _sum_over_taps(add, x, taps, len(taps.index), axis)


def _scatter(x: Array, taps: _Taps, new: int, axis: int) -> Array:
    """Adds each old pixel to the new pixels that depend on it."""

    def add(out, index, weight):
        return out.at[_along(axis, index)].add(x * weight, mode="promise_in_bounds")

    return _sum_over_taps(add, x, taps, new, axis)


def _sum_over_taps(add, x: Array, taps: _Taps, new: int, axis: int) -> Array:
    """Calls `out = add(out, index[:, i], weight[:, i])` for every i, starting with zeros."""
    num_pixels, num_taps = taps.index.shape
    along_axis = [num_pixels if i == axis else 1 for i in range(x.ndim)]

    def add_group(out, group):
        for index, weight in zip(*group, strict=True):
            out = add(out, index, weight.reshape(along_axis))
        return out, None

    out = jnp.zeros((*x.shape[:axis], new, *x.shape[axis + 1 :]), x.dtype)
    groups = _Taps(taps.index.T, taps.weight.T.astype(x.dtype))
    if num_taps <= 2 * _GROUP:
        return add_group(out, groups)[0]
    groups = jax.tree.map(lambda a: jnp.asarray(a.reshape(-1, _GROUP, num_pixels)), groups)
    return jax.lax.scan(add_group, out, groups)[0]


def _along(axis: int, index: Array) -> tuple:
    return (*(slice(None) for _ in range(axis)), index)


@functools.lru_cache(maxsize=256)
def _taps(old: int, new: int, *, backward: bool = False) -> _Taps:
    """Returns the pixels of the old map for each new pixel, or the other way round."""
    weights = np.maximum(0, 2 * max(old, new) - _distances(old, new))
    weights = weights / weights.sum(1, keepdims=True)
    return _without_zeros(weights.T if backward else weights)


@functools.lru_cache(maxsize=256)
def _mask_taps(old: int, new: int) -> _Taps:
    """Returns the source pixels of each new pixel of a mask, all with weight 1.

    Two pixels touch if their centers are closer than half the sum of their widths, and bilinear
    interpolation reaches one source pixel.
    """
    return _without_zeros((_distances(old, new) < max(2 * new, old + new)).astype(float))


def _distances(old: int, new: int) -> np.ndarray:
    """Returns `[new, old]`: distances of centers, times `2 * new` source pixels to be integers."""
    centers, new_centers = 2 * np.arange(old) + 1, 2 * np.arange(new) + 1
    return np.abs(new_centers[:, None] * old - centers * new)


def _without_zeros(weights: np.ndarray) -> _Taps:
    """Returns the nonzero columns of each row of a matrix; they are consecutive."""
    nonzero = weights != 0
    first, count = nonzero.argmax(1)[:, None], nonzero.sum(1)[:, None]
    num_taps = count.max()
    if num_taps > 2 * _GROUP:
        num_taps += -num_taps % _GROUP
    tap = np.arange(num_taps)
    # Surplus taps repeat the last one with weight 0, so that they read no other pixel.
    index = first + np.minimum(tap, count - 1)
    weight = np.where(tap < count, np.take_along_axis(weights, index, 1), 0.0)
    return _Taps(index.astype(np.int32), weight)


def _order(change: tuple[int, int, int]) -> tuple[float, int]:
    old, new, axis = change
    return new / old, axis if new < old else -axis


def _check_sizes(old_size: tuple[int, int], size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is {size}; pass (new_height, new_width), both 1 or more")
    if min(old_size) < 1:
        raise ValueError(f"the map to resize is {old_size}; height and width must be 1 or more")
