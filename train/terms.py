"""The terms of an objective: sums and counts, so that means are exact over all devices."""

import flax.struct
import jax.numpy as jnp

from afn_jax.types import Array


@flax.struct.dataclass
class Term:
    """A weighted mean: `weight * sum / count` enters the loss, once summed over devices."""

    sum: Array
    count: Array
    weight: float = flax.struct.field(pytree_node=False, default=0.0)


def masked_term(values: Array, mask: Array, weight: float = 0.0) -> Term:
    """The mean of `values` where `mask`, of the same shape, is True."""
    values = values.astype(jnp.float32)
    return Term(jnp.sum(jnp.where(mask, values, 0)), jnp.sum(mask, dtype=jnp.float32), weight)
