"""Endpoint error at several resolutions (FlowNet; ActionFlowNet section 3.3, Eq. 3)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.ops import resize_flow, resize_mask
from afn_jax.types import Array


def multiscale_endpoint_error(
    flows: Sequence[Float[Array, "*batch _ _ 2"]],
    target: Float[Array, "*batch h w 2"],
    *,
    weights: Sequence[float],
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Weighted sum over scales of the mean endpoint error.

    Two departures from the letter of Eq. 3. Each scale takes the mean over its pixels and not the
    sum, so that a weight, and the lambda of the multitask loss (Eq. 4), means the same at every
    size. And the target is resized with its values, so that each scale is in its own pixels, where
    FlowNet's training code leaves them in pixels of the full size. So FlowNet's weight of a map n
    times smaller than the finest is to be divided by n here: n**2 for its fewer pixels, times n for
    its smaller errors (`SCALE_WEIGHTS` in `afn_jax.losses.actionflownet`).

    Args:
        flows: finest first, each `[..., h, w, 2]` in pixels of its own map.
        target: `[..., H, W, 2]`, in its own pixels.
        weights: one a scale.
        mask: `[..., H, W]`, True where the target is known. A coarse pixel counts only if all that
            it covers is known, and is interpolated from known flow alone: what the target holds
            elsewhere, NaN too, has no part in the loss.

    Returns:
        A scalar, in pixels of the maps' own scales; float32 or better.

    Raises:
        ValueError: no flows, not one weight for each, or leading axes or a mask that do not fit.
    """
    if not flows or len(flows) != len(weights):
        raise ValueError(
            f"flows has {len(flows)} scales and weights {len(weights)} values; pass one weight for "
            "each of one or more scales"
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
            # The zeros that stand for unknown flow reach into known neighbours: undo their share.
            known = jax.image.resize(mask.astype(target.dtype), small_mask.shape, "bilinear")
            small_target = small_target / jnp.where(small_mask, known, 1)[..., None]
        error = endpoint_error(flow, small_target)
        total = total + weight * masked_mean(error, small_mask)
    return total
