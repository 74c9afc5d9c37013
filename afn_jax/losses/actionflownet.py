"""Losses of ActionFlowNet (section 3, Eq. 1-4): flow, and action with flow.

The paper sums endpoint errors over pixels and frames and does not report lambda. Here the errors
are averaged, so that lambda has the same effect at every resolution. For Eq. 2, the paper's lambda
is this one divided by the number of flow vectors per clip.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from afn_jax.losses.classification import cross_entropy
from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.losses.multiscale import multiscale_endpoint_error
from afn_jax.types import Array

# Alpha of Eq. 3 for the outputs at 1/4 to 1/32 of the input size. Guessed: the paper reports none.
# They follow FlowNetS, whose weights .005, .01, .02 and .08 apply to sums over pixels of errors in
# full-size pixels. Here errors are averaged and in pixels of their own map. Each map has a quarter
# of the pixels of the next finer one and half its errors, so the equivalent weights are .005, .005,
# .005 and .01. Multiplied by 400, so that an error of one full-size pixel in all maps costs 1 in
# total: 1/2, 1/4, 1/8 and 1/8.
SCALE_WEIGHTS = (2.0, 2.0, 2.0, 4.0)


def flow_loss(
    flow: Float[Array, "batch time h w 2"],
    target: Float[Array, "batch time h w 2"],
    *,
    mask: Bool[Array, "batch time h w"] | None = None,
) -> Float[Array, ""]:
    """Computes the mean endpoint error of all T flows, including the future flow (Eq. 1).

    Args:
        flow: `[batch, T, H, W, 2]`, in pixels; the last flow is the future one.
        target: same shape as `flow`.
        mask: `[batch, T, H, W]` bool, True where the target is known; None = everywhere.

    Returns:
        A scalar, in pixels; float32 or higher precision.

    Raises:
        ValueError: if the shapes do not match.
    """
    if mask is not None and mask.shape == flow.shape[:-1] == target.shape[:-1]:
        # Unknown targets may hold any value, including NaN.
        flow, target = (jnp.where(mask[..., None], x, 0) for x in (flow, target))
    return masked_mean(endpoint_error(flow, target), mask)


def multitask_loss(
    logits: Float[Array, "batch classes"],
    labels: Int[Array, " batch"],
    flow: Float[Array, "batch time h w 2"],
    target: Float[Array, "batch time h w 2"],
    *,
    flow_weight: float | Array = 1.0,
    mask: Bool[Array, "batch time h w"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Computes cross-entropy plus `flow_weight` times the mean endpoint error (Eq. 2).

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]`, 0-based class.
        flow: `[batch, T, H, W, 2]`, in pixels.
        target: same shape as `flow`.
        flow_weight: lambda. Guessed: the paper does not report it.
        mask: `[batch, T, H, W]` bool, True where the target is known; None = everywhere.

    Returns:
        The loss, and its unweighted terms "cross_entropy" and "epe" (in pixels). Scalars.

    Raises:
        ValueError: if the shapes do not match.
    """
    _check_batch(logits, flow)
    terms = {
        "cross_entropy": jnp.mean(cross_entropy(logits, labels)),
        "epe": flow_loss(flow, target, mask=mask),
    }
    return terms["cross_entropy"] + flow_weight * terms["epe"], terms


def two_frame_multitask_loss(
    logits: Float[Array, "batch classes"],
    labels: Int[Array, " batch"],
    flows: Sequence[Float[Array, "batch _ _ 2"]],
    target: Float[Array, "batch h w 2"],
    *,
    flow_weight: float | Array = 1.0,
    scale_weights: Sequence[float] = SCALE_WEIGHTS,
    mask: Bool[Array, "batch h w"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Computes cross-entropy plus `flow_weight` times the multiscale endpoint error (Eq. 3, 4).

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]`, 0-based class.
        flows: finest first, each `[batch, h, w, 2]`, in pixels of its own map.
        target: `[batch, H, W, 2]`, in pixels of its own map.
        flow_weight: lambda. Guessed: the paper does not report it.
        scale_weights: alpha, one per scale. Guessed, see `SCALE_WEIGHTS`.
        mask: `[batch, H, W]` bool, True where the target is known; None = everywhere.

    Returns:
        The loss, and its terms "cross_entropy" and "multiscale_epe" before `flow_weight`. Scalars.

    Raises:
        ValueError: if shapes or lengths do not match.
    """
    _check_batch(logits, target)
    terms = {
        "cross_entropy": jnp.mean(cross_entropy(logits, labels)),
        "multiscale_epe": multiscale_endpoint_error(
            flows, target, weights=scale_weights, mask=mask
        ),
    }
    return terms["cross_entropy"] + flow_weight * terms["multiscale_epe"], terms


def _check_batch(logits: Array, flow: Array) -> None:
    if logits.shape[0] != flow.shape[0]:
        raise ValueError(
            f"logits have shape {logits.shape} and flow {flow.shape}; the batches differ"
        )
