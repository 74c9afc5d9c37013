"""Flow in the range of pictures, as networks that were trained on flow pictures expect it."""

import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.types import Array


def normalize_flow(
    flow: Float[Array, "*batch h w 2"], *, bound: float = 20.0
) -> Float[Array, "*batch h w 2"]:
    """Clip to +-`bound` and map linearly to [0, 255] (Hidden Two-Stream section 3.2).

    No motion becomes 127.5. The paper says "quantize", the authors' network does not round, and
    neither does this: rounding has no gradient. Flow beyond the bound gets no gradient.

    Args:
        flow: `[..., H, W, 2]`, in pixels; at reduced size, in what unit the bound is meant.
        bound: above 0, in pixels.

    Returns:
        The same shape and dtype, 0 to 255. Inside it computes in float32 or better.

    Raises:
        ValueError: `flow` has no two components, or `bound` is not positive.
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
