"""`photometric_loss` and `l1_loss`, compared with loops over pixels and values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.losses import l1_loss, photometric_loss

LOSSES = (photometric_loss, l1_loss)


def example(shape):
    return np.random.default_rng(0).random((2, *shape))


def loss_by_loops(function, image, reconstruction, mask=None, alpha=0.4, epsilon=1e-3):
    """Computes the mean over pixels and channels; for l1, over pixels of sums over channels."""
    total, count = 0.0, 0
    for index in np.ndindex(image.shape[:-1]):
        if mask is not None and not mask[index]:
            continue
        for a, b in zip(image[index], reconstruction[index], strict=True):
            difference = float(a) - float(b)
            if function is l1_loss:
                total += abs(difference)
            else:
                total += (difference**2 + epsilon**2) ** alpha
        count += 1 if function is l1_loss else image.shape[-1]
    return total / max(count, 1)


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 1, 1), (1, 6, 2), (6, 1, 1)])
def test_values_match_loops(function, shape, float64):
    image, reconstruction = example(shape)
    for mask in (None, np.random.default_rng(1).random(shape[:-1]) < 0.6):
        expected = loss_by_loops(function, image, reconstruction, mask)
        loss = jax.jit(function)(image, reconstruction, mask=mask)
        np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize("alpha, epsilon", [(0.5, 0.2), (1.0, 1.0)])
def test_alpha_and_epsilon_reach_the_penalty(alpha, epsilon, float64):
    image, reconstruction = example((3, 4, 2))
    loss = photometric_loss(image, reconstruction, alpha=alpha, epsilon=epsilon)
    expected = loss_by_loops(photometric_loss, image, reconstruction, alpha=alpha, epsilon=epsilon)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_two_pixels_match_values_computed_by_hand():
    """The differences are 3, 0 in one pixel and 0, -3 in the other; sqrt(9 + 16) = 5."""
    image = np.array([[[3.0, 1.0], [2.0, 4.0]]], np.float32)
    reconstruction = np.array([[[0.0, 1.0], [2.0, 7.0]]], np.float32)
    loss = photometric_loss(image, reconstruction, alpha=0.5, epsilon=4.0)
    np.testing.assert_allclose(loss, (5 + 4 + 4 + 5) / 4, rtol=1e-6)
    np.testing.assert_allclose(l1_loss(image, reconstruction), 3, rtol=1e-6)
    reconstruction[0, 0] += 1  # differences 2, -1 and 0, -3
    np.testing.assert_allclose(l1_loss(image, reconstruction), 3, rtol=1e-6)


@pytest.mark.parametrize("function, expected", [(photometric_loss, 1e-3**0.8), (l1_loss, 0)])
def test_identical_images_have_the_penalty_of_zero_and_zero_gradient(function, expected):
    image = example((5, 4, 3))[0].astype(np.float32)
    differentiated = jax.jit(jax.value_and_grad(function, argnums=(0, 1)))
    for same in (image, np.full_like(image, 0.7)):
        loss, gradients = differentiated(same, same)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        assert not np.any(gradients)


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_mixed_precision_gives_float32(function, dtype):
    image = jnp.ones((2, 3, 1), dtype)
    assert jax.eval_shape(function, image, image.astype(jnp.float32)).dtype == jnp.float32
