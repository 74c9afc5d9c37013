"""The endpoint error of flow, and the mean over what a mask lets count.

Flow is (x, y) = (right, down), in pixels of its own map.
"""

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
    difference = jnp.asarray(flow, dtype) - jnp.asarray(target, dtype)
    # Scaled by the larger component, so that the square neither over- nor underflows.
    scale = jnp.max(jnp.abs(difference), axis=-1, keepdims=True)
    equal = scale == 0
    unit = difference / jnp.where(equal, 1, scale)
    # The gradient of a square root at 0 is infinite: there, take that of a constant.
    squared = jnp.sum(unit * unit, axis=-1)
    length = jnp.sqrt(jnp.where(equal[..., 0], 1, squared)) * scale[..., 0]
    return jnp.where(equal[..., 0], 0, length)


def masked_mean(
    values: Float[Array, "*shape"], mask: Bool[Array, "*shape"] | None = None
) -> Float[Array, ""]:
    """Mean of `values` where `mask` is True; 0 where nothing is, so that no NaN appears.

    Args:
        values: any shape.
        mask: the same shape, True = counts; None = everything counts.

    Returns:
        A scalar; what the mask leaves out gets no gradient, whatever its value.

    Raises:
        ValueError: the shapes differ.
    """
    if mask is None:
        mask = jnp.ones(values.shape, bool)
    if mask.shape != values.shape:
        raise ValueError(
            f"mask has shape {mask.shape}, but values have {values.shape}; they must be the same"
        )
    count = jnp.sum(mask, dtype=values.dtype)
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.maximum(count, 1)
