"""How unsmooth flow is. Flow is (x, y) = (right, down), in pixels of its own map."""

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
    """Sum over both components and both directions of the mean penalty (Hidden Two-Stream Eq. 2).

    The means are over the pixels that have a right, or a lower, neighbour.

    Args:
        flow: `[..., H, W, 2]`, in pixels. Any leading axes.
        alpha: exponent of the Charbonnier penalty.
        epsilon: of the penalty, in pixels.
        mask: `[..., H, W]` bool; a difference counts where both its pixels are True.

    Returns:
        A scalar, float32 or better. A direction with one pixel only, or none that counts, gives 0.

    Raises:
        ValueError: shapes that do not fit, or `alpha` or `epsilon` not positive.
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
    """Absolute differences of flow, weighted down where the image has an edge (UF-TSN Eq. 8, 9).

    `sum over d in (x, y) of mean(sum_c |d flow| * exp(-edge_weight * sum_c |d image|))`, the means
    over the pixels that have a right, or a lower, neighbour.

    Args:
        flow: `[..., H, W, 2]`. Any leading axes. Its unit is the unit of the loss: `uf_tsn_loss`
            divides by the smaller side of the map first.
        image: `[..., H, W, C]` in [0, 1].
        edge_weight: 0 or more; 1 in the paper.
        mask: `[..., H, W]` bool; a difference counts where both its pixels are True.

    Returns:
        A scalar, float32 or better. A direction with one pixel only, or none that counts, gives 0.

    Raises:
        ValueError: shapes that do not fit, or a negative `edge_weight`.
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
    """Next minus this along one axis of `[..., H, W, C]`, and where both are valid."""
    # Clipped, because an infinite difference times an edge weight of 0 is NaN.
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
