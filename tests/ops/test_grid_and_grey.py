"""Pixel coordinates, against numpy's own indices; grey of colour, against its luma."""

import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import pixel_grid
from afn_jax.ops.grey import rgb_to_grey


@pytest.mark.parametrize("size", [(3, 5), (1, 1), (1, 4), (0, 2)])
def test_pixel_grid_is_column_then_row(size, float64):
    rows, columns = np.indices(size)
    grid = pixel_grid(*size)
    assert grid.dtype == jnp.float32
    assert pixel_grid(*size, dtype=jnp.float64).dtype == jnp.float64
    np.testing.assert_array_equal(grid, np.stack([columns, rows], axis=-1))


def test_grey_is_the_luma_and_one_channel_is_grey_already(float64):
    image = np.random.default_rng(0).random((2, 3, 4, 3))
    luma = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(rgb_to_grey(image)[..., 0], luma, rtol=1e-12)
    np.testing.assert_allclose(rgb_to_grey(np.full((1, 1, 3), 0.25)), 0.25)
    np.testing.assert_array_equal(rgb_to_grey(image[..., :1]), image[..., :1])
    with pytest.raises(ValueError, match=r"shape \(2, 3, 2\); its last axis must be 3 for RGB"):
        rgb_to_grey(np.zeros((2, 3, 2), np.float32))
