"""Pixel coordinates, against numpy's own indices."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import pixel_grid


@pytest.mark.parametrize("size", [(3, 5), (1, 1), (1, 4), (0, 2)])
def test_pixel_grid_is_column_then_row(size):
    rows, columns = np.indices(size)
    grid = pixel_grid(*size)
    assert grid.dtype == jnp.float32
    np.testing.assert_array_equal(grid, np.stack([columns, rows], axis=-1))


def test_pixel_grid_takes_a_dtype(float64):
    assert pixel_grid(2, 3, dtype=jnp.float64).dtype == jnp.float64


def test_pixel_grid_refuses_negative_sizes():
    with pytest.raises(ValueError, match="height and width are -1 and 3"):
        inspect.unwrap(pixel_grid)(-1, 3)
