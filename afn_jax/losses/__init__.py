"""Losses: pure functions of arrays, finite gradients everywhere."""

from afn_jax.losses.classification import cross_entropy
from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.losses.multiscale import multiscale_endpoint_error

__all__ = ["cross_entropy", "endpoint_error", "masked_mean", "multiscale_endpoint_error"]
