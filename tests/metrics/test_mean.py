"""The mergeable mean: masks, merging, empty sums and precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.metrics import Mean


def test_averages_only_unmasked_values():
    values = jnp.array([[1.0, 2.0], [jnp.nan, 6.0]])
    mean = Mean.from_values(values, jnp.array([[True, True], [False, True]]))
    assert (float(mean.sum), float(mean.count), mean.compute()) == (9.0, 3.0, 3.0)
    assert Mean.from_values(jnp.arange(4)).compute() == 1.5
    assert Mean.from_values(jnp.array([True, False])).sum.dtype == jnp.float32


def test_merges_parts_of_different_sizes_exactly():
    values = np.arange(10, dtype=np.float32)
    whole = Mean.from_values(values)
    merged = Mean.from_values(values[:3]).merge(Mean.from_values(values[3:]))
    assert merged.compute() == whole.compute() == 4.5
    # A sum over devices merges in the same way.
    parts = jax.vmap(Mean.from_values)(values.reshape(2, 5), np.ones((2, 5), bool))
    assert jax.tree.map(jnp.sum, parts).compute() == 4.5


@pytest.mark.parametrize("zero", [0.0, np.float64(0), jnp.float32(0)])
def test_is_nan_if_nothing_was_counted(zero):
    assert np.isnan(Mean(zero, zero).compute()) and np.isnan(Mean(zero, zero).mean)
    assert jax.grad(lambda x: Mean(x, jnp.zeros(())).mean)(1.0) == 0
    assert Mean(zero, zero).merge(Mean(6.0, 2.0)).compute() == 3


def test_keeps_the_double_precision_of_numpy_sums():
    mean = Mean(np.float64(2**24 + 1), np.float64(1))
    assert mean.compute() == 2**24 + 1
