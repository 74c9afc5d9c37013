"""Which pixels are seen in both frames, told by flow in both directions."""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.ops.warp import warp, warp_mask
from afn_jax.types import Array


def visibility_mask(
    forward_flow: Float[Array, "*batch h w 2"],
    backward_flow: Float[Array, "*batch h w 2"],
    *,
    relative: float = 0.01,
    absolute: float = 0.5,
) -> Bool[Array, "*batch h w"]:
    """Forward/backward check: where going there and back leads home (Sundaram et al. 2010).

    A pixel is visible in both frames if `|f + b|^2 < relative * (|f|^2 + |b|^2) + absolute`, with
    `f` its forward flow and `b` the backward flow at the place where it points to, and if that
    place is inside the image. The constants are those of UnFlow.

    Args:
        forward_flow: `[..., H, W, 2]`, from the first frame to the second, in pixels.
        backward_flow: the same shape, from the second to the first.
        relative: tolerance that grows with the motion.
        absolute: tolerance at rest, in square pixels.

    Returns:
        `[..., H, W]`, True = visible, False = occluded or out of the image. It has no gradient.

    Raises:
        ValueError: the shapes differ, or are no flow.
    """
    shape = forward_flow.shape
    if shape != backward_flow.shape or forward_flow.ndim < 3 or shape[-1] != 2:
        raise ValueError(
            f"forward_flow has shape {shape} and backward_flow {backward_flow.shape}; "
            "both must be the same [..., H, W, 2]"
        )
    dtype = jnp.promote_types(
        jnp.promote_types(forward_flow.dtype, backward_flow.dtype), jnp.float32
    )
    forward = jnp.asarray(forward_flow, dtype)
    backward = warp(jnp.asarray(backward_flow, dtype), forward)
    residual = jnp.sum(jnp.square(forward + backward), axis=-1)
    motion = jnp.sum(jnp.square(forward) + jnp.square(backward), axis=-1)
    return (residual < relative * motion + absolute) & warp_mask(forward)
