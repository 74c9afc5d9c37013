"""The endpoint error of flow, and the mean over what a mask lets count.

Flow is (x, y) = (right, down), in pixels of its own map.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.types import Array


def endpoint_error(
    flow: Float[Array, "*batch h w 2"], target: Float[Array, "*batch h w 2"]
) -> Float[Array, "*batch h w"]:
    """Length of the difference of two flows at each pixel (ActionFlowNet Eq. 1, inside the sum).

    Where the two are equal, its gradient is zero: a subgradient, and finite.

    Args:
        flow: `[..., H, W, 2]`, in pixels.
        target: the same shape.

    Returns:
        `[..., H, W]`, in pixels; float32 for inputs of lower precision.

    Raises:
        ValueError: the shapes differ, or the last axis is not (x, y).
    """
    if flow.shape != target.shape or flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape} and target {target.shape}; both must be the same "
            "[..., H, W, 2]: resize one of them with resize_flow"
        )
    dtype = jnp.promote_types(jnp.promote_types(flow.dtype, target.dtype), jnp.float32)
    flow, target = jnp.asarray(flow, dtype), jnp.asarray(target, dtype)
    # Huge numbers are halved, because the difference of two finite ones may be infinite.
    huge = jnp.maximum(jnp.abs(flow), jnp.abs(target)) > 1e38
    half = jnp.where(jnp.any(huge, axis=-1, keepdims=True), jnp.asarray(0.5, dtype), 1)
    difference = half * flow - half * target
    # Squares of 1e-30 vanish and of 1e30 overflow, so divide by the larger component first. It
    # cancels, so it is a constant to the gradient. The bounds keep it and its reciprocal normal.
    larger = jnp.max(jnp.abs(difference), axis=-1, keepdims=True)
    scale = jax.lax.stop_gradient(jnp.clip(larger, 1e-30, 1e30))
    squared = jnp.sum(jnp.square(difference / scale), axis=-1)
    # The gradient of a square root at 0 is infinite: there, take that of a constant.
    equal = squared == 0
    length = jnp.sqrt(jnp.where(equal, 1, squared)) * (scale / half)[..., 0]
    return jnp.where(equal, 0, length)


def masked_mean(
    values: Float[Array, "*shape"], mask: Bool[Array, "*shape"] | None = None
) -> Float[Array, ""]:
    """Mean of `values` where `mask` is True; 0 where nothing is, so that no NaN appears.

    Args:
        values: any shape.
        mask: the same shape, True = counts; None = everything counts.

    Returns:
        A scalar, float32 or better; what the mask leaves out gets no gradient, whatever its value.

    Raises:
        ValueError: the shapes differ, or `mask` is not bool.
    """
    if mask is None:
        mask = jnp.ones(values.shape, bool)
    if mask.shape != values.shape or mask.dtype != jnp.bool_:
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}, but values have shape "
            f"{values.shape}; the mask must have the same shape and be bool, as in mask > 0"
        )
    values = jnp.asarray(values, jnp.promote_types(values.dtype, jnp.float32))
    count = jnp.sum(mask, dtype=values.dtype)
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.maximum(count, 1)
