"""Mergeable endpoint error of flow, beside that of predicting no motion at all."""

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
        """
        flow, target = jnp.asarray(flow), jnp.asarray(target)
        if mask is None:
            mask = jnp.ones(target.shape[:-1], bool)
        if mask.shape != target.shape[:-1]:
            raise ValueError(
                f"mask has shape {mask.shape}, but target {target.shape}; the mask must be "
                f"{target.shape[:-1]}"
            )
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
