"""`charbonnier`, compared with NumPy and values computed by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.losses import charbonnier

PENALTY = jax.jit(charbonnier, static_argnames=("alpha", "epsilon"))


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("epsilon", [1e-3, 2.0])
def test_is_a_power_of_the_square(alpha, epsilon, float64):
    x = np.concatenate([np.linspace(0, 5, 50), np.random.default_rng(0).normal(size=50, scale=3)])
    penalty = PENALTY(x, alpha=alpha, epsilon=epsilon)
    np.testing.assert_allclose(penalty, (x**2 + epsilon**2) ** alpha, rtol=1e-12)
    np.testing.assert_array_equal(penalty, PENALTY(-x, alpha=alpha, epsilon=epsilon))
    assert np.all(np.diff(penalty[:50]) > 0)


def test_defaults_are_those_of_the_paper():
    x = np.random.default_rng(0).normal(size=5).astype(np.float32)
    np.testing.assert_array_equal(PENALTY(x), PENALTY(x, alpha=0.45, epsilon=1e-3))


@pytest.mark.parametrize(
    "x, alpha, epsilon, expected",
    [
        (-3.0, 0.5, 4.0, 5.0),  # sqrt(3**2 + 4**2)
        (2.0, 1.0, 1.0, 5.0),
        (12.0, 0.25, 5.0, 13**0.5),
        (0.0, 0.5, 0.25, 0.25),
        (0.0, 0.3, 1e-3, 10**-1.8),
    ],
)
def test_values_match_values_computed_by_hand(x, alpha, epsilon, expected):
    penalty = charbonnier(np.array(x, np.float32), alpha=alpha, epsilon=epsilon)
    np.testing.assert_allclose(penalty, expected, rtol=1e-6)


def test_gradient_at_zero_is_zero_for_any_epsilon():
    for epsilon in (1.0, 1e-3, 1e-10, 1e-20, 1e-30):
        penalty, gradient = jax.value_and_grad(charbonnier)(jnp.zeros(()), epsilon=epsilon)
        np.testing.assert_allclose(penalty, epsilon**0.9, atol=1e-12, rtol=1e-5)
        assert gradient == 0


@pytest.mark.parametrize("alpha", [0.1, 0.45, 1.0])
def test_derivatives_are_finite_and_huge_values_are_clipped(alpha):
    slope = jax.grad(partial(charbonnier, alpha=alpha))
    x = np.array([0, 1e-45, -1e-40, 1e-30, 1e10, 1e18, 1.5e18, 1e19, -3e38, 3e38], np.float32)
    penalty, slopes, bends = jax.jit(
        lambda x: (charbonnier(x, alpha=alpha), jax.vmap(slope)(x), jax.vmap(jax.grad(slope))(x))
    )(x)
    assert np.all(np.isfinite(penalty) & np.isfinite(slopes) & np.isfinite(bends) & (penalty > 0))
    np.testing.assert_allclose(penalty[6:], 1e36**alpha, rtol=1e-5)
    np.testing.assert_array_equal(slopes[6:], 0)
