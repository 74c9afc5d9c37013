"""`warp` and `warp_mask`, against loops over pixels and against `map_coordinates`."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates
from jax.test_util import check_grads

from afn_jax.ops import warp, warp_mask

PADDINGS = ("border", "zeros")
MODES = {"border": "nearest", "zeros": "constant"}


def warp_by_loops(image, flow, padding):
    """One image, pixel by pixel, corner by corner, in float64."""
    height, width, channels = image.shape
    warped = np.zeros((height, width, channels))
    for row in range(height):
        for column in range(width):
            x, y = column + float(flow[row, column, 0]), row + float(flow[row, column, 1])
            for corner_y in (math.floor(y), math.floor(y) + 1):
                for corner_x in (math.floor(x), math.floor(x) + 1):
                    weight = (1 - abs(y - corner_y)) * (1 - abs(x - corner_x))
                    inside = 0 <= corner_x < width and 0 <= corner_y < height
                    if inside or padding == "border":
                        nearest_y = min(max(corner_y, 0), height - 1)
                        nearest_x = min(max(corner_x, 0), width - 1)
                        warped[row, column] += weight * image[nearest_y, nearest_x]
    return warped


def warp_by_map_coordinates(image, flow, padding):
    """One image, channel by channel, by JAX's own interpolation."""
    height, width = image.shape[:2]
    x = jnp.arange(width, dtype=flow.dtype)[None, :] + flow[..., 0]
    y = jnp.arange(height, dtype=flow.dtype)[:, None] + flow[..., 1]
    channels = [
        map_coordinates(image[..., channel], [y, x], order=1, mode=MODES[padding])
        for channel in range(image.shape[2])
    ]
    return jnp.stack(channels, axis=-1)


def example(size, channels=2, scale=2.0, seed=0, dtype=np.float32):
    random = np.random.default_rng(seed)
    image = random.normal(size=(*size, channels))
    flow = scale * random.normal(size=(*size, 2))
    return image.astype(dtype), flow.astype(dtype)


def away_from_kinks(flow):
    """The same whole pixels, with fractions in [0.2, 0.8]: finite differences stay on one side."""
    return np.floor(flow) + 0.2 + 0.6 * (flow - np.floor(flow))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 4), (4, 1), (2, 2)])
@pytest.mark.parametrize("scale", [0.4, 3.0, 50.0])
def test_values_are_those_of_loops(padding, size, scale):
    image, flow = example(size, scale=scale)
    expected = warp_by_loops(image, flow, padding)
    np.testing.assert_allclose(warp(image, flow, padding=padding), expected, atol=1e-4)


@pytest.mark.parametrize("padding", PADDINGS)
def test_values_and_gradients_are_those_of_map_coordinates(padding, float64):
    image, flow = example((6, 5), scale=2.5, dtype=np.float64)
    flow[:2] = np.round(flow[:2])  # integer flow too: there the two must take the same side
    flow[2, :2] = 0
    weights = np.random.default_rng(1).normal(size=image.shape)

    def loss(function, image, flow):
        return jnp.sum(weights * function(image, flow, padding))

    def ours(image, flow, padding):
        return warp(image, flow, padding=padding)

    np.testing.assert_allclose(
        ours(image, flow, padding), warp_by_map_coordinates(image, flow, padding), atol=1e-12
    )
    gradients = jax.grad(loss, argnums=(1, 2))(ours, image, flow)
    expected = jax.grad(loss, argnums=(1, 2))(warp_by_map_coordinates, image, flow)
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(4, 5), (1, 1), (1, 3)])
def test_gradients_are_those_of_finite_differences(padding, size, float64):
    image, flow = example(size, dtype=np.float64)
    check_grads(
        lambda image, flow: warp(image, flow, padding=padding),
        (image, away_from_kinks(flow)),
        order=2,
        modes=("fwd", "rev"),
    )


def test_zero_flow_is_the_identity():
    image, flow = example((4, 6))
    for padding in PADDINGS:
        np.testing.assert_array_equal(warp(image, 0 * flow, padding=padding), image)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -1), (2, 1), (-3, 2)])
def test_integer_flow_on_a_ramp_has_the_slope_as_gradient(shift, float64):
    x_shift, y_shift = shift
    height, width = 9, 11
    rows, columns = np.indices((height, width))
    ramp = (3.0 * columns + 5.0 * rows)[..., None]
    flow = np.broadcast_to(np.array(shift, np.float64), (height, width, 2))
    gradient = np.asarray(jax.grad(lambda flow: jnp.sum(warp(ramp, flow)))(flow))

    # Exact wherever the pixel and its right and lower neighbour are in the image; flat beyond.
    x_inside = (columns + x_shift >= 0) & (columns + x_shift < width - 1)
    y_inside = (rows + y_shift >= 0) & (rows + y_shift < height - 1)
    np.testing.assert_allclose(gradient[..., 0], np.where(x_inside, 3, 0), atol=1e-12)
    np.testing.assert_allclose(gradient[..., 1], np.where(y_inside, 5, 0), atol=1e-12)


@pytest.mark.parametrize("shift", [(2, 1), (-1, 3), (-2, -2)])
def test_integer_flow_moves_whole_pixels(shift):
    image, _ = example((6, 7))
    x_shift, y_shift = shift
    flow = np.broadcast_to(np.array(shift, np.float32), (6, 7, 2))
    rows = np.clip(np.arange(6) + y_shift, 0, 5)
    columns = np.clip(np.arange(7) + x_shift, 0, 6)
    np.testing.assert_array_equal(warp(image, flow), image[rows][:, columns])


