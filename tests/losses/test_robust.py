"""`charbonnier`, against numpy and numbers worked out by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import charbonnier


def differences(*shape, dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape, scale=3).astype(dtype)


@pytest.mark.parametrize("alpha", [0.3, 0.45, 0.5, 1.0])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 2.0])
@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (2, 3, 4, 1), (0,), (2, 0, 3)])
def test_it_is_a_power_of_the_square(alpha, epsilon, shape):
    x = np.asarray(differences(*shape))
    penalty = charbonnier(x, alpha=alpha, epsilon=epsilon)
    assert penalty.shape == shape
    expected = (x.astype(np.float64) ** 2 + epsilon**2) ** alpha
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)


def test_the_default_is_that_of_the_paper():
    x = differences(5)
    np.testing.assert_array_equal(charbonnier(x), charbonnier(x, alpha=0.45, epsilon=1e-3))


@pytest.mark.parametrize(
    "x, alpha, epsilon, expected",
    [
        (3.0, 0.5, 4.0, 5.0),  # 3, 4, 5
        (2.0, 1.0, 1.0, 5.0),
        (12.0, 0.25, 5.0, 13**0.5),
        (0.0, 0.5, 0.25, 0.25),
        (0.0, 0.3, 1e-3, 10**-1.8),
    ],
)
def test_numbers_by_hand(x, alpha, epsilon, expected):
    for sign in (1, -1):
        penalty = charbonnier(np.array(sign * x, np.float32), alpha=alpha, epsilon=epsilon)
        np.testing.assert_allclose(penalty, expected, rtol=1e-6)


def test_it_is_even_and_grows_with_the_difference():
    x = np.linspace(0, 5, 50, dtype=np.float32)
    np.testing.assert_array_equal(charbonnier(x), charbonnier(-x))
    assert np.all(np.diff(charbonnier(x)) > 0)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_gradients_are_those_of_finite_differences(alpha, float64):
    x = np.array([[-4.0, -0.5, 0.3], [1.0, 2.0, 7.0]])
    # At 0 a wide epsilon, or the bend is narrower than a finite difference.
    for points, epsilon in ((x, 1e-3), (0 * x, 0.5)):
        penalty = jax.jit(partial(charbonnier, alpha=alpha, epsilon=epsilon))
        check_grads(penalty, (points,), order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("epsilon", [1.0, 1e-3, 1e-10, 1e-20, 1e-30])
def test_at_zero_the_gradient_is_zero(epsilon):
    penalty, gradient = jax.value_and_grad(charbonnier)(jnp.zeros(()), epsilon=epsilon)
    np.testing.assert_allclose(penalty, epsilon**0.9, atol=1e-12, rtol=1e-5)
    assert gradient == 0


@pytest.mark.parametrize("value", [1e-45, 1e-40, 1e-30, 1e10, 1e18, 1e19, 3e38, -1e-40, -3e38])
@pytest.mark.parametrize("alpha", [0.1, 0.45, 1.0])
def test_nasty_differences_stay_finite(value, alpha):
    x = jnp.asarray(value, jnp.float32)
    penalty, gradient = jax.value_and_grad(lambda x: charbonnier(x, alpha=alpha))(x)
    assert jnp.isfinite(penalty) and penalty > 0
    assert jnp.isfinite(gradient)
    second = jax.grad(jax.grad(lambda x: charbonnier(x, alpha=alpha)))(x)
    assert jnp.isfinite(second)


@pytest.mark.parametrize("value", [1.5e18, 3e38, -3e38])
def test_what_is_beyond_any_picture_is_flat(value):
    penalty, gradient = jax.value_and_grad(charbonnier)(jnp.asarray(value, jnp.float32))
    np.testing.assert_allclose(penalty, 1e18**0.9, rtol=1e-5)
    assert gradient == 0


@pytest.mark.parametrize("transform", ["jit", "vmap"])
def test_works_under_transformations(transform):
    x = differences(3, 4)
    transformed = getattr(jax, transform)(charbonnier)(x)
    np.testing.assert_allclose(transformed, (x**2 + 1e-6) ** 0.45, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    # 300 squared overflows float16, and float16 has no 1e-3 squared beside it.
    x = jnp.asarray([0.0, 300.0, -0.1], dtype)
    penalty = charbonnier(x, alpha=0.5)
    assert penalty.dtype == jnp.float32
    expected = np.sqrt(np.asarray(x, np.float64) ** 2 + 1e-6)
    np.testing.assert_allclose(penalty, expected, rtol=1e-6)


def test_float64_keeps_its_precision(float64):
    x = differences(3, 4, dtype=np.float64)
    penalty = charbonnier(x)
    assert penalty.dtype == jnp.float64
    np.testing.assert_allclose(penalty, (x**2 + 1e-6) ** 0.45, rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("name", ["alpha", "epsilon"])
def test_bad_constants_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} (is )?{value}.*both must be above 0"):
        charbonnier(differences(2), **{name: value})
