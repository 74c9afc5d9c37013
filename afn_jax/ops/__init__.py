"""Motion operators: pure functions of arrays, without parameters.

Layout, units and signs are in `afn_jax/conventions.md`.
"""

from afn_jax.ops.color_jitter import color_jitter, gaussian_noise
from afn_jax.ops.flow_color import flow_to_rgb
from afn_jax.ops.grid import pixel_grid
from afn_jax.ops.resize import resize_flow, resize_mask
from afn_jax.ops.warp import warp, warp_mask

__all__ = [
    "color_jitter",
    "flow_to_rgb",
    "gaussian_noise",
    "pixel_grid",
    "resize_flow",
    "resize_mask",
    "warp",
    "warp_mask",
]
