"""`cost_volume`, against loops over pixels and displacements."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.ops import cost_volume


def volume_by_loops(features1, features2, reach):
    """One pair of maps, pixel by pixel, displacement by displacement, in float64."""
    features1, features2 = (np.asarray(x, np.float64) for x in (features1, features2))
    height, width, _ = features1.shape
    volume = np.zeros((height, width, (2 * reach + 1) ** 2))
    for y in range(height):
        for x in range(width):
            channel = 0
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        product = features1[y, x] * features2[y + dy, x + dx]
                        volume[y, x, channel] = np.mean(product)
                    channel += 1
    return volume


def example(*shape, seed=0, dtype=np.float32):
    features = np.random.default_rng(seed).normal(size=(2, *shape))
    return tuple(features.astype(dtype))


@pytest.mark.parametrize("reach", [0, 1, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 5), (3, 5), (6, 4)])
def test_values_are_those_of_loops(reach, size):
    features = example(*size, 3)
    volume = cost_volume(*features, max_displacement=reach)
    assert volume.shape == (*size, (2 * reach + 1) ** 2) and volume.dtype == jnp.float32
    np.testing.assert_allclose(volume, volume_by_loops(*features, reach), atol=1e-6)


@pytest.mark.parametrize("width", [63, 64, 65, 70, 128, 130])
def test_wide_maps_go_in_blocks_without_a_seam(width):
    features = example(2, width, 2)
    volume = cost_volume(*features, max_displacement=2)
    np.testing.assert_allclose(volume, volume_by_loops(*features, 2), atol=1e-6)


def test_the_default_reach_is_four_pixels():
    features = example(3, 4, 1)
    np.testing.assert_array_equal(
        cost_volume(*features), cost_volume(*features, max_displacement=4)
    )
    assert cost_volume(*features).shape == (3, 4, 81)


@pytest.mark.parametrize("dx, dy", [(0, 0), (1, 0), (-1, 0), (0, 1), (2, -1)])
def test_channels_go_row_by_row_through_the_square(dx, dy):
    # One bright pixel that moves right by dx and down by dy.
    first, second = np.zeros((2, 7, 8, 1), np.float32)
    first[3, 4], second[3 + dy, 4 + dx] = 2, 3
    volume = np.array(cost_volume(first, second, max_displacement=2))
    assert volume[3, 4, (dy + 2) * 5 + (dx + 2)] == 6
    volume[3, 4, (dy + 2) * 5 + (dx + 2)] = 0
    np.testing.assert_array_equal(volume, 0)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (0,), (2, 0)])
def test_leading_axes_are_batches(leading):
    features = example(*leading, 3, 4, 2)
    volume = cost_volume(*features, max_displacement=1)
    assert volume.shape == (*leading, 3, 4, 9)
    for index in np.ndindex(leading):
        expected = volume_by_loops(features[0][index], features[1][index], 1)
        np.testing.assert_allclose(volume[index], expected, atol=1e-6)


def test_no_pixels_give_an_empty_volume():
    for size in ((0, 4), (4, 0)):
        assert cost_volume(*example(*size, 2), max_displacement=1).shape == (*size, 9)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_sums_in_float32(dtype):
    # In bfloat16 a sum stops growing at 256, in float16 at 2048: the mean would come out too small.
    ones = jnp.ones((2, 3, 5000), dtype)
    volume = cost_volume(ones, ones, max_displacement=0)
    assert volume.dtype == dtype
    np.testing.assert_array_equal(np.asarray(volume, np.float32), 1)
    features = tuple(jnp.asarray(x, dtype) for x in example(3, 4, 64))
    volume = cost_volume(*features, max_displacement=1)
    expected = volume_by_loops(*(np.asarray(x, np.float64) for x in features), 1)
    # One rounding, at the end.
    tolerance = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(
        np.asarray(volume, np.float64), expected, rtol=tolerance, atol=tolerance / 100
    )


def test_float16_does_not_overflow_in_the_sum():
    large = jnp.full((2, 2, 16), 200, jnp.float16)  # the sum of squares is 640000
    np.testing.assert_array_equal(cost_volume(large, large, max_displacement=0), 40000)


def test_mixed_precision_gives_the_better_one():
    features1, features2 = example(3, 4, 2)
    volume = cost_volume(jnp.asarray(features1, jnp.bfloat16), features2, max_displacement=1)
    assert volume.dtype == jnp.float32


def test_float64_keeps_its_precision(float64):
    features = example(4, 5, 3, dtype=np.float64)
    volume = cost_volume(*features, max_displacement=2)
    assert volume.dtype == jnp.float64
    np.testing.assert_allclose(volume, volume_by_loops(*features, 2), atol=1e-15)


@pytest.mark.parametrize("size, reach", [((3, 4), 1), ((1, 1), 1), ((1, 66), 1), ((2, 3), 0)])
def test_gradients_are_those_of_finite_differences(size, reach, float64):
    function = jax.jit(lambda a, b: cost_volume(a, b, max_displacement=reach))
    check_grads(function, example(*size, 2, dtype=np.float64), order=2, modes=("fwd", "rev"))


def test_gradient_of_one_cost_is_the_other_feature():
    first, second = example(3, 4, 2)

    def cost(first, second):  # pixel (1, 1) with the pixel to the right and below
        return cost_volume(first, second, max_displacement=1)[1, 1, 8]

    gradients = jax.grad(cost, argnums=(0, 1))(first, second)
    expected = np.zeros((2, 3, 4, 2))
    expected[0, 1, 1], expected[1, 2, 2] = second[2, 2] / 2, first[1, 1] / 2
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


@pytest.mark.parametrize("transform", ["jit", "vmap", "pmap", "checkpoint"])
def test_works_under_transformations(transform):
    features = example(2, 3, 4, 2)
    volumes = getattr(jax, transform)(lambda a, b: cost_volume(a, b, max_displacement=1))(*features)
    for first, second, volume in zip(*features, volumes, strict=True):
        np.testing.assert_allclose(volume, volume_by_loops(first, second, 1), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e18, -1e18])
def test_large_and_small_features_stay_finite(value):
    features = tuple(value * x for x in example(3, 4, 2))
    volume, gradients = jax.value_and_grad(
        lambda a, b: jnp.sum(cost_volume(a, b, max_displacement=1)), argnums=(0, 1)
    )(*features)
    assert np.isfinite(volume) and all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(features2=np.zeros((4, 6, 3), np.float32)), r"and features2 \(4, 6, 3\)"),
        (dict(features2=np.zeros((4, 5, 2), np.float32)), r"and features2 \(4, 5, 2\)"),
        (dict(features1=np.zeros((2, 4, 5, 3), np.float32)), "both must be the same"),
        (dict(features1=np.zeros((4, 5, 3), np.uint8)), "features1 has dtype uint8; .* be float"),
        (dict(features2=np.zeros((4, 5, 3), np.int32)), "features2 has dtype int32; .* be float"),
        (dict(max_displacement=-1), "max_displacement is -1; pass 0 or more, in pixels"),
    ],
)
def test_bad_input_is_named(change, message):
    features = [change.pop(f"features{i}", np.zeros((4, 5, 3), np.float32)) for i in (1, 2)]
    # Without the type checks of the test suite, as for a user.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(cost_volume)(*features, **change)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 0)])
def test_features_without_channels_are_named(shape):
    features = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match="with one channel or more"):
        inspect.unwrap(cost_volume)(features, features)
