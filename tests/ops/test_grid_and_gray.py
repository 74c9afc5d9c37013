"""The pixel grid, compared with NumPy's indices; grayscale, compared with the BT.601 luma."""

import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax import viz
from afn_jax.data.transforms.views import Views
from afn_jax.ops import grey, pixel_grid
from afn_jax.ops.gray import rgb_to_gray


@pytest.mark.parametrize("size", [(3, 5), (1, 1), (1, 4), (0, 2)])
def test_pixel_grid_is_column_then_row(size, float64):
    rows, columns = np.indices(size)
    grid = pixel_grid(*size)
    assert grid.dtype == jnp.float32
    assert pixel_grid(*size, dtype=jnp.float64).dtype == jnp.float64
    np.testing.assert_array_equal(grid, np.stack([columns, rows], axis=-1))


def test_gray_is_the_bt601_luma_and_gray_input_is_unchanged(float64):
    image = np.random.default_rng(0).random((2, 3, 4, 3))
    luma = image @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(rgb_to_gray(image)[..., 0], luma, rtol=1e-12)
    np.testing.assert_allclose(rgb_to_gray(np.full((1, 1, 3), 0.25)), 0.25)
    np.testing.assert_array_equal(rgb_to_gray(image[..., :1]), image[..., :1])
    with pytest.raises(ValueError, match=r"shape \(2, 3, 2\); its last axis must be 3 for RGB"):
        rgb_to_gray(np.zeros((2, 3, 2), np.float32))


def test_british_spellings_still_work():
    assert grey.rgb_to_grey is rgb_to_gray
    assert viz.heat_colours is viz.heat_colors
    assert Views(crops="centre") == Views(crops="center")
