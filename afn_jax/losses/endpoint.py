"""Endpoint error of flow, and the masked mean.

Flow is (x, y) = (right, down), in pixels of its own map.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.types import Array


def endpoint_error(
    flow: Float[Array, "*batch h w 2"], target: Float[Array, "*batch h w 2"]
) -> Float[Array, "*batch h w"]:
    """Computes the per-pixel endpoint error (ActionFlowNet Eq. 1, inside the sum).

    Where the two flows are equal the gradient is zero, which is a subgradient.

    Args:
        flow: `[..., H, W, 2]`, in pixels.
        target: same shape as `flow`.

    Returns:
        `[..., H, W]`, in pixels; float32 or higher precision.

    Raises:
        ValueError: if the shapes differ or are not `[..., H, W, 2]`.
    """
    if flow.shape != target.shape or flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape} and target {target.shape}; both must be the same "
            "[..., H, W, 2]: resize one of them with resize_flow"
        )
    dtype = jnp.promote_types(jnp.promote_types(flow.dtype, target.dtype), jnp.float32)
    flow, target = jnp.asarray(flow, dtype), jnp.asarray(target, dtype)
    # Huge values are halved first, because the difference of two finite values may be infinite.
    huge = jnp.maximum(jnp.abs(flow), jnp.abs(target)) > 1e38
    half = jnp.where(jnp.any(huge, axis=-1, keepdims=True), jnp.asarray(0.5, dtype), 1)
    difference = half * flow - half * target
    # The square of 1e-30 underflows and that of 1e30 overflows, so divide by the larger component
    # first. The scale cancels, so it needs no gradient. The bounds keep its reciprocal normal.
    larger = jnp.max(jnp.abs(difference), axis=-1, keepdims=True)
    scale = jax.lax.stop_gradient(jnp.clip(larger, 1e-30, 1e30))
    squared = jnp.sum(jnp.square(difference / scale), axis=-1)
    # The gradient of the square root is infinite at 0; use that of a constant there.
    equal = squared == 0
    length = jnp.sqrt(jnp.where(equal, 1, squared)) * (scale / half)[..., 0]
    return jnp.where(equal, 0, length)


def masked_mean(
    values: Float[Array, "*shape"], mask: Bool[Array, "*shape"] | None = None
) -> Float[Array, ""]:
    """Computes the mean of `values` where `mask` is True, and 0 if it is True nowhere.

    Args:
        values: any shape.
        mask: bool, same shape, True = counts; None = everything counts.

    Returns:
        A scalar; float32 or higher precision. Masked values may be NaN and get no gradient.

    Raises:
        ValueError: if the shapes differ, or `mask` is not bool.
    """
    if mask is None:
        mask = jnp.ones(values.shape, bool)
    if mask.shape != values.shape or mask.dtype != jnp.bool_:
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}, but values have shape "
            f"{values.shape}; the mask must have the same shape and be bool, e.g. mask > 0"
        )
    values = jnp.asarray(values, jnp.promote_types(values.dtype, jnp.float32))
    count = jnp.sum(mask, dtype=values.dtype)
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.maximum(count, 1)
