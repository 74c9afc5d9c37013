"""Losses: pure functions of arrays, with finite gradients everywhere.

The losses of each paper are in the file named after its model.
"""

from afn_jax.losses.actionflownet import flow_loss
from afn_jax.losses.census import census_loss
from afn_jax.losses.classification import cross_entropy
from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.losses.jointflow3d import jointflow3d_loss
from afn_jax.losses.motionnet import MotionNetWeights, effective_weights, motionnet_loss
from afn_jax.losses.multiscale import multiscale_endpoint_error
from afn_jax.losses.photometric import l1_loss, photometric_loss
from afn_jax.losses.robust import charbonnier
from afn_jax.losses.smoothness import edge_aware_smoothness_loss, smoothness_loss
from afn_jax.losses.ssim import ssim, ssim_loss
from afn_jax.losses.uf_tsn import uf_tsn_loss

__all__ = [
    "MotionNetWeights",
    "census_loss",
    "charbonnier",
    "cross_entropy",
    "edge_aware_smoothness_loss",
    "effective_weights",
    "endpoint_error",
    "flow_loss",
    "jointflow3d_loss",
    "l1_loss",
    "masked_mean",
    "motionnet_loss",
    "multiscale_endpoint_error",
    "photometric_loss",
    "smoothness_loss",
    "ssim",
    "ssim_loss",
    "uf_tsn_loss",
]
