"""Mergeable metrics: `from_batch`, `merge`, `compute`."""

from afn_jax.metrics.classification import PerClass, TopK
from afn_jax.metrics.flow import EndpointErrorMetric

__all__ = ["EndpointErrorMetric", "PerClass", "TopK"]
