"""Occlusion estimation from forward and backward flow."""

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
    """Computes the forward-backward consistency check (Sundaram et al. 2010).

    A pixel is visible in both frames if its forward flow `f` ends inside the image and
    `|f + b|^2 < relative * (|f|^2 + |b|^2) + absolute`, where `b` is the backward flow sampled at
    that end point. The default constants are those of UnFlow.

    Args:
        forward_flow: `[..., H, W, 2]`, from the first frame to the second, in pixels. Any leading
            axes.
        backward_flow: same shape, from the second frame to the first.
        relative: tolerance per squared motion, without unit.
        absolute: tolerance without motion, in squared pixels.

    Returns:
        `[..., H, W]` bool, True = visible, False = occluded or outside the image. It has no
        gradient.

    Raises:
        ValueError: if the shapes differ or are not `[..., H, W, 2]`.
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
