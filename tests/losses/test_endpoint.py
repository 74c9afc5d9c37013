"""`endpoint_error` and `masked_mean`, compared with NumPy and values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.losses import endpoint_error, masked_mean

DIFFERENTIATED = jax.jit(
    jax.value_and_grad(lambda flow, target: jnp.sum(endpoint_error(flow, target)), argnums=(0, 1))
)


def test_is_the_distance_at_each_pixel(float64):
    flow, target = np.random.default_rng(0).normal(size=(2, 2, 4, 5, 2))
    expected = np.hypot(flow[..., 0] - target[..., 0], flow[..., 1] - target[..., 1])
    np.testing.assert_allclose(jax.jit(endpoint_error)(flow, target), expected, rtol=1e-12)


def test_error_of_three_and_four_is_five():
    flow, target = np.array([[[[1.0, 6.0]]], [[[-2.0, 2.0]]]], np.float32)
    np.testing.assert_allclose(endpoint_error(flow, target), [[5.0]])


def test_equal_flow_has_zero_error_and_zero_gradient():
    for value in (0.0, 1.0, -7.5, 1e10, 3e38):
        flow = jnp.full((1, 1, 2), value, jnp.float32)
        error, gradients = DIFFERENTIATED(flow, flow)
        assert error == 0 and not np.any(gradients)


def test_values_and_gradients_are_accurate_at_every_magnitude():
    for size in (3e-38, 1e-30, 1e-20, 1e-3, 1.0, 1e10, 1e20, 8e37, 2e38):
        flow = jnp.asarray([[[0.6 * size, -0.8 * size]]], jnp.float32)
        error, (gradient, _) = DIFFERENTIATED(flow, 0 * flow)
        np.testing.assert_allclose(error, size, rtol=1e-5)
        np.testing.assert_allclose(gradient, [[[0.6, -0.8]]], rtol=1e-5)
    for value in (1e-45, 1e-40, -1e-38):  # subnormal numbers
        flow = jnp.full((1, 1, 2), value, jnp.float32)
        error, (gradient, _) = DIFFERENTIATED(flow, 0 * flow)
        assert 0 <= error < 1e-37 and np.all(np.abs(gradient) <= 1)


def test_mixed_precision_computes_in_float32():
    # 300 squared overflows float16, and bfloat16 cannot represent 300.5.
    for dtype in (jnp.bfloat16, jnp.float16):
        flow = jnp.full((1, 1, 2), 300, dtype)
        error = endpoint_error(flow, jnp.full((1, 1, 2), -0.5, jnp.float32))
        np.testing.assert_allclose(error, 300.5 * np.sqrt(2), rtol=1e-6)


def test_masked_mean_averages_only_unmasked_values(float64):
    values = np.array([[1.0, 2.0], [4.0, np.nan]])
    mask = np.array([[True, False], [True, False]])
    mean, gradient = jax.value_and_grad(masked_mean)(values, mask)
    assert mean == 2.5 and masked_mean(values[0]) == 1.5
    np.testing.assert_allclose(gradient, mask / 2)


def test_masked_mean_of_low_precision_does_not_overflow():
    values = jnp.full((400, 400), 2.0, jnp.float16)  # sum: 320000, largest float16: 65504
    mean = masked_mean(values, jnp.ones(values.shape, bool))
    assert mean.dtype == jnp.float32 and mean == 2
