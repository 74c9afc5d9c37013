"""Motion operators: pure functions of arrays.

Shapes, units and signs are defined in `afn_jax/conventions.md`.
"""

from afn_jax.ops.color_jitter import color_jitter, gaussian_noise
from afn_jax.ops.cost_volume import cost_volume
from afn_jax.ops.flow_color import flow_to_rgb
from afn_jax.ops.flow_range import normalize_flow
from afn_jax.ops.grid import pixel_grid
from afn_jax.ops.median import median_filter
from afn_jax.ops.occlusion import visibility_mask
from afn_jax.ops.representation_flow import (
    RepresentationFlowParams,
    initial_params,
    representation_flow,
)
from afn_jax.ops.resize import resize_flow, resize_mask
from afn_jax.ops.tvl1 import TVL1Config, tvl1_flow
from afn_jax.ops.warp import warp, warp_mask

__all__ = [
    "RepresentationFlowParams",
    "TVL1Config",
    "color_jitter",
    "cost_volume",
    "flow_to_rgb",
    "gaussian_noise",
    "initial_params",
    "median_filter",
    "normalize_flow",
    "pixel_grid",
    "representation_flow",
    "resize_flow",
    "resize_mask",
    "tvl1_flow",
    "visibility_mask",
    "warp",
    "warp_mask",
]
