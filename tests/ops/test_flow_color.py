"""The flow color wheel, compared with a pixel-by-pixel version of the published algorithm."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import flow_to_rgb

COLORS = jax.jit(flow_to_rgb, static_argnames="max_magnitude")


def wheel_by_counting():
    """Returns 55 RGB hues, 0..255, arc by arc as in Baker et al.'s makecolorwheel."""
    red_yellow, yellow_green, green_cyan, cyan_blue, blue_magenta, magenta_red = 15, 6, 4, 11, 13, 6
    wheel = []
    wheel += [(255, 255 * i / red_yellow, 0) for i in range(red_yellow)]
    wheel += [(255 - 255 * i / yellow_green, 255, 0) for i in range(yellow_green)]
    wheel += [(0, 255, 255 * i / green_cyan) for i in range(green_cyan)]
    wheel += [(0, 255 - 255 * i / cyan_blue, 255) for i in range(cyan_blue)]
    wheel += [(255 * i / blue_magenta, 0, 255) for i in range(blue_magenta)]
    wheel += [(255, 0, 255 - 255 * i / magenta_red) for i in range(magenta_red)]
    return wheel


def color_by_hand(x, y, max_magnitude):
    """Computes the RGB color of one pixel of float64 flow."""
    wheel = wheel_by_counting()
    radius = math.hypot(x, y) / max_magnitude
    position = (math.atan2(-y, -x) / math.pi + 1) / 2 * (len(wheel) - 1)
    lower = int(position)
    fraction = position - lower
    color = []
    for first, second in zip(wheel[lower], wheel[(lower + 1) % len(wheel)], strict=True):
        value = (1 - fraction) * first / 255 + fraction * second / 255
        value = 1 - radius * (1 - value) if radius <= 1 else 0.75 * value
        color.append(int(255 * value))
    return color


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("max_magnitude", [None, 2.0, 100.0])
def test_colors_match_the_published_wheel(max_magnitude, dtype):
    flow = jnp.asarray(np.random.default_rng(0).normal(scale=3, size=(2, 7, 6, 2)), dtype)
    image = np.asarray(COLORS(flow, max_magnitude=max_magnitude))
    flow = np.asarray(flow, np.float64)
    for index in range(2):
        longest = max_magnitude or np.hypot(flow[index, ..., 0], flow[index, ..., 1]).max()
        for pixel in np.ndindex(7, 6):
            expected = color_by_hand(*flow[index][pixel], longest * (1 + 1e-7))
            # Float32 and float64 may fall on different sides of an integer.
            np.testing.assert_allclose(image[index][pixel].astype(int), expected, atol=1)


@pytest.mark.parametrize(
    "direction, color",
    [((1, 0), (255, 0, 0)), ((0, 1), (255, 229, 0)), ((-1, 0), (0, 209, 255))]
    + [((1, -0.0), (255, 0, 0))],
)
def test_hues_of_directions(direction, color):
    """Right is hue 0, down 13.5 and left 27 of 54; y = -0.0 is to the right as well."""
    flow = jnp.asarray(direction, jnp.float32).reshape(1, 1, 2)
    np.testing.assert_allclose(COLORS(flow)[0, 0].astype(int), color, atol=1)


@pytest.mark.parametrize("max_magnitude", [None, 1.0])
def test_no_motion_is_white(max_magnitude):
    image = COLORS(np.zeros((3, 4, 2), np.float32), max_magnitude=max_magnitude)
    np.testing.assert_array_equal(image, np.full((3, 4, 3), 255))


def test_each_map_of_a_batch_is_scaled_by_its_largest_flow():
    flow = np.random.default_rng(1).normal(size=(1, 4, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(*COLORS(np.concatenate([flow, 8 * flow])))


def test_unknown_flow_is_black_and_does_not_affect_the_scale():
    flow = np.random.default_rng(1).normal(size=(4, 5, 2)).astype(np.float32)
    flow[3, 4] = 10, 0
    expected = np.array(COLORS(flow))
    for row, value in enumerate((np.nan, np.inf, 1.666666752e9)):
        flow[row, 1] = value, 0
        expected[row, 1] = 0
    np.testing.assert_array_equal(COLORS(flow), expected)
