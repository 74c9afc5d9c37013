"""The losses of ActionFlowNet (section 3, Eq. 1-4): flow, and action with flow.

The paper sums endpoint errors over pixels and frames and does not tell its lambda. Here they are
means, so that a lambda means the same at every size: for Eq. 2, the paper's lambda is ours divided
by the number of flow vectors of a clip.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from afn_jax.losses.classification import cross_entropy
from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.losses.multiscale import multiscale_endpoint_error
from afn_jax.types import Array

# Alpha of Eq. 3, of the outputs at 1/4 to 1/32 of the size. Guessed: the paper gives none; this is
# the balance of FlowNetS, whose .005, .01, .02 and .08 belong to sums over pixels, of errors in
# full-size pixels. Here are means, of errors in pixels of the map itself, and a map has a quarter
# of the pixels of the finer one and errors half as large: .005, .005, .005 and .01. Times 400, so
# that an error of one full-size pixel in all maps costs 1, 1/2, 1/4, 1/8 and 1/8 of it in each.
SCALE_WEIGHTS = (2.0, 2.0, 2.0, 4.0)


def flow_loss(
    flow: Float[Array, "batch time h w 2"],
    target: Float[Array, "batch time h w 2"],
    *,
    mask: Bool[Array, "batch time h w"] | None = None,
) -> Float[Array, ""]:
    """Eq. 1 as a mean: the endpoint error of all T flows, the future flow the last of them.

    Args:
        flow: `[batch, T, H, W, 2]`, in pixels.
        target: the same shape.
        mask: `[batch, T, H, W]` bool, True = the target is known.

    Returns:
        A scalar, in pixels; float32 or better.

    Raises:
        ValueError: shapes that do not fit.
    """
    if mask is not None and mask.shape == flow.shape[:-1] == target.shape[:-1]:
        # What is not known may be anything, NaN too.
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
    """Eq. 2: cross-entropy plus `flow_weight` times the mean endpoint error.

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]`, 0-based.
        flow: `[batch, T, H, W, 2]`, in pixels.
        target: the same shape.
        flow_weight: lambda. Guessed: the paper gives none.
        mask: `[batch, T, H, W]` bool, True = the target is known.

    Returns:
        The loss, and its terms ("cross_entropy", "epe"), not weighted.

    Raises:
        ValueError: shapes that do not fit.
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
    """Eq. 4: cross-entropy plus `flow_weight` times the endpoint error at four scales (Eq. 3).

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]`, 0-based.
        flows: finest first, each `[batch, h, w, 2]`, in pixels of its own map.
        target: `[batch, H, W, 2]`, in its own pixels.
        flow_weight: lambda. Guessed: the paper gives none.
        scale_weights: alpha, one a scale. Guessed, see `SCALE_WEIGHTS`.
        mask: `[batch, H, W]` bool, True = the target is known.

    Returns:
        The loss, and its terms ("cross_entropy", "multiscale_epe"), not weighted by `flow_weight`.

    Raises:
        ValueError: shapes or lengths that do not fit.
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
