"""Mergeable metrics: `from_batch`, `merge`, `compute`."""

from afn_jax.metrics.classification import PerClass, TopK, true_class_rank
from afn_jax.metrics.flow import EndpointErrorMetric, FlowOutliersMetric
from afn_jax.metrics.mean import Mean
from afn_jax.metrics.segments import SegmentMetric

__all__ = [
    "EndpointErrorMetric",
    "FlowOutliersMetric",
    "Mean",
    "PerClass",
    "SegmentMetric",
    "TopK",
    "true_class_rank",
]
