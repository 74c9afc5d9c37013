"""`median_filter`, compared with SciPy's; its comparison network on inputs of 0 and 1."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from afn_jax.ops import median_filter
from afn_jax.ops.median import _median_network

MEDIAN = jax.jit(median_filter, static_argnums=1)


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def middle_by_network(values):
    """Applies the compare-and-swap network to `values`, which has one row per input."""
    columns = list(np.array(values).T)
    for low, high in _median_network(len(columns)):
        columns[low], columns[high] = (
            np.minimum(columns[low], columns[high]),
            np.maximum(columns[low], columns[high]),
        )
    return columns[len(columns) // 2]


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_values_match_scipy(size):
    often = np.random.default_rng(1).integers(0, 3, (6, 7)).astype(np.float32)
    for x in (example(6, 7), often, 0 * often + 7, example(1, 1), example(1, 5), example(5, 1)):
        expected = ndimage.median_filter(x, size, mode="nearest")
        np.testing.assert_array_equal(MEDIAN(x, size), expected)


def test_removes_single_outliers_and_keeps_edges():
    x = np.zeros((6, 7), np.float32)
    x[:, 4:] = 1
    expected = x.copy()
    x[3, 1], x[2, 6] = 1e10, -1e10
    np.testing.assert_array_equal(MEDIAN(x, 3), expected)


# By the 0-1 principle, a comparison network that is right for all inputs of 0 and 1 is right for
# all inputs.


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_network_finds_the_median_of_all_inputs_of_zeros_and_ones(count):
    values = np.array(list(itertools.product([0, 1], repeat=count)))
    np.testing.assert_array_equal(middle_by_network(values), np.sort(values)[:, count // 2])


@pytest.mark.parametrize("count", [25, 49])
def test_network_finds_the_median_of_sampled_zeros_and_ones(count):
    random = np.random.default_rng(0)
    # A wrong network fails most easily if about half of the values are ones: sample those.
    ones = np.clip(count // 2 + random.integers(-1, 3, 20000), 0, count)
    values = random.permuted(np.arange(count) < ones[:, None], axis=1).astype(int)
    np.testing.assert_array_equal(middle_by_network(values), np.sort(values)[:, count // 2])


def test_network_omits_comparisons_that_the_median_does_not_need():
    # Sorting 9 and 25 values by the same method takes 28 and 140 comparisons.
    assert len(_median_network(9)) < 28 and len(_median_network(25)) < 140


SLOPE = jax.jit(
    jax.grad(lambda x, weights, size: jnp.sum(weights * median_filter(x, size))), static_argnums=2
)


@pytest.mark.slow
@pytest.mark.parametrize("size, shape", [(3, (5, 6)), (5, (5, 6)), (3, (1, 7))])
def test_gradient_goes_to_the_median_pixel(size, shape):
    x = np.random.default_rng(2).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    weights = example(*shape, seed=3)
    # All values differ, so each median is a single pixel of the map, even where edges repeat it.
    medians = ndimage.median_filter(x, size, mode="nearest")
    expected = np.zeros(shape)
    for pixel in np.ndindex(shape):
        expected[x == medians[pixel]] += weights[pixel]
    np.testing.assert_allclose(SLOPE(x, weights, size), expected, atol=1e-5)


def test_gradient_of_equal_values_is_shared_and_keeps_its_sum():
    weights = np.abs(example(5, 6))
    gradient = SLOPE(np.full((5, 6), 3, np.float32), weights, 3)
    assert np.all(gradient >= 0)
    np.testing.assert_allclose(np.sum(gradient), np.sum(weights), rtol=1e-5)
