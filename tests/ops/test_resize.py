"""Resizing of flow and masks, compared with triangle weights and footprints in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import resize_flow, resize_mask

RESIZE_FLOW = jax.jit(resize_flow, static_argnums=1)
RESIZE_MASK = jax.jit(resize_mask, static_argnums=1)


def triangle_weights(size, new_size):
    """Computes weights `[new_size, size]`: half-pixel centers, wider triangles when shrinking."""
    weights = np.zeros((new_size, size))
    step = size / new_size
    reach = max(step, 1)
    for new in range(new_size):
        center = (new + 0.5) * step
        for old in range(size):
            weights[new, old] = max(0, 1 - abs(old + 0.5 - center) / reach)
        weights[new] /= weights[new].sum()
    return weights


def resize_by_weights(flow, size):
    rows = triangle_weights(flow.shape[-3], size[0])
    columns = triangle_weights(flow.shape[-2], size[1])
    resized = np.einsum("nh,...hwc,mw->...nmc", rows, flow, columns)
    return resized * [size[1] / flow.shape[-2], size[0] / flow.shape[-3]]


@pytest.mark.parametrize("size", [(4, 6), (2, 3), (8, 12), (1, 1), (3, 5), (5, 4), (4, 3), (9, 6)])
def test_flow_is_resized_and_scaled(size, float64):
    flow = np.random.default_rng(0).normal(size=(2, 4, 6, 2))
    for maps in (flow, flow[:, :1, :1]):  # a single pixel is repeated
        np.testing.assert_allclose(
            RESIZE_FLOW(maps, size), resize_by_weights(maps, size), atol=1e-12
        )


def test_constant_flow_is_scaled_along_each_axis():
    flow = np.broadcast_to(np.array([3.0, 5.0], np.float32), (4, 6, 2))
    resized = RESIZE_FLOW(flow, (2, 18))  # half the height, three times the width
    np.testing.assert_allclose(resized, np.broadcast_to([9.0, 2.5], (2, 18, 2)), rtol=1e-6)
    np.testing.assert_array_equal(RESIZE_FLOW(flow, (4, 6)), flow)


@pytest.mark.parametrize("dtype, tolerance", [(jnp.bfloat16, 2**-8), (jnp.float16, 2**-11)])
def test_low_precision_rounds_once(dtype, tolerance):
    flow = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 2)), dtype)
    resized = np.asarray(RESIZE_FLOW(flow, (3, 4)), np.float64)
    expected = resize_by_weights(np.asarray(flow, np.float64), (3, 4))
    np.testing.assert_allclose(resized, expected, rtol=tolerance, atol=1e-6)


MASK = np.random.default_rng(1).random((3, 8, 12)) < 0.8


@pytest.mark.parametrize("factors", [(2, 3), (1, 2), (4, 1), (8, 12)])
def test_mask_shrunk_by_an_integer_factor_is_true_where_whole_blocks_are(factors):
    new_height, new_width = 8 // factors[0], 12 // factors[1]
    blocks = MASK.reshape(3, new_height, factors[0], new_width, factors[1])
    np.testing.assert_array_equal(RESIZE_MASK(MASK, (new_height, new_width)), blocks.all((2, 4)))


@pytest.mark.parametrize("size", [(3, 5), (5, 7), (1, 11)])
def test_mask_shrunk_by_another_factor_is_true_where_all_touched_pixels_are(size):
    expected = np.ones((3, *size), bool)
    for row, column in np.ndindex(size):
        top, bottom = row * 8 / size[0], (row + 1) * 8 / size[0]
        left, right = column * 12 / size[1], (column + 1) * 12 / size[1]
        # The epsilon excludes pixels that the area only shares an edge with.
        rows = slice(int(top + 1e-9), int(np.ceil(bottom - 1e-9)))
        columns = slice(int(left + 1e-9), int(np.ceil(right - 1e-9)))
        expected[:, row, column] = MASK[:, rows, columns].all((1, 2))
    np.testing.assert_array_equal(RESIZE_MASK(MASK, size), expected)


@pytest.mark.parametrize("size", [(8, 12), (16, 24), (20, 13)])
def test_enlarged_mask_is_true_where_all_interpolated_pixels_are(size):
    rows, columns = triangle_weights(8, size[0]) > 1e-9, triangle_weights(12, size[1]) > 1e-9
    expected = [[MASK[0][row][:, column].all() for column in columns] for row in rows]
    np.testing.assert_array_equal(RESIZE_MASK(MASK[0], size), expected)
