"""Color jitter and noise, compared with the three steps in NumPy."""

import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.ops import color_jitter, gaussian_noise

KEY = jax.random.key(0)
JITTER = jax.jit(color_jitter, static_argnames=("brightness", "contrast", "saturation"))


def clips(batch=64, dtype=np.float32):
    return np.random.default_rng(0).random((batch, 3, 4, 5, 3)).astype(dtype)


def gray(frames):
    return (frames @ [0.299, 0.587, 0.114])[..., None]


def bases_of(frames):
    """Returns the fixed point of each step, from which the frames move away."""
    mean_gray = gray(frames).mean((1, 2, 3, 4), keepdims=True)
    bases = dict(brightness=0.0, contrast=mean_gray, saturation=gray(frames))
    return {name: base + np.zeros(frames.shape) for name, base in bases.items()}


def jitter(frames, **amounts):
    none = dict(brightness=0.0, contrast=0.0, saturation=0.0)
    return np.asarray(JITTER(KEY, frames, **(none | amounts)), np.float64)


def factors_of(changed, frames, base):
    """Computes the factor of each example from unclipped values, which must all agree."""
    untouched = (changed > 0.02) & (changed < 0.98) & (np.abs(frames - base) > 0.05)
    factors = []
    for example in range(len(frames)):
        ratio = (changed - base)[example] / (frames - base)[example]
        ratio = ratio[untouched[example]]
        np.testing.assert_allclose(ratio, ratio[0], atol=1e-3)
        factors.append(ratio.mean())
    return np.reshape(factors, (-1, 1, 1, 1, 1))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_example_has_one_factor_for_all_frames(name):
    frames = clips()
    base = bases_of(frames)[name]
    changed = jitter(frames, **{name: 0.4})
    assert changed.min() >= 0 and changed.max() <= 1
    factors = factors_of(changed, frames, base)
    assert 0.599 <= np.min(factors) < 0.7 and 1.3 < np.max(factors) <= 1.401  # of [0.6, 1.4]
    assert abs(np.mean(factors) - 1) < 0.1
    expected = np.clip(base + factors * (frames - base), 0, 1)
    np.testing.assert_allclose(changed, expected, atol=2e-3)


def test_applies_brightness_then_contrast_then_saturation():
    frames = clips()
    np.testing.assert_allclose(jitter(frames), frames, atol=1e-6)
    amounts = dict(brightness=0.5, contrast=0.8, saturation=0.9)
    # A key draws the same factors for any other amounts, so each can be measured separately.
    factors = {
        name: factors_of(jitter(frames, **{name: amounts[name]}), frames, base)
        for name, base in bases_of(frames).items()
    }
    expected = frames
    for name in amounts:
        base = bases_of(expected)[name]
        expected = np.clip(base + factors[name] * (expected - base), 0, 1)
    changed = jitter(frames, **amounts)
    np.testing.assert_allclose(changed, expected, atol=5e-3)
    other = JITTER(jax.random.key(1), frames, **amounts)
    assert not np.allclose(changed, other)


def test_gradients_match_finite_differences(float64):
    frames = 0.4 + 0.2 * clips(1, np.float64)  # the factors below keep it in [0, 1]
    amounts = dict(brightness=0.2, contrast=0.2, saturation=0.2)
    for function in (
        lambda frames: color_jitter(KEY, frames, **amounts),
        lambda frames: gaussian_noise(KEY, frames, std=0.1),
    ):
        check_grads(jax.jit(function), (frames,), order=1, modes=("fwd", "rev"))


def test_noise_has_the_requested_standard_deviation_and_is_independent():
    frames = np.full((4, 5000), 3.0, np.float32)
    noise = np.asarray(gaussian_noise(KEY, frames, std=0.5)) - frames
    assert abs(noise.std() - 0.5) < 0.02 and abs(noise.mean()) < 0.02
    # Noise is independent between positions: rows do not correlate.
    correlations = np.corrcoef(noise)[~np.eye(4, dtype=bool)]
    assert np.abs(correlations).max() < 0.06
    np.testing.assert_array_equal(gaussian_noise(KEY, frames, std=0.0), frames)
