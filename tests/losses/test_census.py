"""`census_loss`, compared with loops over pixels and patches."""

import jax
import numpy as np
import pytest

from afn_jax.losses import census_loss
from tests import references

LOSS = jax.jit(census_loss, static_argnames="patch_size")
DIFFERENTIATED = jax.jit(jax.value_and_grad(census_loss, argnums=(0, 1)))


def example(*shape, contrast=1.0):
    return 0.5 + contrast * (np.random.default_rng(0).random((2, *shape)) - 0.5)


@pytest.mark.parametrize("shape", [(2, 5, 6, 3), (7, 7, 1), (1, 1, 3), (1, 9, 1), (3, 3, 1)])
def test_values_match_loops(shape, float64):
    mask = np.random.default_rng(1).random(shape[:-1]) < 0.6
    # At low contrast, the soft signs are not yet saturated at 1.
    pair = example(*shape, contrast=0.05)
    for patch_size in (1, 3, 5, 7):
        expected = references.census(*pair, patch_size, mask)
        loss = LOSS(*pair, patch_size=patch_size, mask=mask)
        np.testing.assert_allclose(loss, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(LOSS(*pair), references.census(*pair), rtol=1e-12, atol=1e-15)


def test_one_bright_pixel_matches_a_value_computed_by_hand():
    """A center 1.2 brighter than its 8 neighbors has t = -1.2 / 1.5; the other image has 0."""
    image1 = np.zeros((3, 3, 1), np.float32)
    image1[1, 1] = 1.2 / 255
    loss = LOSS(image1, np.zeros_like(image1))
    np.testing.assert_allclose(loss, 8 / 9 * 0.64 / 0.74, rtol=1e-5)


def test_is_invariant_to_brightness_and_symmetric(float64):
    image1, image2 = example(8, 9, 3, contrast=0.1)
    loss = LOSS(image1, image2)
    assert 0 < loss < 1
    for pair in ((image1 + 0.2, image2), (image1, image2 - 0.3), (image2, image1)):
        np.testing.assert_allclose(LOSS(*pair), loss, rtol=1e-9)


def test_identical_and_constant_images_have_zero_loss_and_gradient(float64):
    image, _ = example(8, 9, 3)
    for pair in ((image, image), (0 * image, 0 * image + 0.7), (0 * image + 1, 0 * image + 0.3)):
        loss, gradients = DIFFERENTIATED(*pair)
        np.testing.assert_allclose(loss, 0, atol=1e-15)
        np.testing.assert_allclose(gradients, 0, atol=1e-9)


def test_pixels_outside_all_unmasked_patches_have_no_influence():
    image1, image2 = example(9, 9, 3, contrast=0.02).astype(np.float32)
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:5] = True
    expected = references.census(image1, image2, mask=mask)
    seen = np.zeros((9, 9), bool)
    seen[1:6, 2:6] = True  # with a margin of one pixel
    for left_out in (1e9, -3e38):
        image1[~seen], image2[~seen] = left_out, -left_out
        loss, gradients = DIFFERENTIATED(image1, image2, mask=mask)
        np.testing.assert_allclose(loss, expected, rtol=1e-3)
        for gradient in gradients:
            assert not np.any(gradient[~seen])
            assert np.all(gradient[seen] != 0)
    edge = np.ones((9, 9), bool)
    edge[1:-1, 1:-1] = False
    loss, gradients = DIFFERENTIATED(image1, image2, mask=edge)
    assert loss == 0 and not np.any(gradients)
