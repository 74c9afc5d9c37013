"""The multi-scale endpoint error, against means of blocks and numbers worked out by hand."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import multiscale_endpoint_error


def example(*leading, dtype=np.float32):
    random = np.random.default_rng(0)
    sizes = [(8, 12), (4, 6), (2, 3)]
    flows = [random.normal(size=(*leading, *size, 2)).astype(dtype) for size in sizes]
    return flows, random.normal(size=(*leading, 8, 12, 2)).astype(dtype)


def test_constant_flow_by_hand():
    """Full size: distance of (3, 4) is 5. Half size: the target becomes (4, 2), distance 13."""
    target = np.broadcast_to(np.array([8.0, 4.0], np.float32), (4, 6, 2))
    flows = [target + np.array([3, 4], np.float32), np.zeros((2, 3, 2), np.float32) + [9, 14]]
    flows = [np.asarray(flow, np.float32) for flow in flows]
    loss = multiscale_endpoint_error(flows, target, weights=(0.5, 10.0))
    np.testing.assert_allclose(loss, 0.5 * 5 + 10 * 13, rtol=1e-6)


def test_height_and_width_scale_apart():
    target = np.broadcast_to(np.array([6.0, 6.0], np.float32), (4, 6, 2))
    flow = np.broadcast_to(np.array([2.0, 3.0], np.float32), (2, 2, 2))
    loss = multiscale_endpoint_error([flow], target, weights=[1.0])
    np.testing.assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_each_scale_is_a_mean_over_all_its_pixels(leading):
    flows, target = example(*leading)
    for index, flow in enumerate(flows):
        weights = [0.0, 0.0, 0.0]
        weights[index] = 2.0
        loss = multiscale_endpoint_error(flows, np.zeros_like(target), weights=weights)
        np.testing.assert_allclose(loss, 2 * np.hypot(flow[..., 0], flow[..., 1]).mean(), rtol=1e-5)


def test_a_scale_compares_with_the_interpolated_target():
    """Halving weighs four columns 1, 3, 3, 1; the first and last pixel lack one of them."""
    target = np.random.default_rng(1).normal(size=(2, 8, 2)).astype(np.float32)
    columns = target.mean(0)  # both rows weigh the same
    expected = np.zeros((1, 4, 2), np.float32)
    expected[0, 0] = (3 * columns[0] + 3 * columns[1] + columns[2]) / 7
    for new in (1, 2):
        expected[0, new] = [1, 3, 3, 1] @ columns[2 * new - 1 : 2 * new + 3] / 8
    expected[0, 3] = (columns[5] + 3 * columns[6] + 3 * columns[7]) / 7
    expected /= 2
    loss = multiscale_endpoint_error([expected], target, weights=[1.0])
    np.testing.assert_allclose(loss, 0, atol=1e-6)
    expected[0, 2] += [3, -4]
    loss = multiscale_endpoint_error([expected], target, weights=[1.0])
    np.testing.assert_allclose(loss, 5 / 4, rtol=1e-6)


def test_the_mask_takes_out_blocks():
    """Coarse pixels over anything unknown do not count; the rest is a mean of its own."""
    flows, target = example()
    mask = np.ones((8, 12), bool)
    mask[0, 0] = mask[5, 7] = False
    loss = multiscale_endpoint_error(
        flows, np.zeros_like(target), weights=(1.0, 10.0, 100.0), mask=mask
    )
    expected = 0
    for flow, factor, weight in zip(flows, (1, 2, 4), (1, 10, 100), strict=True):
        valid = mask.reshape(8 // factor, factor, 12 // factor, factor).all((1, 3))
        expected += weight * np.hypot(flow[..., 0], flow[..., 1])[valid].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("unknown", [0.0, 1e10, np.nan, np.inf])
@pytest.mark.parametrize("size", [(8, 12), (4, 6), (2, 3), (16, 24), (3, 5)])
def test_unknown_flow_does_not_leak_into_known_neighbours(unknown, size):
    """A constant motion stays that constant beside unknown flow, whatever that holds."""
    target = np.full((8, 12, 2), 8.0, np.float32)
    mask = np.ones((8, 12), bool)
    mask[:, :4] = mask[2, 9] = False
    target[~mask] = unknown
    flow = np.zeros((*size, 2), np.float32) + np.array([8 * size[1] / 12, 8 * size[0] / 8])
    flow = flow.astype(np.float32)

    def loss(flow):
        return multiscale_endpoint_error([flow], target, weights=[1.0], mask=mask)

    np.testing.assert_allclose(loss(flow), 0, atol=1e-5)
    np.testing.assert_allclose(loss(flow + 3), 3 * np.sqrt(2), rtol=1e-5)
    assert jnp.all(jnp.isfinite(jax.grad(loss)(flow)))


def test_a_mask_of_nothing_gives_zero():
    flows, target = example()
    mask = np.zeros((8, 12), bool)
    loss, gradients = jax.value_and_grad(
        lambda flows: multiscale_endpoint_error(flows, target, weights=(1.0, 1.0, 1.0), mask=mask)
    )(flows)
    assert loss == 0
    assert all(not np.any(gradient) for gradient in gradients)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_finite_differences(masked, float64):
    flows, target = example(dtype=np.float64)
    mask = np.random.default_rng(1).random((8, 12)) < 0.95 if masked else None
    check_grads(
        lambda flows, target: multiscale_endpoint_error(
            flows, target, weights=(1.0, 0.5, 2.0), mask=mask
        ),
        (flows, target),
        order=1,
        modes=("fwd", "rev"),
    )


def test_equal_flow_and_one_pixel_have_finite_gradients():
    flows = [np.zeros((1, 1, 2), np.float32), np.full((2, 2, 2), 4.0, np.float32)]
    target = np.zeros((1, 1, 2), np.float32)
    gradients = jax.grad(
        lambda flows: multiscale_endpoint_error(flows, target, weights=(1.0, 1.0))
    )(flows)
    np.testing.assert_array_equal(gradients[0], np.zeros((1, 1, 2)))
    np.testing.assert_allclose(np.hypot(*np.moveaxis(gradients[1], -1, 0)), 1 / 4, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_gives_float32(dtype):
    flows, target = example()
    low = [jnp.asarray(flow, dtype) for flow in flows]
    loss = multiscale_endpoint_error(low, jnp.asarray(target, dtype), weights=(1.0, 1.0, 1.0))
    assert loss.dtype == jnp.float32
    expected = multiscale_endpoint_error(flows, target, weights=(1.0, 1.0, 1.0))
    np.testing.assert_allclose(loss, expected, rtol=0.01)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(weights=(1.0, 2.0)), "flows has 3 scales and weights 2 values"),
        (dict(flows=[], weights=()), "flows has 0 scales"),
        (dict(mask=np.ones((8, 6), bool)), r"mask has shape \(8, 6\)"),
        (dict(target=np.zeros((2, 8, 12, 2), np.float32)), "same leading axes"),
    ],
)
def test_bad_input_is_named(change, message):
    flows, target = example()
    arguments = dict(flows=flows, target=target, weights=(1.0, 1.0, 1.0)) | change
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(multiscale_endpoint_error)(**arguments)
