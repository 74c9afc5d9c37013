"""A mean kept as a sum and a count, so that means of parts merge exactly."""

import math
from typing import Self

import flax.struct
import jax.numpy as jnp

from afn_jax.types import Array


@flax.struct.dataclass
class Mean:
    """A mean as a sum and a count.

    Adding both is an exact merge, whatever share of the values each part has: `a.merge(b)`, or a
    `psum` of the pytree over devices.

    Attributes:
        sum: sum of the values.
        count: number of values.
    """

    sum: Array | float
    count: Array | float

    @classmethod
    def from_values(cls, values: Array, mask: Array | None = None) -> Self:
        """Counts the values where `mask`, of the same shape, is True; without a mask, all of them.

        The sum is float32, or float64 for float64 values. Values outside the mask may be NaN.
        """
        values = jnp.asarray(values)
        values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
        if mask is None:
            return cls(jnp.sum(values), jnp.float32(values.size))
        return cls(jnp.sum(jnp.where(mask, values, 0)), jnp.sum(mask, dtype=jnp.float32))

    def merge(self, other: Self) -> Self:
        return type(self)(self.sum + other.sum, self.count + other.count)

    @property
    def mean(self) -> Array | float:
        """The mean; NaN if nothing was counted. Its gradient is finite in either case."""
        empty = self.count == 0
        return jnp.where(empty, jnp.nan, self.sum / (self.count + empty))

    def compute(self) -> float:
        """The mean as a Python number, divided in double precision; NaN if nothing was counted."""
        return float(self.sum) / (float(self.count) or math.nan)
