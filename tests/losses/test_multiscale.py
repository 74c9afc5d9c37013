"""The multi-scale endpoint error, compared with means of blocks and values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.losses import multiscale_endpoint_error

LOSS = jax.jit(multiscale_endpoint_error, static_argnames="weights")


def example(*leading):
    random = np.random.default_rng(0)
    sizes = [(8, 12), (4, 6), (2, 3)]
    flows = [random.normal(size=(*leading, *size, 2)) for size in sizes]
    return flows, random.normal(size=(*leading, 8, 12, 2))


def test_constant_flow_matches_values_computed_by_hand():
    """At full size the error is |(3, 4)| = 5; at half size the target is (4, 2) and it is 13."""
    target = np.broadcast_to(np.array([8.0, 4.0], np.float32), (4, 6, 2))
    flows = [target + np.array([3, 4], np.float32), np.zeros((2, 3, 2), np.float32) + [9, 14]]
    flows = [np.asarray(flow, np.float32) for flow in flows]
    loss = LOSS(flows, target, weights=(0.5, 10.0))
    np.testing.assert_allclose(loss, 0.5 * 5 + 10 * 13, rtol=1e-6)


def test_height_and_width_are_scaled_separately():
    target = np.broadcast_to(np.array([6.0, 6.0], np.float32), (4, 6, 2))
    flow = np.broadcast_to(np.array([2.0, 3.0], np.float32), (2, 2, 2))
    np.testing.assert_allclose(LOSS([flow], target, weights=(1.0,)), 0, atol=1e-6)


def test_each_scale_is_a_mean_over_all_its_pixels(float64):
    flows, target = example(2, 3)
    for index, flow in enumerate(flows):
        weights = tuple(2.0 * (index == scale) for scale in range(3))
        loss = LOSS(flows, np.zeros_like(target), weights=weights)
        expected = 2 * np.hypot(flow[..., 0], flow[..., 1]).mean()
        np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_each_scale_is_compared_with_the_interpolated_target(float64):
    """Halving weights four columns by 1, 3, 3, 1; one is missing at the first and last pixel."""
    target = np.random.default_rng(1).normal(size=(2, 8, 2))
    columns = target.mean(0)  # both rows have the same weight
    expected = np.zeros((1, 4, 2))
    expected[0, 0] = (3 * columns[0] + 3 * columns[1] + columns[2]) / 7
    for new in (1, 2):
        expected[0, new] = [1, 3, 3, 1] @ columns[2 * new - 1 : 2 * new + 3] / 8
    expected[0, 3] = (columns[5] + 3 * columns[6] + 3 * columns[7]) / 7
    expected /= 2
    np.testing.assert_allclose(LOSS([expected], target, weights=(1.0,)), 0, atol=1e-12)
    expected[0, 2] += [3, -4]
    np.testing.assert_allclose(LOSS([expected], target, weights=(1.0,)), 5 / 4, rtol=1e-12)


def test_coarse_pixels_with_masked_out_parts_do_not_count(float64):
    """The mean of each scale is over the coarse pixels whose whole block is known."""
    flows, target = example()
    mask = np.ones((8, 12), bool)
    mask[0, 0] = mask[5, 7] = False
    weights = (1.0, 10.0, 100.0)
    loss = LOSS(flows, np.zeros_like(target), weights=weights, mask=mask)
    expected = 0
    for flow, factor, weight in zip(flows, (1, 2, 4), weights, strict=True):
        valid = mask.reshape(8 // factor, factor, 12 // factor, factor).all((1, 3))
        expected += weight * np.hypot(flow[..., 0], flow[..., 1])[valid].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize("size", [(8, 12), (2, 3), (16, 24), (3, 5)])
def test_unknown_flow_does_not_leak_into_known_neighbors(size):
    """Constant motion stays constant next to unknown flow, whatever the unknown values are."""
    target = np.full((8, 12, 2), 8.0, np.float32)
    mask = np.ones((8, 12), bool)
    mask[:, :4] = mask[2, 9] = False
    flow = np.zeros((*size, 2), np.float32) + np.array([8 * size[1] / 12, 8 * size[0] / 8])
    flow = flow.astype(np.float32)
    differentiated = jax.jit(
        jax.value_and_grad(
            lambda flow, target: multiscale_endpoint_error([flow], target, weights=[1.0], mask=mask)
        )
    )
    for unknown in (0.0, 1e10, np.nan, np.inf):
        target[~mask] = unknown
        loss, gradient = differentiated(flow, target)
        np.testing.assert_allclose(loss, 0, atol=1e-5)
        assert jnp.all(jnp.isfinite(gradient))
        np.testing.assert_allclose(differentiated(flow + 3, target)[0], 3 * 2**0.5, rtol=1e-5)


def test_gradients_of_equal_flow_and_single_pixels_are_finite():
    flows = [np.zeros((1, 1, 2), np.float32), np.full((2, 2, 2), 4.0, np.float32)]
    gradients = jax.jit(jax.grad(multiscale_endpoint_error), static_argnames="weights")(
        flows, np.zeros((1, 1, 2), np.float32), weights=(1.0, 1.0)
    )
    np.testing.assert_array_equal(gradients[0], np.zeros((1, 1, 2)))
    np.testing.assert_allclose(np.hypot(*np.moveaxis(gradients[1], -1, 0)), 1 / 4, rtol=1e-6)
