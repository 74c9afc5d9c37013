"""`census_loss`, against loops over pixels and patches."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import census_loss

SHAPES = [(6, 7, 3), (5, 4, 1), (7, 7, 3), (1, 1, 3), (1, 9, 1), (9, 1, 3), (3, 3, 1), (2, 5, 1)]
LOSS = {size: jax.jit(partial(census_loss, patch_size=size)) for size in (1, 3, 5, 7)}
DIFFERENTIATED = {
    size: jax.jit(jax.value_and_grad(partial(census_loss, patch_size=size), argnums=(0, 1)))
    for size in LOSS
}


def example(shape, dtype=np.float32, seed=0, contrast=1.0):
    images = 0.5 + contrast * (np.random.default_rng(seed).random((2, *shape)) - 0.5)
    return images.astype(dtype)


def grey(pixel):
    if len(pixel) == 1:
        return 255 * float(pixel[0])
    return 255 * sum(float(x) * w for x, w in zip(pixel, (0.299, 0.587, 0.114), strict=True))


def code(image, row, column, reach):
    """What one pixel sees around it: soft signs of neighbour minus centre."""
    values = []
    for y in range(row - reach, row + reach + 1):
        for x in range(column - reach, column + reach + 1):
            difference = grey(image[y, x]) - grey(image[row, column])
            values.append(difference / np.sqrt(0.81 + difference**2))
    return np.array(values)


def census_by_loops(image1, image2, patch_size=3, mask=None):
    """One pair of images: the mean over pixels of the mean over the patch."""
    reach = patch_size // 2
    distances = []
    for row in range(reach, image1.shape[0] - reach):
        for column in range(reach, image1.shape[1] - reach):
            if mask is None or mask[row, column]:
                codes = (code(image, row, column, reach) for image in (image1, image2))
                squared = np.subtract(*codes) ** 2
                distances.append(np.mean(squared / (0.1 + squared)))
    return np.mean(distances) if distances else 0.0


@pytest.mark.parametrize("patch_size", sorted(LOSS))
@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_those_of_loops(patch_size, shape):
    # A low contrast, at which the soft signs are not all 1 yet.
    for contrast in (1.0, 0.01):
        image1, image2 = example(shape, contrast=contrast)
        expected = census_by_loops(image1, image2, patch_size)
        loss = LOSS[patch_size](image1, image2)
        np.testing.assert_allclose(loss, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("patch_size", [3, 5, 7])
def test_a_mask_takes_out_centres(patch_size):
    image1, image2 = example((9, 8, 3), contrast=0.02)
    mask = np.random.default_rng(1).random((9, 8)) < 0.5
    expected = census_by_loops(image1, image2, patch_size, mask)
    assert expected > 0
    loss = LOSS[patch_size](image1, image2, mask=mask)
    np.testing.assert_allclose(loss, expected, rtol=1e-3)


def test_the_default_patch_is_three_pixels_wide():
    image1, image2 = example((6, 7, 3))
    np.testing.assert_allclose(census_loss(image1, image2), LOSS[3](image1, image2), rtol=1e-6)


def test_numbers_by_hand():
    """A centre brighter by 1.2 than its 8 neighbours has t = -1.2 / 1.5, against 0 in the other."""
    image1 = np.zeros((3, 3, 1), np.float32)
    image1[1, 1] = 1.2 / 255
    loss = census_loss(image1, np.zeros_like(image1))
    np.testing.assert_allclose(loss, 8 / 9 * 0.64 / 0.74, rtol=1e-5)


@pytest.mark.parametrize("patch_size", [3, 5, 7])
def test_a_constant_brightness_changes_nothing(patch_size, float64):
    image1, image2 = example((8, 9, 3), np.float64, contrast=0.1)
    loss = LOSS[patch_size](image1, image2)
    for brightness in (0.2, -0.3):
        for pair in ((image1 + brightness, image2), (image1, image2 + brightness)):
            np.testing.assert_allclose(LOSS[patch_size](*pair), loss, rtol=1e-9)


def test_it_is_symmetric_and_below_one():
    image1, image2 = example((8, 9, 3))
    loss = LOSS[3](image1, image2)
    np.testing.assert_allclose(loss, LOSS[3](image2, image1), rtol=1e-6)
    assert 0 < loss < 1


@pytest.mark.parametrize("shape", [(6, 7, 3), (3, 3, 1), (1, 1, 3), (1, 9, 1)])
def test_identical_images_give_zero_and_no_gradient(shape):
    for image in (example(shape)[0], np.full(shape, 0.7, np.float32)):
        loss, gradients = DIFFERENTIATED[3](image, image)
        assert loss == 0
        assert not np.any(gradients)


def test_constant_images_give_zero_and_no_gradient(float64):
    for values in ((0.7, 0.0), (1.0, 0.3)):
        image1, image2 = (np.full((6, 7, 3), value) for value in values)
        loss, gradients = DIFFERENTIATED[3](image1, image2)
        np.testing.assert_allclose(loss, 0, atol=1e-15)
        np.testing.assert_allclose(gradients, 0, atol=1e-9)


@pytest.mark.parametrize("left_out", [1e9, -3e38])
def test_what_no_counting_pixel_sees_has_no_influence(left_out):
    image1, image2 = example((9, 9, 3), contrast=0.02)
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:5] = True
    expected = census_by_loops(image1, image2, mask=mask)
    seen = np.zeros((9, 9), bool)
    seen[1:6, 2:6] = True  # and one pixel around it
    image1[~seen], image2[~seen] = left_out, -left_out
    loss, gradients = DIFFERENTIATED[3](image1, image2, mask=mask)
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
    for gradient in gradients:
        assert not np.any(gradient[~seen])
        assert np.all(gradient[seen] != 0)


def test_a_mask_of_nothing_gives_zero():
    image1, image2 = example((6, 7, 3))
    edge = np.ones((6, 7), bool)
    edge[1:-1, 1:-1] = False
    for mask in (np.zeros((6, 7), bool), edge):
        loss, gradients = DIFFERENTIATED[3](image1, image2, mask=mask)
        assert loss == 0
        assert not np.any(gradients)


def test_gradients_are_those_of_finite_differences(float64):
    image1, image2 = example((4, 5, 1), np.float64, contrast=0.02)
    mask = np.random.default_rng(1).random((4, 5)) < 0.6

    # In units of grey, so that a finite difference is small beside the soft sign.
    def loss(grey1, grey2, mask=None):
        return census_loss(grey1 / 255, grey2 / 255, mask=mask)

    images = 255 * image1, 255 * image2
    for function in (loss, lambda *images: loss(*images, mask=mask)):
        check_grads(jax.jit(function), images, order=1, modes=("fwd", "rev"))
    small = images[0][:3, :3], images[1][:3, :3]
    slope = jax.jit(jax.grad(loss))
    check_grads(lambda image: slope(image, small[1]), small[:1], order=1, modes=("fwd", "rev"))


@pytest.mark.parametrize("leading", [(3,), (2, 2), (0,)])
def test_leading_axes_are_one_mean(leading):
    image1, image2 = example((*leading, 5, 6, 3), contrast=0.05)
    losses = [census_by_loops(image1[index], image2[index]) for index in np.ndindex(leading)]
    loss = LOSS[3](image1, image2)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, np.mean(losses) if losses else 0, rtol=1e-3)


def test_without_jit_it_is_the_same():
    image1, image2 = example((2, 5, 6, 3))
    mask = np.random.default_rng(1).random((2, 5, 6)) < 0.6
    loss = census_loss(image1, image2, mask=mask)
    np.testing.assert_allclose(loss, LOSS[3](image1, image2, mask=mask), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    image1, image2 = (jnp.asarray(image, dtype) for image in example((6, 7, 3), contrast=0.1))
    loss = LOSS[3](image1, image2)
    assert loss.dtype == jnp.float32
    expected = census_by_loops(np.asarray(image1, np.float64), np.asarray(image2, np.float64))
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
    assert LOSS[7](image1[:1], image2[:1]).dtype == jnp.float32


def test_float64_keeps_its_precision(float64):
    image1, image2 = example((6, 7, 3), np.float64)
    loss = LOSS[3](image1, image2)
    assert loss.dtype == jnp.float64
    np.testing.assert_allclose(loss, census_by_loops(image1, image2), rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e4, 1e8, 3e38, -3e38])
def test_nasty_images_stay_finite(value):
    image, _ = example((5, 6, 3))
    nasty = np.full_like(image, value)
    mixed = np.resize(np.array([value, 0, -value, 0.5], np.float32), image.shape)
    for pair in ((image, nasty), (nasty, -nasty), (mixed, image), (mixed, nasty), (mixed, -mixed)):
        loss, gradients = DIFFERENTIATED[3](*pair)
        assert 0 <= loss <= 1
        assert all(jnp.all(jnp.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(image1=np.zeros((4, 6, 3), np.float32)), r"shapes \(4, 6, 3\) and \(4, 5, 3\)"),
        (dict(image1=np.zeros((4, 5, 3), np.uint8)), "image1? has dtype uint8; .* / 255.0"),
        (dict(mask=np.ones((4, 6), bool)), r"mask has shape \(4, 6\)"),
        (dict(mask=np.ones((4, 5), np.int32)), r"dtype int32; it must be \(4, 5\) of bool"),
        (dict(patch_size=4), "patch_size is 4; pass an odd number"),
        (dict(patch_size=0), "patch_size is 0"),
        (dict(patch_size=-1), "patch_size is -1"),
    ],
)
def test_bad_input_is_named(change, message):
    image = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(census_loss)(**(dict(image1=image, image2=image) | change))


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_channels_that_are_no_colour_are_refused(channels):
    image = np.zeros((4, 5, channels), np.float32)
    with pytest.raises(ValueError, match=f"the images have {channels} channels; .* pass 1 or 3"):
        census_loss(image, image)
