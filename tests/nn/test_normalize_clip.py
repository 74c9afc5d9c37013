"""The range of the frames that the representation flow layer sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn import normalize_clip

NORMALIZE = jax.jit(normalize_clip)
SLOPE = jax.jit(jax.grad(lambda features: jnp.sum(normalize_clip(features))))
FEATURES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 5, 6, 4)), jnp.float32)


def test_normalize_clip_scales_each_clip_to_0_to_255():
    clip = jnp.asarray([[-2.0, 0.0], [3.0, 8.0]]).reshape(1, 2, 2, 1, 1)
    other = 100 * clip - 7
    normalized = NORMALIZE(jnp.concatenate([clip, other]))
    expected = [0, 255 * 0.2, 255 * 0.5, 255]
    np.testing.assert_allclose(normalized.reshape(2, 4), [expected, expected], rtol=1e-6)


def test_normalize_clip_uses_the_range_of_all_frames_and_channels(float64):
    features = np.random.default_rng(0).normal(size=(2, 4, 5, 6, 4))
    low, high = (f(features, (1, 2, 3, 4), keepdims=True) for f in (np.min, np.max))
    expected = 255 * (features - low) / (high - low)
    np.testing.assert_allclose(NORMALIZE(features), expected, rtol=1e-9)


def test_normalize_clip_of_constant_and_extreme_clips_has_finite_gradients():
    for value in (0.0, 5.0, -1e30, 3e38):
        constant = jnp.full((2, 4, 5, 6, 4), value)
        assert not np.any(NORMALIZE(constant)) and not np.any(SLOPE(constant))
    for scale in (1e-7, 1e-3, 1e30, 3e38):
        features = scale * jnp.tanh(FEATURES)
        assert np.all(np.isfinite(SLOPE(features)))
        normalized = NORMALIZE(features)
        assert np.min(normalized) == 0 and np.max(normalized) in (0, pytest.approx(255, rel=1e-5))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_normalize_clip_computes_in_float32(dtype):
    features = FEATURES.astype(dtype)
    np.testing.assert_array_equal(NORMALIZE(features), NORMALIZE(features.astype(jnp.float32)))
