"""Colour jitter and noise, against the three steps written out in numpy."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.ops import color_jitter, gaussian_noise

KEY = jax.random.key(0)


def clips(batch=2, dtype=np.float32):
    return np.random.default_rng(0).random((batch, 3, 4, 5, 3)).astype(dtype)


def grey(frames):
    return (frames @ [0.299, 0.587, 0.114])[..., None]


def jitter(frames, **amounts):
    none = dict(brightness=0.0, contrast=0.0, saturation=0.0)
    return np.asarray(color_jitter(KEY, frames, **(none | amounts)), np.float64)


def test_zero_amounts_change_nothing():
    np.testing.assert_allclose(jitter(clips()), clips(), atol=1e-6)


def factors_of(changed, frames, base):
    """The factor of every example, from values that no clip has touched: all must agree."""
    untouched = (changed > 0.02) & (changed < 0.98) & (np.abs(frames - base) > 0.05)
    factors = []
    for example in range(len(frames)):
        ratio = (changed - base)[example] / (frames - base)[example]
        ratio = ratio[untouched[example]]
        np.testing.assert_allclose(ratio, ratio[0], atol=1e-3)
        factors.append(ratio.mean())
    return factors


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_one_factor_per_example_for_all_its_frames(name):
    frames = clips(batch=64)
    base = {
        "brightness": np.zeros((64, 1, 1, 1, 1)),
        "contrast": grey(frames).mean((1, 2, 3, 4), keepdims=True),
        "saturation": grey(frames),
    }[name] + np.zeros(frames.shape)
    changed = jitter(frames, **{name: 0.4})
    assert changed.min() >= 0 and changed.max() <= 1
    factors = factors_of(changed, frames, base)
    assert 0.599 <= min(factors) < 0.7 and 1.3 < max(factors) <= 1.401  # uniform in [0.6, 1.4]
    assert abs(np.mean(factors) - 1) < 0.1
    expected = np.clip(base + np.reshape(factors, (-1, 1, 1, 1, 1)) * (frames - base), 0, 1)
    np.testing.assert_allclose(changed, expected, atol=2e-3)


def test_brightness_then_contrast_then_saturation():
    frames = clips(batch=4)
    amounts = dict(brightness=0.5, contrast=0.8, saturation=0.9)
    # One key draws the same factors whatever the other amounts, so each is read off by itself.
    zero = np.zeros(frames.shape)
    mean_grey = grey(frames).mean((1, 2, 3, 4), keepdims=True) + zero
    bases = dict(brightness=zero, contrast=mean_grey, saturation=grey(frames) + zero)
    factors = [
        np.reshape(
            factors_of(jitter(frames, **{name: amounts[name]}), frames, base), (-1, 1, 1, 1, 1)
        )
        for name, base in bases.items()
    ]
    expected = np.clip(factors[0] * frames, 0, 1)
    mean_grey = grey(expected).mean((1, 2, 3, 4), keepdims=True)
    expected = np.clip(mean_grey + factors[1] * (expected - mean_grey), 0, 1)
    expected = np.clip(grey(expected) + factors[2] * (expected - grey(expected)), 0, 1)
    np.testing.assert_allclose(jitter(frames, **amounts), expected, atol=5e-3)


def test_the_key_decides():
    frames = clips()
    amounts = dict(brightness=0.5, contrast=0.5, saturation=0.5)
    first = color_jitter(KEY, frames, **amounts)
    np.testing.assert_array_equal(first, color_jitter(KEY, frames, **amounts))
    other = color_jitter(jax.random.key(1), frames, **amounts)
    assert not np.allclose(first, other)
    jitted = jax.jit(lambda key, frames: color_jitter(key, frames, **amounts))(KEY, frames)
    np.testing.assert_allclose(jitted, first, atol=1e-6)


def test_gradients_are_those_of_finite_differences(float64):
    frames = 0.4 + 0.2 * clips(batch=1, dtype=np.float64)  # no factor below takes it out of [0, 1]
    amounts = dict(brightness=0.2, contrast=0.2, saturation=0.2)
    check_grads(
        lambda frames: color_jitter(KEY, frames, **amounts),
        (frames,),
        order=1,
        modes=("fwd", "rev"),
    )
    check_grads(lambda frames: gaussian_noise(KEY, frames, std=0.1), (frames,), order=1)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_constant_clips_stay_finite_with_finite_gradients(value):
    frames = np.full((2, 1, 1, 1, 3), value, np.float32)
    amounts = dict(brightness=1.0, contrast=1.0, saturation=1.0)

    def total(frames):
        return jnp.sum(color_jitter(KEY, frames, **amounts))

    result, gradient = jax.value_and_grad(total)(frames)
    assert jnp.isfinite(result) and jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_dtypes_are_kept(dtype):
    frames = jnp.asarray(clips(), dtype)
    jittered = color_jitter(KEY, frames, brightness=0.3, contrast=0.3, saturation=0.3)
    noisy = gaussian_noise(KEY, frames, std=0.1)
    assert jittered.dtype == noisy.dtype == dtype
    expected = jitter(np.asarray(frames, np.float32), brightness=0.3, contrast=0.3, saturation=0.3)
    np.testing.assert_allclose(np.asarray(jittered, np.float64), expected, atol=2**-8)


def test_noise_has_the_asked_standard_deviation():
    frames = np.full((4, 5000), 3.0, np.float32)
    noise = np.asarray(gaussian_noise(KEY, frames, std=0.5)) - frames
    assert abs(noise.std() - 0.5) < 0.02 and abs(noise.mean()) < 0.02
    # Independent from place to place: rows do not correlate.
    correlations = np.corrcoef(noise)[~np.eye(4, dtype=bool)]
    assert np.abs(correlations).max() < 0.06
    np.testing.assert_array_equal(gaussian_noise(KEY, frames, std=0.0), frames)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("amount", [-0.1, 1.5])
def test_bad_amounts_are_named(name, amount):
    amounts = dict(brightness=0.0, contrast=0.0, saturation=0.0) | {name: amount}
    with pytest.raises(ValueError, match=f"{name} is {amount}; .* from 0 .* to 1"):
        color_jitter(KEY, clips(), **amounts)


def test_bad_frames_and_noise_are_named():
    amounts = dict(brightness=0.0, contrast=0.0, saturation=0.0)
    with pytest.raises(ValueError, match="dtype uint8; pass float RGB .* frames / 255.0"):
        inspect.unwrap(color_jitter)(KEY, np.zeros((1, 1, 2, 2, 3), np.uint8), **amounts)
    with pytest.raises(ValueError, match=r"frames has shape \(1, 2, 2, 3\)"):
        inspect.unwrap(color_jitter)(KEY, np.zeros((1, 2, 2, 3), np.float32), **amounts)
    with pytest.raises(ValueError, match="std is -1"):
        gaussian_noise(KEY, clips(), std=-1.0)
    with pytest.raises(ValueError, match="frames has dtype uint8"):
        inspect.unwrap(gaussian_noise)(KEY, np.zeros((2, 2), np.uint8), std=1.0)
