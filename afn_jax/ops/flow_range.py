"""Rescaling of flow to [0, 255], the input range of temporal streams trained on flow images."""

import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.types import Array


def normalize_flow(
    flow: Float[Array, "*batch h w 2"], *, bound: float = 20.0
) -> Float[Array, "*batch h w 2"]:
    """Clips flow to +-`bound` and maps it linearly to [0, 255] (Hidden Two-Stream, section 3.2).

    No motion becomes 127.5. The paper says "quantize", but neither the authors' network nor this
    function rounds, since rounding has no gradient. Flow beyond the bound gets no gradient.

    Args:
        flow: `[..., H, W, 2]`, in pixels.
        bound: largest component, above 0, in the unit of `flow`.

    Returns:
        Same shape and dtype as `flow`, in [0, 255]; computed in float32 or higher precision.

    Raises:
        ValueError: if the last axis of `flow` is not 2, or `bound` is not positive.
    """
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape}; it must be [..., H, W, 2] with the last axis "
            "(x, y) = (right, down)"
        )
    if not bound > 0:
        raise ValueError(f"bound is {bound}; pass a number of pixels above 0")
    dtype = jnp.promote_types(flow.dtype, jnp.float32)
    clipped = jnp.clip(jnp.asarray(flow, dtype), -bound, bound)
    return ((clipped + bound) * (255 / (2 * bound))).astype(flow.dtype)
