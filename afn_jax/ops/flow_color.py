"""Color coding of flow: direction as hue, magnitude as saturation."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from afn_jax.types import Array

# Number of hues from red to yellow, yellow to green, green to cyan, cyan to blue, blue to magenta
# and magenta to red, roughly as many as the eye can distinguish (Baker et al.).
_HUES_PER_ARC = (15, 6, 4, 11, 13, 6)
_ARC_ENDS = np.array(
    [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], np.float32
)
# Middlebury flow files mark unknown flow by a component above this.
_UNKNOWN = 1e9


def flow_to_rgb(
    flow: Float[Array, "*batch h w 2"], *, max_magnitude: float | None = None
) -> UInt8[Array, "*batch h w 3"]:
    """Renders a flow map as RGB with the standard color wheel.

    The color code is the one published with Baker et al., "A Database and Evaluation Methodology
    for Optical Flow", IJCV 2011. Right is red, down is yellow, left is cyan, up is violet, and zero
    flow is white; unknown flow (NaN, or a component above 1e9 in magnitude) is black.

    Args:
        flow: `[..., H, W, 2]`, (x, y) = (right, down), in pixels. Any leading axes.
        max_magnitude: magnitude in pixels shown at full saturation; longer flow is darkened. None
            uses the largest magnitude of each map, so colors are not comparable between maps.

    Returns:
        `[..., H, W, 3]` uint8, RGB.

    Raises:
        ValueError: if the last axis of `flow` is not 2 or `max_magnitude` is not positive.
    """
    if flow.ndim < 3 or flow.shape[-1] != 2:
        raise ValueError(
            f"flow has shape {flow.shape}; it must be [..., H, W, 2] with the last axis "
            "(x, y) = (right, down)"
        )
    if max_magnitude is not None and not max_magnitude > 0:
        raise ValueError(
            f"max_magnitude is {max_magnitude}; pass a positive length in pixels, or None for the "
            "largest magnitude of each map"
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
    # Flow to the right is the start of the wheel, atan2(-0.0, -x) = -pi. Both zeros of y must map
    # to -0.0, because atan2(+0.0, -x) = pi is the other end of the wheel.
    upward = jnp.where(y == 0, -0.0, -y)
    hue = (jnp.arctan2(upward, -x) / jnp.pi + 1) / 2 * (num_hues - 1)
    lower = jnp.floor(hue).astype(jnp.int32)
    fraction = (hue - lower)[..., None]
    color = (1 - fraction) * wheel[lower] + fraction * wheel[(lower + 1) % num_hues]
    color = jnp.where(radius <= 1, 1 - radius * (1 - color), 0.75 * color)
    color = jnp.where(known[..., None], color, 0)
    return jnp.floor(255 * color).astype(jnp.uint8)


def _color_wheel() -> np.ndarray:
    """Returns `[55, 3]` RGB in [0, 1], from red via yellow, green, cyan and blue to magenta."""
    arcs = [
        start + (end - start) * (np.arange(count, dtype=np.float32) / count)[:, None]
        for count, start, end in zip(_HUES_PER_ARC, _ARC_ENDS[:-1], _ARC_ENDS[1:], strict=True)
    ]
    return np.concatenate(arcs)
