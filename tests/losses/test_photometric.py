"""`photometric_loss` and `l1_loss`, against loops over pixels and numbers worked out by hand."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import l1_loss, photometric_loss

LOSSES = (photometric_loss, l1_loss)
DIFFERENTIATED = {loss: jax.jit(jax.value_and_grad(loss, argnums=(0, 1))) for loss in LOSSES}
SHAPES = [(5, 4, 3), (1, 1, 3), (1, 1, 1), (1, 6, 2), (6, 1, 1), (3, 4, 1)]


def example(shape, dtype=np.float32, seed=0):
    random = np.random.default_rng(seed)
    return random.random((2, *shape)).astype(dtype)


def loss_by_loops(function, image, reconstruction, mask=None, alpha=0.4, epsilon=1e-3):
    """Pixel by pixel: a mean over pixels and channels, or of sums over channels for l1."""
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
@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_those_of_loops(function, shape):
    image, reconstruction = example(shape)
    for mask in (None, np.random.default_rng(1).random(shape[:-1]) < 0.6):
        expected = loss_by_loops(function, image, reconstruction, mask)
        loss = jax.jit(function)(image, reconstruction, mask=mask)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("alpha, epsilon", [(0.4, 1e-3), (0.5, 0.2), (1.0, 1.0)])
def test_alpha_and_epsilon_are_those_of_the_penalty(alpha, epsilon):
    image, reconstruction = example((3, 4, 2))
    loss = photometric_loss(image, reconstruction, alpha=alpha, epsilon=epsilon)
    expected = loss_by_loops(photometric_loss, image, reconstruction, alpha=alpha, epsilon=epsilon)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_numbers_by_hand():
    """Differences 3, 0 in one pixel and 0, -3 in the other; sqrt(9 + 16) = 5."""
    image = np.array([[[3.0, 1.0], [2.0, 4.0]]], np.float32)
    reconstruction = np.array([[[0.0, 1.0], [2.0, 7.0]]], np.float32)
    loss = photometric_loss(image, reconstruction, alpha=0.5, epsilon=4.0)
    np.testing.assert_allclose(loss, (5 + 4 + 4 + 5) / 4, rtol=1e-6)
    np.testing.assert_allclose(l1_loss(image, reconstruction), 3, rtol=1e-6)
    reconstruction[0, 0] += 1  # differences 2, -1 and 0, -3
    np.testing.assert_allclose(l1_loss(image, reconstruction), 3, rtol=1e-6)


@pytest.mark.parametrize("function, expected", [(photometric_loss, 1e-3**0.8), (l1_loss, 0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_identical_images_leave_the_penalty_of_zero_and_no_gradient(function, expected, shape):
    for image in (example(shape)[0], np.full(shape, 0.7, np.float32)):
        loss, gradients = DIFFERENTIATED[function](image, image)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        for gradient in gradients:
            np.testing.assert_array_equal(gradient, np.zeros(shape))


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("left_out", [1e9, 3e38, -3e38])
def test_what_the_mask_leaves_out_has_no_influence(function, left_out):
    image, reconstruction = example((4, 5, 3))
    mask = np.random.default_rng(1).random((4, 5)) < 0.5
    expected = loss_by_loops(function, image, reconstruction, mask)
    image[~mask], reconstruction[~mask] = left_out, -left_out
    loss, gradients = DIFFERENTIATED[function](image, reconstruction, mask=mask)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient[~mask], np.zeros((np.sum(~mask), 3)))
        assert np.all(gradient[mask] != 0)


@pytest.mark.parametrize("function", LOSSES)
def test_a_mask_of_nothing_gives_zero(function):
    image, reconstruction = example((4, 5, 3))
    mask = np.zeros((4, 5), bool)
    loss, gradients = DIFFERENTIATED[function](image, reconstruction, mask=mask)
    assert loss == 0
    assert not np.any(gradients)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("function, order", [(photometric_loss, 2), (l1_loss, 1)])
def test_gradients_are_those_of_finite_differences(function, order, masked, float64):
    image, reconstruction = example((3, 4, 2), np.float64)
    # A difference of at least .2, so that no finite difference steps over the kink.
    reconstruction = np.where(reconstruction > 0.5, 1.2, -1.2) + 0.3 * reconstruction
    mask = np.random.default_rng(0).random((3, 4)) < 0.7 if masked else None
    check_grads(
        jax.jit(lambda *images: function(*images, mask=mask)),
        (image, reconstruction),
        order=order,
        modes=("fwd", "rev"),
    )


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("leading", [(3,), (2, 3), (0,)])
def test_leading_axes_are_one_mean(function, leading):
    image, reconstruction = example((*leading, 3, 4, 2))
    for mask in (None, np.random.default_rng(1).random((*leading, 3, 4)) < 0.6):
        loss = jax.jit(function)(image, reconstruction, mask=mask)
        assert loss.shape == ()
        expected = loss_by_loops(function, image, reconstruction, mask)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("function", LOSSES)
def test_jit_gives_the_same(function):
    image, reconstruction = example((2, 3, 4, 2))
    loss = jax.jit(function)(image, reconstruction)
    np.testing.assert_allclose(loss, function(image, reconstruction), rtol=1e-6)


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(function, dtype):
    # 2e5 values: their sum overflows float16 and stops growing in bfloat16.
    image = jnp.full((200, 1000, 1), 1.0, dtype)
    reconstruction = jnp.full((200, 1000, 1), 0.1, dtype)
    loss = jax.jit(function)(image, reconstruction)
    assert loss.dtype == jnp.float32
    pixel = np.asarray(image[:1, :1], np.float32), np.asarray(reconstruction[:1, :1], np.float32)
    np.testing.assert_allclose(loss, loss_by_loops(function, *pixel), rtol=1e-5)
    mixed = jax.eval_shape(function, image, reconstruction.astype(jnp.float32))
    assert mixed.dtype == jnp.float32


@pytest.mark.parametrize("function", LOSSES)
def test_float64_keeps_its_precision(function, float64):
    image, reconstruction = example((3, 4, 2), np.float64)
    loss = function(image, reconstruction)
    assert loss.dtype == jnp.float64
    np.testing.assert_allclose(loss, loss_by_loops(function, image, reconstruction), rtol=1e-13)


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("value", [0.0, 1e-40, 3e38, -3e38])
def test_nasty_images_stay_finite(function, value):
    image, reconstruction = example((2, 3, 1))
    nasty = np.full_like(image, value)
    for pair in ((image, nasty), (nasty, nasty), (nasty, -nasty), (nasty, reconstruction)):
        loss, gradients = DIFFERENTIATED[function](*pair)
        assert jnp.isfinite(loss)
        assert all(jnp.all(jnp.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize(
    "change, message",
    [
        (dict(image=np.zeros((4, 6, 3), np.float32)), r"shapes \(4, 6, 3\) and \(4, 5, 3\)"),
        (dict(reconstruction=np.zeros((4, 5, 1), np.float32)), r"same \[..., H, W, C\]"),
        (dict(image=np.zeros((4, 5, 3), np.uint8)), "image1? has dtype uint8; .* / 255.0"),
        (
            dict(reconstruction=np.zeros((4, 5, 3), np.int32)),
            "(reconstruction|image2) has dtype int32",
        ),
        (dict(mask=np.ones((4, 6), bool)), r"mask has shape \(4, 6\)"),
        (dict(mask=np.ones((4, 5), np.float32)), r"dtype float32; it must be \(4, 5\) of bool"),
        (dict(mask=np.ones((4, 5, 1), bool)), r"mask has shape \(4, 5, 1\)"),
    ],
)
def test_bad_input_is_named(function, change, message):
    image, reconstruction = example((4, 5, 3))
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(**(dict(image=image, reconstruction=reconstruction) | change))


def test_two_axes_are_too_few():
    for function in LOSSES:
        with pytest.raises(ValueError, match=r"must be the same \[..., H, W, C\]"):
            inspect.unwrap(function)(*example((4, 5)))


@pytest.mark.parametrize("change", [dict(alpha=0.0), dict(epsilon=-1.0)])
def test_bad_constants_are_named(change):
    with pytest.raises(ValueError, match="both must be above 0"):
        photometric_loss(*example((4, 5, 3)), **change)
