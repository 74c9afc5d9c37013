"""`ssim` and `ssim_loss`, compared with loops over patches and scikit-image."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from afn_jax.losses import ssim, ssim_loss
from tests import references

STATIC = ("window_size", "stride", "c1", "c2", "window", "edge")
SSIM = jax.jit(ssim, static_argnames=STATIC)
LOSS = jax.jit(jax.value_and_grad(ssim_loss, (0, 1)), static_argnames=STATIC)
OPTIONS = [(window, edge) for window in ("uniform", "gaussian") for edge in ("inside", "partial")]


def example(*shape):
    """Returns two similar images, whose covariance is not small."""
    image, noise = np.random.default_rng(0).random((2, *shape))
    return image, 0.7 * image + 0.3 * noise


@pytest.mark.parametrize("window, edge", OPTIONS)
@pytest.mark.parametrize("shape", [(9, 11, 2), (1, 1, 1), (1, 12, 3), (12, 1, 1)])
def test_values_match_loops(window, edge, shape, float64):
    pair = example(*shape)
    expected = references.ssim(*pair, window=window, edge=edge)
    np.testing.assert_allclose(SSIM(*pair, window=window, edge=edge), expected, rtol=1e-10)
    loss, _ = LOSS(*pair, window=window, edge=edge)
    np.testing.assert_allclose(loss, np.mean(1 - expected), rtol=1e-10)


@pytest.mark.parametrize("edge", ["inside", "partial"])
@pytest.mark.parametrize(
    "window_size, stride, window",
    [(3, 1, "gaussian"), (4, 3, "uniform"), (1, 1, "gaussian"), (30, 4, "gaussian")],
)
def test_other_windows_and_strides_match_loops(edge, window_size, stride, window, float64):
    pair = example(10, 13, 1)
    options = dict(window_size=window_size, stride=stride, window=window, edge=edge)
    np.testing.assert_allclose(SSIM(*pair, **options), references.ssim(*pair, **options), rtol=1e-9)


@pytest.mark.parametrize("c1, c2", [(0.01**2, 0.03**2), (2.0, 0.5)])
def test_values_match_scikit_image(c1, c2, float64):
    pair = example(12, 15, 2)
    _, expected = structural_similarity(
        *pair,
        full=True,
        win_size=7,
        channel_axis=-1,
        use_sample_covariance=False,
        data_range=1.0,
        K1=math.sqrt(c1),
        K2=math.sqrt(c2),
    )
    similarity = SSIM(*pair, window_size=7, stride=1, c1=c1, c2=c2)
    np.testing.assert_allclose(similarity, expected[3:-3, 3:-3], rtol=1e-9)


def test_float32_is_accurate():
    pair = [image.astype(np.float32) for image in example(9, 11, 2)]
    # Variances are differences of means of squares: rounding of 1e-7 compared with c2.
    np.testing.assert_allclose(SSIM(*pair), references.ssim(*example(9, 11, 2)), atol=2e-4)


@pytest.mark.parametrize(
    "side, inside, partial_edge", [(112, 14, 14), (56, 7, 7), (28, 3, 4), (14, 1, 2), (7, 1, 1)]
)
def test_number_of_patches(side, inside, partial_edge):
    image = jax.ShapeDtypeStruct((side, side, 3), jnp.float32)
    for edge, number in (("inside", inside), ("partial", partial_edge)):
        shape = jax.eval_shape(partial(ssim, edge=edge), image, image).shape
        assert shape == (number, number, 3)


@pytest.mark.parametrize("window, edge", OPTIONS)
def test_identical_images_have_similarity_one_and_zero_gradient(window, edge, float64):
    random = np.random.default_rng(0).random((50, 9, 11, 1))
    constants = np.linspace(0, 1, 50)[:, None, None, None] + 0 * random
    for image in (constants, constants + 1e-3 * random, random):
        single = image.astype(np.float32)
        np.testing.assert_allclose(SSIM(single, single, window=window, edge=edge), 1, atol=1e-6)
        loss, gradients = LOSS(image, image, window=window, edge=edge)
        np.testing.assert_allclose(loss, 0, atol=1e-12)
        np.testing.assert_allclose(gradients, 0, atol=1e-10)


def test_values_are_between_minus_one_and_one():
    random = np.random.default_rng(0)
    constants = np.linspace(-1, 1, 51)[:, None, None, None]
    noise = 1e-4 * random.normal(size=(2, 51, 16, 16, 1))
    for scale in (1.0, 255.0, 1e8):
        image1, image2 = (scale * constants * (1 + noise)).astype(np.float32)
        for other in (image1, image2, -image1, -image2):
            assert np.all(np.abs(SSIM(image1, other)) <= 1 + 1e-5)


def test_inverted_patches_have_similarity_minus_one():
    image = np.random.default_rng(0).random((8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(SSIM(image, 1 - image, c1=1e30, c2=1e-6), -1, atol=1e-3)
