"""Pictures of flow: direction as hue, magnitude as saturation."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from afn_jax.types import Array

# Hues between neighbours on the wheel, as many as the eye tells apart there: red to yellow, yellow
# to green, green to cyan, cyan to blue, blue to magenta, magenta to red (Baker et al.).
_HUES_PER_ARC = (15, 6, 4, 11, 13, 6)
_ARC_ENDS = np.array(
    [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], np.float32
)
# Middlebury's files mark unknown flow with a component above this.
_UNKNOWN = 1e9


def flow_to_rgb(
    flow: Float[Array, "*batch h w 2"], *, max_magnitude: float | None = None
) -> UInt8[Array, "*batch h w 3"]:
    """Colour a flow map by the standard wheel.

    Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011, with the
    authors' published colour code. Right is red, down is yellow, left is cyan, up is violet; no
    motion is white; unknown flow (NaN, or a component above 1e9) is black.

    Args:
        flow: `[..., H, W, 2]`, (x, y) = (right, down), in pixels. Any leading axes.
        max_magnitude: the length in pixels that gets the full colour; longer flow is darkened. By
            default each map's own longest flow, so colours of two maps do not compare.

    Returns:
        `[..., H, W, 3]` uint8, RGB.

    Raises:
        ValueError: if `flow` has no two components or `max_magnitude` is not positive.
    """
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape}; it must be [..., H, W, 2] with the last axis "
            "(x, y) = (right, down)"
        )
    if max_magnitude is not None and not max_magnitude > 0:
        raise ValueError(
            f"max_magnitude is {max_magnitude}; pass a positive length in pixels, or None for each "
            "map's own longest flow"
        )
    dtype = jnp.promote_types(flow.dtype, jnp.float32)
    flow = jnp.asarray(flow, dtype)
    known = jnp.all(jnp.abs(flow) <= _UNKNOWN, axis=-1)
    x, y = jnp.moveaxis(jnp.where(known[..., None], flow, 0), -1, 0)
    magnitude = jnp.sqrt(x * x + y * y)
    if max_magnitude is None:
        longest = jnp.max(magnitude, axis=(-2, -1), keepdims=True, initial=0)
        longest = jnp.where(longest > 0, longest, 1)
    else:
        longest = jnp.asarray(max_magnitude, dtype)
    radius = (magnitude / longest)[..., None]

    wheel = jnp.asarray(_color_wheel(), dtype)
    num_hues = len(wheel)
    # The wheel starts at atan2(-0.0, -x) = -pi, flow to the right. Either zero of y must give that
    # -0.0, because atan2(+0.0, -x) is the other end of the wheel.
    upward = jnp.where(y == 0, -0.0, -y)
    hue = (jnp.arctan2(upward, -x) / jnp.pi + 1) / 2 * (num_hues - 1)
    lower = jnp.floor(hue).astype(jnp.int32)
    fraction = (hue - lower)[..., None]
    color = (1 - fraction) * wheel[lower] + fraction * wheel[(lower + 1) % num_hues]
    color = jnp.where(radius <= 1, 1 - radius * (1 - color), 0.75 * color)
    color = jnp.where(known[..., None], color, 0)
    return jnp.floor(255 * color).astype(jnp.uint8)


def _color_wheel() -> np.ndarray:
    """`[55, 3]` RGB in [0, 1], hues in the order red, yellow, green, cyan, blue, magenta."""
    arcs = [
        start + (end - start) * (np.arange(count, dtype=np.float32) / count)[:, None]
        for count, start, end in zip(_HUES_PER_ARC, _ARC_ENDS[:-1], _ARC_ENDS[1:], strict=True)
    ]
    return np.concatenate(arcs)
