"""`cost_volume`, compared with loops over pixels and displacements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import cost_volume

VOLUME = jax.jit(cost_volume, static_argnames="max_displacement")


def volume_by_loops(features1, features2, reach):
    """Computes the volume of one pair of maps, pixel by pixel and displacement by displacement."""
    height, width, _ = features1.shape
    steps = range(-reach, reach + 1)
    volume = np.zeros((height, width, len(steps) ** 2))
    for y, x in np.ndindex(height, width):
        for channel, (dy, dx) in enumerate((dy, dx) for dy in steps for dx in steps):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                volume[y, x, channel] = np.mean(features1[y, x] * features2[y + dy, x + dx])
    return volume


def example(*shape):
    return np.random.default_rng(0).normal(size=(2, *shape))


@pytest.mark.parametrize(
    "size, reach",
    [((1, 1), 4), ((2, 1), 1), ((1, 5), 1), ((6, 4), 0), ((6, 4), 4)]
    # Wide maps are computed in blocks, whose borders must not be visible.
    + [((2, width), 2) for width in (31, 32, 33, 65, 130)],
)
def test_values_match_loops(size, reach, float64):
    features = example(*size, 3)
    volume = VOLUME(*features, max_displacement=reach)
    np.testing.assert_allclose(volume, volume_by_loops(*features, reach), atol=1e-12)


def test_default_reach_is_four_pixels_and_empty_maps_give_empty_volumes():
    features = example(3, 4, 1).astype(np.float32)
    np.testing.assert_array_equal(VOLUME(*features), VOLUME(*features, max_displacement=4))
    for size in ((0, 4), (4, 0)):
        assert cost_volume(*example(*size, 2).astype(np.float32)).shape == (*size, 81)


@pytest.mark.parametrize("dx, dy", [(0, 0), (1, 0), (-1, 0), (0, 1), (2, -1)])
def test_channels_are_displacements_in_row_major_order(dx, dy):
    # One bright pixel moves right by dx and down by dy.
    first, second = np.zeros((2, 7, 8, 1), np.float32)
    first[3, 4], second[3 + dy, 4 + dx] = 2, 3
    volume = np.array(VOLUME(first, second, max_displacement=2))
    assert volume[3, 4, (dy + 2) * 5 + (dx + 2)] == 6
    volume[3, 4, (dy + 2) * 5 + (dx + 2)] = 0
    np.testing.assert_array_equal(volume, 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_sums_in_float32(dtype):
    # Sums of ones stop growing at 256 in bfloat16 and at 2048 in float16, so means would be low.
    ones = jnp.ones((2, 3, 5000), dtype)
    np.testing.assert_array_equal(VOLUME(ones, ones, max_displacement=0).astype(float), 1)
    large = jnp.full((2, 3, 5000), 200, dtype)  # the sum of squares exceeds float16
    np.testing.assert_array_equal(
        VOLUME(large, large, max_displacement=0), jnp.full((2, 3, 1), 40000, dtype)
    )


def test_mixed_precision_gives_the_higher_precision():
    features1, features2 = example(3, 4, 2).astype(np.float32)
    volume = jax.eval_shape(cost_volume, features1.astype(jnp.bfloat16), features2)
    assert volume.dtype == jnp.float32


def test_gradient_of_a_cost_is_the_other_feature(float64):
    first, second = example(3, 4, 2)

    def cost(first, second):  # pixel (1, 1) with the pixel to the right and below
        return cost_volume(first, second, max_displacement=1)[1, 1, 8]

    gradients = jax.jit(jax.grad(cost, argnums=(0, 1)))(first, second)
    expected = np.zeros((2, 3, 4, 2))
    expected[0, 1, 1], expected[1, 2, 2] = second[2, 2] / 2, first[1, 1] / 2
    np.testing.assert_allclose(gradients, expected, atol=1e-12)
