"""Smoothness penalties on optical flow."""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import masked_mean
from afn_jax.losses.robust import absolute, charbonnier
from afn_jax.types import Array


def smoothness_loss(
    flow: Float[Array, "*batch h w 2"],
    *,
    alpha: float = 0.3,
    epsilon: float = 1e-3,
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Computes the first-order smoothness penalty of a flow map (Hidden Two-Stream Eq. 2).

    It is the sum over both flow components and both directions (right, down) of the mean
    Charbonnier penalty of forward differences.

    Args:
        flow: `[..., H, W, 2]`, in pixels. Any leading axes.
        alpha: exponent of the penalty.
        epsilon: epsilon of the penalty, in pixels.
        mask: `[..., H, W]` bool; a difference counts if both of its pixels are True. None = all.

    Returns:
        A scalar; float32 or higher precision. A direction without any difference that counts
        contributes 0.

    Raises:
        ValueError: if the shapes do not match, or `alpha` or `epsilon` is not positive.
    """
    _check_flow(flow, mask)
    total = jnp.zeros((), jnp.promote_types(flow.dtype, jnp.float32))
    for axis in (-2, -3):
        difference, valid = _differences(flow, mask, axis)
        penalty = charbonnier(difference, alpha=alpha, epsilon=epsilon)
        total += masked_mean(penalty[..., 0], valid) + masked_mean(penalty[..., 1], valid)
    return total


def edge_aware_smoothness_loss(
    flow: Float[Array, "*batch h w 2"],
    image: Float[Array, "*batch h w c"],
    *,
    edge_weight: float = 1.0,
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Computes a smoothness penalty that is reduced at image edges (UF-TSN Eq. 8 and 9).

    It is `sum over d in (x, y) of mean(sum_c |d flow| * exp(-edge_weight * sum_c |d image|))` with
    forward differences d.

    Args:
        flow: `[..., H, W, 2]`, in the unit of the loss (`uf_tsn_loss` divides it by the smaller
            side of the map first). Any leading axes.
        image: `[..., H, W, C]` in [0, 1].
        edge_weight: 0 or more; 1 in the paper.
        mask: `[..., H, W]` bool; a difference counts if both of its pixels are True. None = all.

    Returns:
        A scalar in the unit of `flow`; float32 or higher precision. A direction without any
        difference that counts contributes 0.

    Raises:
        ValueError: if the shapes do not match, or `edge_weight` is negative.
    """
    _check_flow(flow, mask)
    if image.ndim < 3 or image.shape[:-1] != flow.shape[:-1]:
        raise ValueError(
            f"image has shape {image.shape} and flow {flow.shape}; they must have the same "
            "[..., H, W]"
        )
    if not edge_weight >= 0:
        raise ValueError(f"edge_weight is {edge_weight}; pass 0 or more")
    total = jnp.zeros(
        (), jnp.promote_types(jnp.promote_types(flow.dtype, image.dtype), jnp.float32)
    )
    for axis in (-2, -3):
        flow_difference, valid = _differences(flow, mask, axis)
        image_difference, _ = _differences(image, None, axis)
        edge = jnp.exp(-edge_weight * jnp.sum(absolute(image_difference), axis=-1))
        total += masked_mean(jnp.sum(absolute(flow_difference), axis=-1) * edge, valid)
    return total


def _differences(x: Array, mask: Array | None, axis: int) -> tuple[Array, Array | None]:
    """Returns forward differences along one axis of `[..., H, W, C]` and where they are valid."""
    # Clipped, because an infinite difference times a zero weight is NaN.
    x = jnp.clip(jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32)), -1e18, 1e18)
    columns = (slice(1, None), slice(None, -1))
    rows = (slice(None), slice(None))
    (next_y, this_y), (next_x, this_x) = (rows, columns) if axis == -2 else (columns, rows)
    difference = x[..., next_y, next_x, :] - x[..., this_y, this_x, :]
    if mask is None:
        return difference, None
    valid = mask[..., next_y, next_x] & mask[..., this_y, this_x]
    return jnp.where(valid[..., None], difference, 0), valid


def _check_flow(flow: Array, mask: Array | None) -> None:
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape}; it must be [..., H, W, 2] with the last axis "
            "(x, y) = (right, down)"
        )
    if mask is not None and (mask.shape != flow.shape[:-1] or mask.dtype != jnp.bool_):
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}; it must be {flow.shape[:-1]} of "
            "bool, True = counts"
        )
