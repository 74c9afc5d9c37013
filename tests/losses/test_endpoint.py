"""`endpoint_error` and `masked_mean`, against numpy and hand-made numbers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import endpoint_error, masked_mean


def flows(*leading, dtype=np.float32):
    random = np.random.default_rng(0)
    return random.normal(size=(2, *leading, 4, 5, 2)).astype(dtype)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (0,)])
def test_it_is_the_distance_at_each_pixel(leading):
    flow, target = flows(*leading)
    expected = np.hypot(flow[..., 0] - target[..., 0], flow[..., 1] - target[..., 1])
    np.testing.assert_allclose(endpoint_error(flow, target), expected, rtol=1e-6)


def test_three_four_five():
    flow, target = np.array([[[[1.0, 6.0]]], [[[-2.0, 2.0]]]], np.float32)
    np.testing.assert_allclose(endpoint_error(flow, target), [[5.0]])


def test_gradients_are_those_of_finite_differences(float64):
    flow, target = flows(dtype=np.float64)
    check_grads(endpoint_error, (flow, target), order=2, modes=("fwd", "rev"))
    zero = np.zeros_like(target)
    check_grads(endpoint_error, (zero, target), order=2, modes=("fwd", "rev"))
    one_pixel = flow[:1, :1], target[:1, :1]
    check_grads(endpoint_error, one_pixel, order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("value", [0.0, 1.0, -7.5, 1e10, 3e38])
def test_equal_flow_has_zero_error_and_zero_gradient(value):
    flow = jnp.full((2, 3, 2), value, jnp.float32)
    np.testing.assert_array_equal(endpoint_error(flow, flow), np.zeros((2, 3)))
    for argnum in (0, 1):
        loss = jax.grad(lambda *args: jnp.sum(endpoint_error(*args)), argnums=argnum)
        np.testing.assert_array_equal(loss(flow, flow), np.zeros((2, 3, 2)))
    _, tangent = jax.jvp(endpoint_error, (flow, flow), (flow, 0 * flow))
    np.testing.assert_array_equal(tangent, np.zeros((2, 3)))


@pytest.mark.parametrize("size", [3e-38, 1e-30, 1e-20, 1e-3, 1.0, 1e10, 1e20, 8e37, 2e38])
@pytest.mark.parametrize("jit", [True, False])
def test_values_and_gradients_hold_at_every_size(size, jit):
    flow = jnp.asarray([[[0.6 * size, -0.8 * size]]], jnp.float32)
    function = jax.value_and_grad(lambda flow: jnp.sum(endpoint_error(flow, 0 * flow)))
    error, gradient = (jax.jit(function) if jit else function)(flow)
    np.testing.assert_allclose(error, size, rtol=1e-5)
    np.testing.assert_allclose(gradient, [[[0.6, -0.8]]], rtol=1e-5)


@pytest.mark.parametrize("value", [1e-45, 1e-40, -1e-38])
def test_numbers_below_the_normal_ones_stay_finite(value):
    flow = jnp.full((1, 1, 2), value, jnp.float32)
    error, gradient = jax.value_and_grad(lambda flow: jnp.sum(endpoint_error(flow, 0 * flow)))(flow)
    assert 0 <= error < 1e-37
    assert jnp.all(jnp.abs(gradient) <= 1)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    # 300 squared overflows float16, and bfloat16 has no 300.5.
    flow = jnp.full((1, 1, 2), 300, dtype)
    target = jnp.full((1, 1, 2), -0.5, jnp.float32)
    error = endpoint_error(flow, target)
    assert error.dtype == jnp.float32
    np.testing.assert_allclose(error, 300.5 * np.sqrt(2), rtol=1e-6)
    assert endpoint_error(flow, flow).dtype == jnp.float32


def test_float64_keeps_its_precision(float64):
    flow, target = flows(dtype=np.float64)
    error = endpoint_error(flow, target)
    assert error.dtype == jnp.float64
    np.testing.assert_allclose(error, np.linalg.norm(flow - target, axis=-1), rtol=1e-14)


def test_masked_mean_counts_what_is_true():
    values = np.array([[1.0, 2.0], [4.0, np.nan]], np.float32)
    mask = np.array([[True, False], [True, False]])
    assert masked_mean(values, mask) == 2.5
    assert masked_mean(values[0]) == 1.5


def test_masked_mean_of_nothing_is_zero_with_zero_gradient():
    values, mask = np.ones((2, 3), np.float32), np.zeros((2, 3), bool)
    mean, gradient = jax.value_and_grad(masked_mean)(values, mask)
    assert mean == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))
    assert masked_mean(np.zeros((0, 3), np.float32)) == 0


def test_masked_mean_gradients(float64):
    values = np.random.default_rng(0).normal(size=(3, 4))
    mask = values > 0
    check_grads(lambda values: masked_mean(values, mask), (values,), order=1)
    check_grads(masked_mean, (values,), order=1)
    np.testing.assert_allclose(jax.grad(masked_mean)(values, mask), mask / mask.sum())


def test_masked_mean_of_low_precision_does_not_overflow():
    values = jnp.full((400, 400), 2.0, jnp.float16)  # sums to 320000; float16 ends at 65504
    mean = masked_mean(values, jnp.ones(values.shape, bool))
    assert mean.dtype == jnp.float32 and mean == 2


def test_bad_input_is_named():
    flow = np.zeros((2, 3, 2), np.float32)
    for other in (flow[:1], np.zeros((2, 3, 3), np.float32)):
        with pytest.raises(ValueError, match="flow has shape .* and target .* resize_flow"):
            inspect.unwrap(endpoint_error)(flow, other)
    for mask in (np.ones((2, 2), bool), np.ones((2, 3), np.float32)):
        with pytest.raises(ValueError, match=r"mask has shape .* values have shape \(2, 3\)"):
            inspect.unwrap(masked_mean)(flow[..., 0], mask)
