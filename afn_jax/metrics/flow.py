"""Mergeable errors of flow: the endpoint error beside that of no motion, and outliers."""

import operator
from typing import Self

import flax.struct
import jax
import jax.numpy as jnp

from afn_jax.losses import endpoint_error
from afn_jax.types import Array


@flax.struct.dataclass
class EndpointErrorMetric:
    """Mean endpoint error over valid pixels, and that of zero flow: a flow must beat it."""

    error: Array
    zero_flow_error: Array
    count: Array

    @classmethod
    def from_batch(cls, flow: Array, target: Array, mask: Array | None = None) -> Self:
        """Counts one batch.

        Args:
            flow: `[..., H, W, 2]`, in pixels.
            target: the same shape. Its values outside the mask are not looked at.
            mask: `[..., H, W]` bool, True = counts; None = every pixel counts.

        Raises:
            ValueError: a mask of another shape or type.
        """
        flow, target = jnp.asarray(flow), jnp.asarray(target)
        mask = _checked(mask, target)
        error = endpoint_error(flow, target)
        zero_flow_error = endpoint_error(jnp.zeros_like(target), target)
        return cls(
            error=jnp.sum(jnp.where(mask, error, 0)),
            zero_flow_error=jnp.sum(jnp.where(mask, zero_flow_error, 0)),
            count=jnp.sum(mask, dtype=jnp.float32),
        )

    def merge(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def compute(self) -> dict[str, float]:
        """`epe` and `zero_flow_epe`, in pixels; 0 if nothing was counted."""
        count = max(float(self.count), 1.0)
        return {
            "epe": float(self.error) / count,
            "zero_flow_epe": float(self.zero_flow_error) / count,
        }


@flax.struct.dataclass
class FlowOutliersMetric:
    """Mean endpoint error and the shares of wrong pixels that flow benchmarks report.

    Fl-all is KITTI 2015's: an error above 3 px *and* above 5 % of the true length (Menze and
    Geiger, 2015). A predicted flow that is not a number is wrong by any measure.
    """

    error: Array
    above_1px: Array
    above_3px: Array
    above_5px: Array
    fl_outliers: Array
    count: Array

    @classmethod
    def from_batch(cls, flow: Array, target: Array, mask: Array | None = None) -> Self:
        """Counts one batch. Arguments as of `EndpointErrorMetric.from_batch`."""
        flow, target = jnp.asarray(flow), jnp.asarray(target)
        mask = _checked(mask, target)
        error = endpoint_error(flow, target)
        length = endpoint_error(jnp.zeros_like(target), target)

        def number(wrong: Array) -> Array:
            return jnp.sum(wrong & mask, dtype=jnp.float32)

        # "Not within" rather than "above": NaN is neither.
        return cls(
            error=jnp.sum(jnp.where(mask, error, 0)),
            above_1px=number(~(error <= 1)),
            above_3px=number(~(error <= 3)),
            above_5px=number(~(error <= 5)),
            fl_outliers=number(~(error <= 3) & ~(error <= 0.05 * length)),
            count=jnp.sum(mask, dtype=jnp.float32),
        )

    def merge(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def compute(self) -> dict[str, float]:
        """`epe` in pixels; `fl_all`, `px1`, `px3` and `px5` as shares of all pixels, 0 to 1."""
        count = max(float(self.count), 1.0)
        return {
            "epe": float(self.error) / count,
            "fl_all": float(self.fl_outliers) / count,
            "px1": float(self.above_1px) / count,
            "px3": float(self.above_3px) / count,
            "px5": float(self.above_5px) / count,
        }


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
