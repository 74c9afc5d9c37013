"""Cross-entropy for action classification."""

import jax.numpy as jnp
import optax
from jaxtyping import Float, Int

from afn_jax.types import Array


def cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Int[Array, "*batch"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Array, "*batch"]:
    """Computes the softmax cross-entropy of each example (ActionFlowNet Eq. 2, first term).

    Args:
        logits: `[..., classes]`.
        labels: `[...]`, 0-based class.
        label_smoothing: probability mass spread evenly over all classes, in [0, 1).

    Returns:
        `[...]`, in nats; float32 or higher precision.

    Raises:
        ValueError: if the shapes do not match, or `label_smoothing` is outside [0, 1).
    """
    if logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"logits have shape {logits.shape} and labels {labels.shape}; labels must be "
            f"{logits.shape[:-1]}, one 0-based class per row of logits"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; pass a share from 0 to below 1")
    logits = jnp.asarray(logits, jnp.promote_types(logits.dtype, jnp.float32))
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    if not label_smoothing:
        return loss
    log_normalizer = loss + jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    uniform = log_normalizer - jnp.mean(logits, axis=-1)
    return (1 - label_smoothing) * loss + label_smoothing * uniform
