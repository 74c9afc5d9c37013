"""Endpoint error at several resolutions (FlowNet; ActionFlowNet section 3.3, Eq. 3)."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.ops import resize_flow, resize_mask
from afn_jax.types import Array


def multiscale_endpoint_error(
    flows: Sequence[Float[Array, "*batch h w 2"]],
    target: Float[Array, "*batch h w 2"],
    *,
    weights: Sequence[float],
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Weighted sum over scales of the mean endpoint error.

    Eq. 3 with the mean over pixels instead of the paper's sum, so that a weight means the same at
    every size. The target is resized to each scale, its values with it.

    Args:
        flows: finest first, each `[..., h, w, 2]` in pixels of its own map.
        target: `[..., H, W, 2]`, in its own pixels.
        weights: one a scale; FlowNet trains its 1/4 to 1/64 scales with .005, .01, .02, .08, .32.
        mask: `[..., H, W]`, True where the target is known. A coarse pixel counts only if all that
            it covers is known; unknown values, NaN too, are taken as zero flow before resizing.

    Returns:
        A scalar, in pixels of the maps' own scales.

    Raises:
        ValueError: no flows, or not one weight for each.
    """
    if not flows or len(flows) != len(weights):
        raise ValueError(
            f"flows has {len(flows)} scales and weights {len(weights)} values; pass one weight for "
            "each of one or more scales"
        )
    if mask is not None:
        target = jnp.where(mask[..., None], target, 0)
    total = jnp.zeros((), jnp.promote_types(target.dtype, jnp.float32))
    for flow, weight in zip(flows, weights, strict=True):
        size = flow.shape[-3:-1]
        small_mask = None if mask is None else resize_mask(mask, size)
        error = endpoint_error(flow, resize_flow(target, size))
        total = total + weight * masked_mean(error, small_mask)
    return total
