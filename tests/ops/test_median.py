"""`median_filter`, against SciPy's, and its comparisons against all inputs of 0 and 1."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from afn_jax.ops import median_filter
from afn_jax.ops.median import _median_network

SHAPES = ((6, 7), (1, 1), (1, 5), (5, 1), (2, 2))


def example(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def middle_by_network(values):
    """`values`: one row for each input. Compares and swaps as the network says."""
    columns = list(np.array(values).T)
    for low, high in _median_network(len(columns)):
        columns[low], columns[high] = (
            np.minimum(columns[low], columns[high]),
            np.maximum(columns[low], columns[high]),
        )
    return columns[len(columns) // 2]


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_those_of_scipy(size, shape):
    x = example(*shape)
    np.testing.assert_array_equal(
        median_filter(x, size), ndimage.median_filter(x, size, mode="nearest")
    )


@pytest.mark.parametrize("size", [3, 5])
def test_values_that_occur_often_are_no_problem(size):
    x = np.random.default_rng(1).integers(0, 3, (8, 9)).astype(np.float32)
    np.testing.assert_array_equal(
        median_filter(x, size), ndimage.median_filter(x, size, mode="nearest")
    )
    np.testing.assert_array_equal(median_filter(0 * x + 7, size), 7)


def test_a_single_wrong_pixel_is_removed_and_an_edge_is_kept():
    x = np.zeros((7, 8), np.float32)
    x[:, 4:] = 1
    expected = x.copy()
    x[3, 1], x[2, 6] = 1e10, -1e10
    np.testing.assert_array_equal(median_filter(x, 3), expected)


# A network of comparisons that is right for all inputs of 0 and 1 is right for all inputs.


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_the_network_finds_the_median_of_all_zeros_and_ones(count):
    values = np.array(list(itertools.product([0, 1], repeat=count)))
    np.testing.assert_array_equal(middle_by_network(values), np.sort(values)[:, count // 2])


@pytest.mark.parametrize("count", [25, 49])
def test_the_network_finds_the_median_of_many_zeros_and_ones(count):
    random = np.random.default_rng(0)
    # A wrong network fails first where as many as a half are ones: sample those.
    ones = np.clip(count // 2 + random.integers(-1, 3, 20000), 0, count)
    values = random.permuted(np.arange(count) < ones[:, None], axis=1).astype(int)
    np.testing.assert_array_equal(middle_by_network(values), np.sort(values)[:, count // 2])


def test_the_network_leaves_out_what_the_median_does_not_need():
    # Sorting 9 and 25 values by the same method takes 28 and 140 comparisons.
    assert len(_median_network(9)) < 28 and len(_median_network(25)) < 140


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("shape", [(5, 6), (1, 7), (1, 1)])
def test_the_gradient_goes_to_the_median_pixel(size, shape):
    x = np.random.default_rng(2).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    weights = example(*shape, seed=3)
    gradient = jax.grad(lambda x: jnp.sum(weights * median_filter(x, size)))(x)
    # The values all differ, so each median is one pixel of the map, however often it is repeated.
    medians = ndimage.median_filter(x, size, mode="nearest")
    expected = np.zeros(shape)
    for pixel in np.ndindex(shape):
        expected[x == medians[pixel]] += weights[pixel]
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_the_gradient_of_equal_values_is_shared_and_keeps_its_sum():
    x = np.full((4, 5), 3, np.float32)
    weights = np.abs(example(4, 5))
    gradient = jax.grad(lambda x: jnp.sum(weights * median_filter(x, 3)))(x)
    assert np.all(gradient >= 0)
    np.testing.assert_allclose(np.sum(gradient), np.sum(weights), rtol=1e-5)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("size", [1, 3])
def test_leading_axes_are_batches(leading, size):
    x = example(*leading, 4, 5)
    filtered = median_filter(x, size)
    assert filtered.shape == x.shape
    for index in np.ndindex(leading):
        expected = ndimage.median_filter(x[index], size, mode="nearest")
        np.testing.assert_array_equal(filtered[index], expected)


@pytest.mark.parametrize("transform", ["jit", "vmap", "pmap", "checkpoint"])
def test_works_under_transformations(transform):
    x = example(2, 4, 5)
    filtered = getattr(jax, transform)(lambda x: median_filter(x, 3))(x)
    expected = [ndimage.median_filter(each, 3, mode="nearest") for each in x]
    np.testing.assert_array_equal(filtered, expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_dtype_stays_and_values_are_those_that_came_in(dtype):
    x = jnp.asarray(example(5, 6), dtype)
    filtered = median_filter(x, 3)
    assert filtered.dtype == dtype
    expected = ndimage.median_filter(np.asarray(x, np.float64), 3, mode="nearest")
    np.testing.assert_array_equal(np.asarray(filtered, np.float64), expected)


def test_float64_keeps_its_precision(float64):
    x = example(5, 6, dtype=np.float64)
    filtered = median_filter(x, 3)
    assert filtered.dtype == jnp.float64
    np.testing.assert_array_equal(filtered, ndimage.median_filter(x, 3, mode="nearest"))


@pytest.mark.parametrize("value", [3e38, -3e38, 1e-40])
def test_extreme_values_stay_finite(value):
    x = value * np.sign(example(4, 5))
    filtered, gradient = jax.value_and_grad(lambda x: jnp.sum(median_filter(x, 3) / 20))(x)
    assert np.isfinite(filtered) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("size", [-1, 0, 2, 4])
def test_sizes_that_are_not_odd_are_named(size):
    # Without the type checks of the test suite, as for a user.
    with pytest.raises(ValueError, match=f"size is {size}; pass an odd number of pixels"):
        inspect.unwrap(median_filter)(np.zeros((4, 5), np.float32), size)
