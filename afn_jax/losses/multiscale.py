"""Endpoint error at several resolutions (FlowNet; ActionFlowNet section 3.3, Eq. 3)."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.ops import resize_flow, resize_mask
from afn_jax.ops.resize import resize_linear
from afn_jax.types import Array


def multiscale_endpoint_error(
    flows: Sequence[Float[Array, "*batch _ _ 2"]],
    target: Float[Array, "*batch h w 2"],
    *,
    weights: Sequence[float],
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Computes the weighted sum over scales of the mean endpoint error.

    It departs from the letter of Eq. 3 in two ways. The errors of a scale are averaged instead of
    summed, so that the weights and the lambda of the multitask loss (Eq. 4) have the same effect at
    every resolution. The values of the target are rescaled as it is resized, so that errors are in
    pixels of each map, where FlowNet's training code keeps full-size pixels. FlowNet's weight for a
    map n times smaller than the finest must therefore be divided by n: by n**2 for its fewer
    pixels, times n for its smaller errors (`SCALE_WEIGHTS` in `afn_jax.losses.actionflownet`).

    Args:
        flows: finest first, each `[..., h, w, 2]` in pixels of its own map.
        target: `[..., H, W, 2]`, in pixels of its own map.
        weights: one per scale.
        mask: `[..., H, W]` bool, True where the target is known; None = everywhere. A coarse pixel
            counts only if all pixels it covers are known, and is interpolated from known flow only.
            Unknown targets, including NaN, do not affect the loss.

    Returns:
        A scalar, in pixels of each map; float32 or higher precision.

    Raises:
        ValueError: if there are no flows, the number of weights differs from that of the flows, or
            the leading axes or the mask do not match.
    """
    if not flows or len(flows) != len(weights):
        raise ValueError(
            f"flows has {len(flows)} scales and weights {len(weights)} values; pass one or more "
            "scales and one weight per scale"
        )
    for flow in flows:
        if flow.shape[:-3] != target.shape[:-3]:
            raise ValueError(
                f"flows has a map of shape {flow.shape} and target {target.shape}; they must have "
                "the same leading axes"
            )
    if mask is not None and mask.shape != target.shape[:-1]:
        raise ValueError(
            f"mask has shape {mask.shape} and target {target.shape}; the mask must be "
            f"{target.shape[:-1]}"
        )
    target = jnp.asarray(target, jnp.promote_types(target.dtype, jnp.float32))
    if mask is not None:
        target = jnp.where(mask[..., None], target, 0)
    total = jnp.zeros((), target.dtype)
    for flow, weight in zip(flows, weights, strict=True):
        size = flow.shape[-3:-1]
        small_target, small_mask = resize_flow(target, size), None
        if mask is not None:
            small_mask = resize_mask(mask, size)
            # Interpolation mixes the zeros of unknown flow into known neighbors: undo their share.
            known = resize_linear(mask.astype(target.dtype), size, axes=(-2, -1))
            small_target = small_target / jnp.where(small_mask, known, 1)[..., None]
        error = endpoint_error(flow, small_target)
        total = total + weight * masked_mean(error, small_mask)
    return total
