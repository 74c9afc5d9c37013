"""`normalize_flow`: values and gradients, compared with values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops import normalize_flow


@pytest.mark.parametrize("bound", [0.5, 20.0])
def test_values_and_gradients_match_values_computed_by_hand(bound, float64):
    shares = np.array([0, 1, 0.5, -0.2, 1.05, 1e10, -1e10, np.inf, -np.inf])
    flow = bound * np.stack([shares, -shares], axis=-1)[None]
    expected = np.array([127.5, 255, 191.25, 102, 255, 255, 0, 255, 0])
    normalized, slopes = jax.vjp(lambda flow: normalize_flow(flow, bound=bound), flow)
    np.testing.assert_allclose(normalized[0, :, 0], expected, rtol=1e-14)
    np.testing.assert_allclose(normalized[0, :, 1], 255 - expected, rtol=1e-14)
    (gradient,) = slopes(jnp.ones_like(normalized))
    inside = 255 / (2 * bound) * (np.abs(shares) < 1)
    inside[1] = gradient[0, 1, 0]  # at the bound, any value between 0 and the slope inside is right
    assert 0 <= inside[1] <= 255 / (2 * bound)
    np.testing.assert_allclose(gradient[0], np.stack([inside, inside], axis=-1), rtol=1e-14)


def test_default_bound_is_twenty_pixels_and_nothing_is_rounded():
    flow = np.linspace(-20, 20, 1002, dtype=np.float32).reshape(1, -1, 2)
    np.testing.assert_array_equal(normalize_flow(flow), normalize_flow(flow, bound=20.0))
    assert len(np.unique(normalize_flow(flow))) == 1002


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_rounds_once(dtype):
    flow = jnp.asarray(np.linspace(-25, 25, 102).reshape(1, -1, 2), dtype)
    exact = (np.clip(np.asarray(flow, np.float64), -20, 20) + 20) / 40 * 255
    np.testing.assert_array_equal(normalize_flow(flow), jnp.asarray(exact, dtype))
