"""Joint loss of Odabasi's 3D CNN (section III, Eq. 1-3)."""

import jax.numpy as jnp
from jaxtyping import Float, Int

from afn_jax.losses.classification import cross_entropy
from afn_jax.losses.photometric import photometric_loss
from afn_jax.losses.smoothness import smoothness_loss
from afn_jax.ops import warp
from afn_jax.ops.checks import check_float
from afn_jax.types import Array

# All guessed: the paper names these constants without values. It reports a final loss "around 40"
# on both sets (section IV), which these values do not reproduce.
P = 2.5  # exponent 1 / p = .4, as in Hidden Two-Stream, whose loss the paper follows
EPSILON = 1e-3
ALPHA_ACTION, ALPHA_PHOTOMETRIC, ALPHA_SMOOTH = 1.0, 1.0, 1.0


def jointflow3d_loss(
    logits: Float[Array, "batch classes"],
    labels: Int[Array, " batch"],
    previous: Float[Array, "batch triplets h w 1"],
    current: Float[Array, "batch triplets h w 1"],
    flows: Float[Array, "batch triplets h w 2"],
    *,
    p: float = P,
    epsilon: float = EPSILON,
    alpha_action: float | Array = ALPHA_ACTION,
    alpha_photometric: float | Array = ALPHA_PHOTOMETRIC,
    alpha_smooth: float | Array = ALPHA_SMOOTH,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Computes the weighted sum of cross-entropy, photometric and smoothness loss (Eq. 1-3).

    There is one flow per triplet of frames k - 1, k, k + 1. It is defined on the pixels of frame
    k - 1 and points to frame k, so that warping frame k reconstructs frame k - 1. Outside the image
    the border is repeated (guessed).

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]`, 0-based class.
        previous: `[batch, N, H, W, 1]`, float gray, frame k - 1 of each triplet. The value range
            affects the penalty; [0, 1] is guessed.
        current: same shape, frame k.
        flows: `[batch, N, H, W, 2]`, in pixels.
        p: the exponent of the penalty is 1 / p.
        epsilon: epsilon of the penalty.
        alpha_action: weight of the cross-entropy.
        alpha_photometric: weight of Eq. 1.
        alpha_smooth: weight of Eq. 2.

    Returns:
        The loss, and its unweighted terms "cross_entropy", "photometric" and "smooth". Scalars.

    Raises:
        ValueError: if the shapes do not match, the frames are not float, or `p` or `epsilon` is not
            positive.
    """
    if previous.shape != current.shape or previous.ndim != 5 or previous.shape[-1] != 1:
        raise ValueError(
            f"previous has shape {previous.shape} and current {current.shape}; both must be the "
            "same [batch, triplets, H, W, 1], gray"
        )
    check_float(previous=previous, current=current)
    if logits.shape[0] != previous.shape[0]:
        raise ValueError(
            f"logits have shape {logits.shape} and previous {previous.shape}; the batches differ"
        )
    if flows.shape != (*previous.shape[:-1], 2):
        raise ValueError(
            f"flows has shape {flows.shape}; with frames {previous.shape} it must be "
            f"{(*previous.shape[:-1], 2)}, one flow per triplet"
        )
    if not p > 0:
        raise ValueError(f"p is {p}; pass a number above 0: the exponent is 1 / p")
    dtype = jnp.promote_types(jnp.result_type(previous, current, flows), jnp.float32)
    reconstruction = warp(jnp.asarray(current, dtype), jnp.asarray(flows, dtype))
    terms = {
        "cross_entropy": jnp.mean(cross_entropy(logits, labels)),
        "photometric": photometric_loss(previous, reconstruction, alpha=1 / p, epsilon=epsilon),
        "smooth": smoothness_loss(flows, alpha=1 / p, epsilon=epsilon),
    }
    loss = (
        alpha_action * terms["cross_entropy"]
        + alpha_photometric * terms["photometric"]
        + alpha_smooth * terms["smooth"]
    )
    return loss, terms
