"""`normalize_flow`: values and slopes by hand."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import normalize_flow


def flow_of(*values, dtype=np.float32):
    """`[1, n, 2]`: the values as x, and their negatives as y."""
    return np.stack([values, np.negative(values)], axis=-1)[None].astype(dtype)


def test_values_by_hand():
    normalized = np.asarray(normalize_flow(flow_of(0, 20, 10, -4, 21, 1e10)))
    np.testing.assert_allclose(normalized[0, :, 0], [127.5, 255, 191.25, 102, 255, 255])
    np.testing.assert_allclose(normalized[0, :, 1], [127.5, 0, 63.75, 153, 0, 0])


@pytest.mark.parametrize("bound", [0.5, 1.0, 20.0, 100.0])
def test_the_bound_goes_to_both_ends_and_no_motion_to_the_middle(bound):
    normalized = normalize_flow(flow_of(0, bound, 2 * bound, bound / 2), bound=bound)
    np.testing.assert_allclose(normalized[0, :, 0], [127.5, 255, 255, 191.25], rtol=1e-6)
    np.testing.assert_allclose(normalized[0, :, 1], [127.5, 0, 0, 63.75], atol=1e-4)


def test_values_are_not_rounded():
    flow = flow_of(*np.linspace(-20, 20, 1001))
    assert len(np.unique(normalize_flow(flow)[..., 0])) == 1001


@pytest.mark.parametrize("bound", [2.0, 20.0])
def test_the_gradient_is_the_slope_inside_and_zero_outside(bound):
    flow = flow_of(0, 0.9 * bound, -0.9 * bound, 1.1 * bound, -1.1 * bound, 1e10)
    gradient = jax.grad(lambda flow: jnp.sum(normalize_flow(flow, bound=bound)))(flow)
    slope = 255 / (2 * bound)
    expected = np.array([slope, slope, slope, 0, 0, 0])
    np.testing.assert_allclose(gradient[0], np.stack([expected, expected], axis=-1), rtol=1e-6)


def test_the_gradient_at_the_bound_is_finite():
    gradient = jax.grad(lambda flow: jnp.sum(normalize_flow(flow)))(flow_of(20.0))
    assert np.all(gradient >= 0) and np.all(gradient <= 255 / 40)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (0,)])
def test_leading_axes_are_batches(leading):
    flow = np.random.default_rng(0).normal(scale=15, size=(*leading, 3, 4, 2)).astype(np.float32)
    expected = (np.clip(flow, -20, 20) + 20) / 40 * 255
    np.testing.assert_allclose(normalize_flow(flow), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32_and_rounds_once(dtype):
    flow = jnp.asarray(flow_of(*np.linspace(-25, 25, 101)), dtype)
    normalized = normalize_flow(flow)
    assert normalized.dtype == dtype
    exact = (np.clip(np.asarray(flow, np.float64), -20, 20) + 20) / 40 * 255
    np.testing.assert_array_equal(normalized, jnp.asarray(exact, dtype))


def test_float64_keeps_its_precision(float64):
    flow = flow_of(1 / 3, -7.1, dtype=np.float64)
    normalized = normalize_flow(flow)
    assert normalized.dtype == jnp.float64
    np.testing.assert_allclose(normalized, (flow + 20) / 40 * 255, rtol=1e-14)


@pytest.mark.parametrize("value", [3e38, -3e38, np.inf, -np.inf, 1e-40])
def test_any_flow_is_in_range(value):
    normalized, gradient = jax.value_and_grad(lambda flow: jnp.sum(normalize_flow(flow)))(
        flow_of(value)
    )
    np.testing.assert_allclose(normalized, 255, rtol=1e-6)  # x and y together
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("transform", ["jit", "vmap", "pmap", "checkpoint"])
def test_works_under_transformations(transform):
    flow = np.random.default_rng(1).normal(scale=15, size=(2, 3, 4, 2)).astype(np.float32)
    normalized = getattr(jax, transform)(lambda flow: normalize_flow(flow))(flow)
    expected = (np.clip(flow, -20, 20) + 20) / 40 * 255
    np.testing.assert_allclose(normalized, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(2,), (4, 2), (4, 5, 3)])
def test_what_is_no_flow_is_named(shape):
    # Without the type checks of the test suite, as for a user.
    with pytest.raises(ValueError, match="flow has shape .* \\(right, down\\)"):
        inspect.unwrap(normalize_flow)(np.zeros(shape, np.float32))


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_not_positive_is_named(bound):
    with pytest.raises(ValueError, match=f"bound is {bound}; pass a number of pixels above 0"):
        inspect.unwrap(normalize_flow)(np.zeros((4, 5, 2), np.float32), bound=bound)
