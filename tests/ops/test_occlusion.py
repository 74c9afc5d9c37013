"""`visibility_mask`: forward-backward consistency, compared with loops and known scenes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import visibility_mask
from tests import references

VISIBLE = jax.jit(visibility_mask, static_argnames=("relative", "absolute"))


def uniform(x, y, size=(6, 8)):
    return np.broadcast_to(np.array([x, y], np.float32), (*size, 2)).copy()


@pytest.mark.parametrize("relative, absolute", [(0.01, 0.5), (0.2, 1e-3), (0.05, 2.0)])
def test_values_match_loops(relative, absolute):
    """The errors of the backward flow are near the threshold."""
    random = np.random.default_rng(0)
    forward = random.uniform(-2, 2, (2,)) + random.normal(scale=0.4, size=(4, 6, 8, 2))
    backward = -forward + random.normal(scale=0.5, size=forward.shape)
    forward, backward = forward.astype(np.float32), backward.astype(np.float32)
    visible = VISIBLE(forward, backward, relative=relative, absolute=absolute)
    rows, columns = np.indices((6, 8))
    for f, b, found in zip(forward.astype(float), backward.astype(float), visible, strict=True):
        back = references.warp(b, f)
        lengths = np.sum(f**2 + back**2, -1)
        expected = np.sum((f + back) ** 2, -1) < relative * lengths + absolute
        x, y = columns + f[..., 0], rows + f[..., 1]
        np.testing.assert_array_equal(found, expected & (x >= 0) & (x <= 7) & (y >= 0) & (y <= 5))
    assert 0.01 < np.mean(visible) < 0.99


@pytest.mark.parametrize("x, y", [(0, 0), (2, 0), (-3, 0), (0, 1), (1.5, -2), (20, 0)])
def test_translation_is_visible_except_where_it_leaves_the_image(x, y):
    rows, columns = np.indices((6, 8))
    inside = (columns + x >= 0) & (columns + x <= 7) & (rows + y >= 0) & (rows + y <= 5)
    np.testing.assert_array_equal(VISIBLE(uniform(x, y), uniform(-x, -y)), inside)


def test_background_covered_by_a_moving_square_is_occluded():
    # A square of 3 x 3 pixels moves three pixels to the right over a static background.
    forward, backward = uniform(0, 0), uniform(0, 0)
    forward[2:5, 1:4] = [3, 0]
    backward[2:5, 4:7] = [-3, 0]
    expected = np.ones((6, 8), bool)
    expected[2:5, 4:7] = False  # covered by the square in the second frame
    np.testing.assert_array_equal(VISIBLE(forward, backward), expected)
    # In the other direction, the uncovered background is not visible.
    expected = np.ones((6, 8), bool)
    expected[2:5, 1:4] = False
    np.testing.assert_array_equal(VISIBLE(backward, forward), expected)


def test_default_bounds_are_those_of_unflow():
    # At rest, errors up to sqrt(0.5) are allowed.
    still = uniform(0, 0)
    for error, allowed in ((0.70, True), (0.72, False)):
        assert np.all(VISIBLE(still, uniform(error, 0)) == allowed)
    # 3 + b, b = -3 + e: e^2 < 0.01 * (9 + (3 - e)^2) + 0.5 holds up to e = 0.799.
    for error, allowed in ((0.78, True), (0.80, False)):
        visible = VISIBLE(uniform(3, 0), uniform(-3 + error, 0))
        assert np.all(visible[:, :5] == allowed) and not np.any(visible[:, 5:])
    # An error equal to the bound is not visible: 1 < 1 is false.
    assert not np.any(VISIBLE(still, uniform(1, 0), relative=0.0, absolute=1.0))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
def test_maps_of_one_row_or_column(size):
    assert np.all(VISIBLE(uniform(0, 0, size), uniform(0, 0, size)))
    assert not np.any(VISIBLE(uniform(5, 5, size), uniform(-5, -5, size)))


@pytest.mark.parametrize("value", [1e10, -1e10, 3e38, -3e38, np.inf, np.nan])
def test_flow_far_outside_the_image_is_not_visible_and_does_not_affect_other_pixels(value):
    flow = uniform(value, 0)
    assert not np.any(VISIBLE(flow, -flow))
    backward = uniform(0, 0)
    backward[..., 1] = value
    assert not np.any(VISIBLE(uniform(0, 0), backward))
    forward = uniform(1, 0)
    forward[2, 3] = value
    expected = np.ones((6, 8), bool)
    expected[:, 7], expected[2, 3] = False, False
    np.testing.assert_array_equal(VISIBLE(forward, uniform(-1, 0)), expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_does_not_round_positions(dtype):
    # In half precision, column 2049 and its neighbor are the same number.
    odd = np.arange(3000)[None] % 2 == 1
    backward = jnp.asarray(np.where(odd[..., None], [5.0, 0.0], 0.0), dtype)
    np.testing.assert_array_equal(VISIBLE(jnp.zeros_like(backward), backward), ~odd)
