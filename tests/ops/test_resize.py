"""Resizing flow and masks, against triangle weights and footprints written out in numpy."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.ops import resize_flow, resize_mask

SIZES = [(4, 6), (2, 3), (8, 12), (1, 1), (3, 5), (5, 4), (4, 3), (9, 6)]


def triangle_weights(size, new_size):
    """`[new_size, size]`: half-pixel centres, a triangle that widens when shrinking."""
    weights = np.zeros((new_size, size))
    step = size / new_size
    reach = max(step, 1)
    for new in range(new_size):
        centre = (new + 0.5) * step
        for old in range(size):
            weights[new, old] = max(0, 1 - abs(old + 0.5 - centre) / reach)
        weights[new] /= weights[new].sum()
    return weights


def resize_by_weights(flow, size):
    rows = triangle_weights(flow.shape[-3], size[0])
    columns = triangle_weights(flow.shape[-2], size[1])
    resized = np.einsum("nh,...hwc,mw->...nmc", rows, flow, columns)
    return resized * [size[1] / flow.shape[-2], size[0] / flow.shape[-3]]


def random_flow(*leading, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(*leading, 4, 6, 2)).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_flow_is_resized_and_scaled(size, leading):
    flow = random_flow(*leading)
    np.testing.assert_allclose(resize_flow(flow, size), resize_by_weights(flow, size), atol=1e-5)


def test_a_constant_flow_is_scaled_along_each_axis():
    flow = np.broadcast_to(np.array([3.0, 5.0], np.float32), (4, 6, 2))
    resized = resize_flow(flow, (2, 18))  # half the height, three times the width
    np.testing.assert_allclose(resized, np.broadcast_to([9.0, 2.5], (2, 18, 2)), rtol=1e-6)


def test_the_same_size_changes_nothing():
    flow = random_flow()
    np.testing.assert_array_equal(resize_flow(flow, (4, 6)), flow)


@pytest.mark.parametrize("size", [(2, 3), (7, 5), (1, 1)])
@pytest.mark.parametrize("make", [np.zeros_like, np.ones_like, lambda flow: flow])
def test_gradients_are_those_of_finite_differences(size, make, float64):
    flow = make(random_flow(dtype=np.float64))
    check_grads(lambda flow: resize_flow(flow, size), (flow,), order=1, modes=("fwd", "rev"))


def test_a_map_of_one_pixel_spreads(float64):
    flow = np.array([[[2.0, -1.0]]])
    expected = np.broadcast_to([8.0, -3.0], (3, 4, 2))
    np.testing.assert_allclose(resize_flow(flow, (3, 4)), expected)
    check_grads(lambda flow: resize_flow(flow, (3, 4)), (flow,), order=1, modes=("fwd", "rev"))


@pytest.mark.parametrize("dtype, tolerance", [(jnp.bfloat16, 2**-8), (jnp.float16, 2**-11)])
def test_low_precision_rounds_once(dtype, tolerance):
    flow = jnp.asarray(random_flow(), dtype)
    resized = resize_flow(flow, (3, 4))
    assert resized.dtype == dtype
    expected = resize_by_weights(np.asarray(flow, np.float64), (3, 4))
    np.testing.assert_allclose(np.asarray(resized, np.float64), expected, rtol=tolerance, atol=1e-6)


def test_float64_keeps_its_precision(float64):
    flow = random_flow(dtype=np.float64)
    resized = resize_flow(flow, (3, 4))
    assert resized.dtype == jnp.float64
    np.testing.assert_allclose(resized, resize_by_weights(flow, (3, 4)), atol=1e-12)


def random_mask(*shape):
    return np.random.default_rng(1).random(shape) < 0.8


@pytest.mark.parametrize("factors", [(2, 3), (1, 2), (4, 1), (8, 12)])
def test_a_whole_factor_takes_the_minimum_of_each_block(factors):
    mask = random_mask(3, 8, 12)
    new_height, new_width = 8 // factors[0], 12 // factors[1]
    blocks = mask.reshape(3, new_height, factors[0], new_width, factors[1])
    np.testing.assert_array_equal(resize_mask(mask, (new_height, new_width)), blocks.all((2, 4)))


@pytest.mark.parametrize("size", [(3, 5), (5, 7), (1, 11)])
def test_any_other_factor_asks_for_all_that_the_area_touches(size):
    mask = random_mask(8, 12)
    expected = np.ones(size, bool)
    for row in range(size[0]):
        for column in range(size[1]):
            top, bottom = row * 8 / size[0], (row + 1) * 8 / size[0]
            left, right = column * 12 / size[1], (column + 1) * 12 / size[1]
            # The epsilon: an area that ends on a pixel's edge does not touch it.
            touched = mask[
                int(top + 1e-9) : int(np.ceil(bottom - 1e-9)),
                int(left + 1e-9) : int(np.ceil(right - 1e-9)),
            ]
            expected[row, column] = touched.all()
    np.testing.assert_array_equal(resize_mask(mask, size), expected)


@pytest.mark.parametrize("size", [(8, 12), (16, 24), (20, 13)])
def test_growing_asks_for_all_that_interpolation_mixes(size):
    mask = random_mask(8, 12)
    rows, columns = triangle_weights(8, size[0]) > 1e-9, triangle_weights(12, size[1]) > 1e-9
    expected = np.array([[mask[row][:, column].all() for column in columns] for row in rows])
    np.testing.assert_array_equal(resize_mask(mask, size), expected)


def test_resize_mask_takes_leading_axes_and_jit():
    mask = random_mask(2, 3, 4, 6)
    resized = jax.jit(lambda mask: resize_mask(mask, (2, 2)))(mask)
    expected = mask.reshape(2, 3, 2, 2, 2, 3).all((3, 5))
    assert resized.dtype == jnp.bool_
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("size", [(0, 3), (2, -1)])
def test_bad_sizes_are_named(size):
    with pytest.raises(ValueError, match="size is .* pass"):
        inspect.unwrap(resize_flow)(random_flow(), size)
    with pytest.raises(ValueError, match="size is .* pass"):
        inspect.unwrap(resize_mask)(random_mask(4, 6), size)


def test_bad_maps_are_named():
    with pytest.raises(ValueError, match=r"flow has shape \(4, 6, 3\)"):
        inspect.unwrap(resize_flow)(np.zeros((4, 6, 3), np.float32), (2, 3))
    with pytest.raises(ValueError, match="the map to resize is"):
        inspect.unwrap(resize_flow)(np.zeros((0, 6, 2), np.float32), (2, 3))
    with pytest.raises(ValueError, match="dtype float32.* mask > 0"):
        inspect.unwrap(resize_mask)(np.ones((4, 6), np.float32), (2, 3))