def test_a_constant_image_stays_constant_and_gives_no_gradient(float64):
    _, flow = example((5, 6), scale=4, dtype=np.float64)
    image = np.full((5, 6, 3), 0.7)
    np.testing.assert_allclose(warp(image, flow), image, atol=1e-15)
    gradient = jax.grad(lambda flow: jnp.sum(warp(image, flow)))(flow)
    np.testing.assert_allclose(gradient, 0, atol=1e-14)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,), (2, 0)])
def test_leading_axes_are_batches(leading):
    random = np.random.default_rng(2)
    image = random.normal(size=(*leading, 4, 5, 2)).astype(np.float32)
    flow = 2 * random.normal(size=(*leading, 4, 5, 2)).astype(np.float32)
    warped = warp(image, flow, padding="zeros")
    assert warped.shape == image.shape
    for index in np.ndindex(leading):
        expected = warp_by_loops(image[index], flow[index], "zeros")
        np.testing.assert_allclose(warped[index], expected, atol=1e-5)


@pytest.mark.parametrize("transform", ["jit", "vmap", "pmap", "checkpoint"])
def test_works_under_transformations(transform):
    examples = [example((4, 5), seed=seed) for seed in (0, 1)]
    images, flows = (np.stack(arrays) for arrays in zip(*examples, strict=True))
    transformed = getattr(jax, transform)(lambda image, flow: warp(image, flow))(images, flows)
    for image, flow, warped in zip(images, flows, transformed, strict=True):
        np.testing.assert_allclose(warped, warp_by_loops(image, flow, "border"), atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    # Neither dtype can hold every column of a wide map, so positions must not be rounded to it.
    image = jnp.arange(600, dtype=jnp.float32)[None, :, None].astype(dtype)
    for flow_dtype in (dtype, jnp.float32):
        flow = jnp.full((1, 600, 2), 0.5, flow_dtype)
        warped = warp(image, flow)
        assert warped.dtype == dtype
        expected = warp_by_loops(np.asarray(image, np.float64), np.asarray(flow), "border")
        np.testing.assert_array_equal(warped, jnp.asarray(expected, dtype))


def test_float64_keeps_its_precision(float64):
    image, flow = example((4, 5), dtype=np.float64)
    warped = warp(image, flow)
    assert warped.dtype == jnp.float64
    np.testing.assert_allclose(warped, warp_by_loops(image, flow, "border"), atol=1e-14)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-40, 1e-30, 4.0, 5e9, 1e10, -1e10, 3e38, -3e38])
def test_nasty_flow_stays_finite(padding, value):
    image, _ = example((4, 5))
    flow = jnp.full((4, 5, 2), value, jnp.float32)
    warped, gradients = jax.value_and_grad(
        lambda image, flow: jnp.sum(warp(image, flow, padding=padding)), argnums=(0, 1)
    )(image, flow)
    assert jnp.isfinite(warped)
    assert all(jnp.all(jnp.isfinite(gradient)) for gradient in gradients)
    if abs(value) > 100:
        far = warp(image, flow, padding=padding)
        corner = image[-1, -1] if value > 0 else image[0, 0]
        expected = corner if padding == "border" else 0 * corner
        np.testing.assert_allclose(far, np.broadcast_to(expected, far.shape), atol=1e-6)


@pytest.mark.parametrize("leading", [(), (2, 3)])
def test_warp_mask_is_true_where_the_sample_is_inside(leading):
    flow = np.random.default_rng(3).normal(scale=2, size=(*leading, 4, 5, 2)).astype(np.float32)
    rows, columns = np.indices((4, 5))
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    expected = (x >= 0) & (x <= 4) & (y >= 0) & (y <= 3)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(warp_mask(flow), expected)


def test_warp_mask_counts_the_outermost_centres_and_no_nan():
    flow = np.zeros((2, 3, 2), np.float32)
    assert warp_mask(flow).all()
    flow[0, 0, 0] = 2  # to the last column
    flow[0, 1, 0] = 1.001
    flow[1, 0, 1] = -1
    flow[1, 1] = np.nan
    flow[1, 2, 1] = 0.001
    expected = [[True, False, True], [True, False, False]]
    np.testing.assert_array_equal(warp_mask(flow), expected)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(padding="reflect"), 'padding is \'reflect\'; choose "border" or "zeros"'),
        (dict(image=np.zeros((4, 5, 3), np.uint8)), "image has dtype uint8; .* image / 255.0"),
        (dict(flow=np.zeros((4, 5, 3), np.float32)), r"flow has shape \(4, 5, 3\)"),
        (dict(flow=np.zeros((4, 6, 2), np.float32)), r"and flow \(4, 6, 2\)"),
        (dict(image=np.zeros((2, 4, 5, 3), np.float32)), "same leading axes"),
    ],
)
def test_bad_input_is_named(change, message):
    image = change.pop("image", np.zeros((4, 5, 3), np.float32))
    flow = change.pop("flow", np.zeros((4, 5, 2), np.float32))
    # Without the type checks of the test suite, as for a user.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(warp)(image, flow, **change)


def test_warp_mask_names_bad_input():
    with pytest.raises(ValueError, match=r"flow has shape \(4, 5\)"):
        inspect.unwrap(warp_mask)(np.zeros((4, 5), np.float32))
