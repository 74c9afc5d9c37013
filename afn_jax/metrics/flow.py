"""Mergeable flow metrics: endpoint error and outlier rates."""

import operator
from typing import Self

import flax.struct
import jax
import jax.numpy as jnp

from afn_jax.losses import endpoint_error
from afn_jax.metrics.mean import Mean
from afn_jax.types import Array


@flax.struct.dataclass
class EndpointErrorMetric:
    """Mean endpoint error over valid pixels, and that of zero flow as a baseline."""

    error: Mean
    zero_flow_error: Mean

    @classmethod
    def from_batch(cls, flow: Array, target: Array, mask: Array | None = None) -> Self:
        """Computes the metric of one batch.

        Args:
            flow: `[..., H, W, 2]`, in pixels.
            target: same shape. Its values outside the mask are ignored.
            mask: `[..., H, W]` bool, True = counts; None = every pixel counts.

        Raises:
            ValueError: if the shapes do not match, or `mask` is not bool.
        """
        flow, target = jnp.asarray(flow), jnp.asarray(target)
        mask = _checked(mask, target)
        error = endpoint_error(flow, target)
        zero_flow_error = endpoint_error(jnp.zeros_like(target), target)
        return cls(
            error=Mean.from_values(error, mask),
            zero_flow_error=Mean.from_values(zero_flow_error, mask),
        )

    def merge(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def compute(self) -> dict[str, float]:
        """Returns `epe` and `zero_flow_epe`, in pixels; NaN if nothing was counted."""
        return {"epe": self.error.compute(), "zero_flow_epe": self.zero_flow_error.compute()}


@flax.struct.dataclass
class FlowOutliersMetric:
    """Mean endpoint error and the outlier rates that flow benchmarks report.

    Fl-all is defined as in KITTI 2015: an error above 3 px *and* above 5 % of the true magnitude
    (Menze and Geiger, 2015). A NaN prediction is always an outlier.
    """

    error: Mean
    above_1px: Mean
    above_3px: Mean
    above_5px: Mean
    fl_outliers: Mean

    @classmethod
    def from_batch(cls, flow: Array, target: Array, mask: Array | None = None) -> Self:
        """Computes the metric of one batch; arguments as for `EndpointErrorMetric.from_batch`."""
        flow, target = jnp.asarray(flow), jnp.asarray(target)
        mask = _checked(mask, target)
        error = endpoint_error(flow, target)
        length = endpoint_error(jnp.zeros_like(target), target)

        # Negated comparisons, so that NaN counts as an outlier.
        return cls(
            error=Mean.from_values(error, mask),
            above_1px=Mean.from_values(~(error <= 1), mask),
            above_3px=Mean.from_values(~(error <= 3), mask),
            above_5px=Mean.from_values(~(error <= 5), mask),
            fl_outliers=Mean.from_values(~(error <= 3) & ~(error <= 0.05 * length), mask),
        )

    def merge(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def compute(self) -> dict[str, float]:
        """Returns `epe` in pixels, and `fl_all`, `px1`, `px3` and `px5` as fractions in [0, 1].

        All are NaN if nothing was counted.
        """
        return {
            "epe": self.error.compute(),
            "fl_all": self.fl_outliers.compute(),
            "px1": self.above_1px.compute(),
            "px3": self.above_3px.compute(),
            "px5": self.above_5px.compute(),
        }

    @property
    def count(self) -> Array:
        """The number of pixels that count."""
        return self.error.count


def _checked(mask: Array | None, target: Array) -> Array:
    if mask is None:
        return jnp.ones(target.shape[:-1], bool)
    if mask.shape != target.shape[:-1]:
        raise ValueError(
            f"mask has shape {mask.shape}, but target {target.shape}; the mask must be "
            f"{target.shape[:-1]}"
        )
    mask = jnp.asarray(mask)
    if mask.dtype != bool:
        raise ValueError(f"mask has dtype {mask.dtype}; it must be bool: pass mask > 0")
    return mask
