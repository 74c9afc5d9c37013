"""`warp` and `warp_mask`, compared with loops over pixels and `map_coordinates`."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates

from afn_jax.ops import warp, warp_mask
from afn_jax.ops.warp import IMPLEMENTATIONS
from tests import references

PADDINGS = ("border", "zeros")
MODES = {"border": "nearest", "zeros": "constant"}
both = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
WARP = jax.jit(warp, static_argnames=("padding", "implementation"))


def warp_by_map_coordinates(image, flow, padding):
    """Warps one image, channel by channel, with JAX's own interpolation."""
    height, width = image.shape[:2]
    x = jnp.arange(width, dtype=flow.dtype)[None, :] + flow[..., 0]
    y = jnp.arange(height, dtype=flow.dtype)[:, None] + flow[..., 1]
    channels = [
        map_coordinates(image[..., channel], [y, x], order=1, mode=MODES[padding])
        for channel in range(image.shape[2])
    ]
    return jnp.stack(channels, axis=-1)


def example(size, scale=2.0):
    random = np.random.default_rng(0)
    return random.normal(size=(*size, 2)), scale * random.normal(size=(*size, 2))


@both
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 4), (4, 1)])
def test_values_match_loops(implementation, padding, size, float64):
    for scale in (0.4, 3.0, 50.0):
        image, flow = example(size, scale)
        expected = references.warp(image, flow, padding)
        warped = WARP(image, flow, padding=padding, implementation=implementation)
        np.testing.assert_allclose(warped, expected, atol=1e-12)


@both
@pytest.mark.parametrize("padding", PADDINGS)
def test_values_and_gradients_match_map_coordinates(implementation, padding, float64):
    image, flow = example((6, 5), 2.5)
    flow[4, 2:] = [[9.0, -9.0], [2.0, -4.0], [1.0, 1.0]]  # outside, and at the outermost centers
    flow[:2] = np.round(flow[:2])  # at integer flow, both must take the same one-sided derivative
    flow[2, :2] = 0
    weights = np.random.default_rng(1).normal(size=image.shape)

    def value_and_gradients(function):
        def loss(image, flow):
            warped = function(image, flow, padding=padding)
            return jnp.sum(weights * warped), warped

        (_, warped), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(
            image, flow
        )
        return warped, gradients

    expected = value_and_gradients(warp_by_map_coordinates)
    actual = value_and_gradients(functools.partial(warp, implementation=implementation))
    chex.assert_trees_all_close(actual, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
def test_both_implementations_give_nan_for_an_unknown_flow_alone(padding):
    image, flow = (x.astype(np.float32) for x in example((2, 4, 5)))
    flow[1, 2, 3, 0], flow[0, 1, 1] = np.nan, np.nan
    first, second = (WARP(image, flow, padding=padding, implementation=i) for i in IMPLEMENTATIONS)
    np.testing.assert_array_equal(
        np.isnan(first), np.isnan(flow).any(-1, keepdims=True).repeat(2, -1)
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


@both
def test_gradient_of_integer_flow_on_a_ramp_is_the_slope(implementation, float64):
    rows, columns = np.indices((9, 11))
    ramp = (3.0 * columns + 5.0 * rows)[..., None]
    slope = jax.jit(jax.grad(lambda flow: jnp.sum(warp(ramp, flow, implementation=implementation))))
    for x_shift, y_shift in ((0, 0), (1, 0), (0, -1), (2, 1), (-3, 2)):
        flow = np.broadcast_to(np.array([x_shift, y_shift], np.float64), (9, 11, 2))
        gradient = np.asarray(slope(flow))
        # Exact where the pixel and its right and lower neighbors are inside the image, else 0.
        x_inside = (columns + x_shift >= 0) & (columns + x_shift < 10)
        y_inside = (rows + y_shift >= 0) & (rows + y_shift < 8)
        np.testing.assert_allclose(gradient[..., 0], np.where(x_inside, 3, 0), atol=1e-12)
        np.testing.assert_allclose(gradient[..., 1], np.where(y_inside, 5, 0), atol=1e-12)


def test_integer_flow_copies_pixels():
    image = example((6, 7))[0].astype(np.float32)
    for x_shift, y_shift in ((0, 0), (2, 1), (-1, 3), (-2, -2)):
        flow = np.broadcast_to(np.array([x_shift, y_shift], np.float32), (6, 7, 2))
        rows = np.clip(np.arange(6) + y_shift, 0, 5)
        columns = np.clip(np.arange(7) + x_shift, 0, 6)
        np.testing.assert_array_equal(WARP(image, flow), image[rows][:, columns])


def test_low_precision_does_not_round_positions():
    # Neither dtype can represent every column of a wide map.
    for dtype in (jnp.bfloat16, jnp.float16):
        image = jnp.arange(600, dtype=jnp.float32)[None, :, None].astype(dtype)
        flow = jnp.broadcast_to(jnp.asarray([0.5, 0.0], dtype), (1, 600, 2))
        expected = references.warp(np.asarray(image, np.float64), np.asarray(flow))
        np.testing.assert_array_equal(WARP(image, flow), jnp.asarray(expected, dtype))


@both
@pytest.mark.parametrize("padding", PADDINGS)
def test_flow_far_outside_reads_the_border_or_zeros(implementation, padding):
    image = example((4, 5))[0].astype(np.float32)
    for value in (5e9, 1e10, -1e10, 3e38, -3e38):
        flow = np.full((4, 5, 2), value, np.float32)
        warped = WARP(image, flow, padding=padding, implementation=implementation)
        corner = image[-1, -1] if value > 0 else image[0, 0]
        expected = np.broadcast_to(corner if padding == "border" else 0 * corner, warped.shape)
        np.testing.assert_allclose(warped, expected, atol=1e-6)


def test_warp_mask_is_true_where_samples_are_inside():
    flow = np.random.default_rng(3).normal(scale=2, size=(2, 3, 4, 5, 2)).astype(np.float32)
    rows, columns = np.indices((4, 5))
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    expected = (x >= 0) & (x <= 4) & (y >= 0) & (y <= 3)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(warp_mask(flow), expected)


def test_warp_mask_includes_the_outermost_centers_and_excludes_nan():
    flow = np.zeros((2, 3, 2), np.float32)
    assert warp_mask(flow).all()
    flow[0, 0, 0] = 2  # to the last column
    flow[0, 1, 0] = 1.001
    flow[1, 0, 1] = -1
    flow[1, 1] = np.nan
    flow[1, 2, 1] = 0.001
    np.testing.assert_array_equal(warp_mask(flow), [[True, False, True], [True, False, False]])
