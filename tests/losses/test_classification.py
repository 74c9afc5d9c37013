"""Cross-entropy, against sums over classes in numpy."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import cross_entropy


def example(*leading, dtype=np.float32):
    random = np.random.default_rng(0)
    return random.normal(size=(*leading, 4), scale=3).astype(dtype), random.integers(
        4, size=leading
    )


def cross_entropy_by_hand(logits, label, smoothing):
    """One example: the sum over classes of -target log(probability)."""
    probabilities = np.exp(logits) / np.exp(logits).sum()
    target = np.full(len(logits), smoothing / len(logits))
    target[label] += 1 - smoothing
    return -np.sum(target * np.log(probabilities))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,)])
def test_it_is_the_sum_over_classes(smoothing, leading):
    logits, labels = example(*leading)
    loss = cross_entropy(logits, labels, label_smoothing=smoothing)
    assert loss.shape == leading
    for index in np.ndindex(leading):
        expected = cross_entropy_by_hand(logits[index].astype(float), labels[index], smoothing)
        np.testing.assert_allclose(loss[index], expected, rtol=1e-5)


def test_equal_logits_give_the_log_of_the_number_of_classes():
    loss = cross_entropy(np.zeros((3, 101), np.float32), np.array([0, 50, 100]))
    np.testing.assert_allclose(loss, np.log(101), rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_gradients_are_those_of_finite_differences(smoothing, float64):
    for logits, labels in (example(3, dtype=np.float64), (np.zeros((1, 1)), np.array([0]))):
        check_grads(
            lambda logits, labels=labels: cross_entropy(logits, labels, label_smoothing=smoothing),
            (logits,),
            order=2,
            modes=("fwd", "rev"),
        )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("logits", [[1e4, -1e4, 0], [1e30, 1e30, -1e30], [0, 0, 0], [-1e38, 0, 0]])
def test_nasty_logits_stay_finite(smoothing, logits):
    logits = np.array([logits] * 3, np.float32)
    loss, gradient = jax.value_and_grad(
        lambda logits: jnp.sum(cross_entropy(logits, np.arange(3), label_smoothing=smoothing))
    )(logits)
    assert jnp.isfinite(loss) and jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    logits, labels = example(3)
    logits = jnp.asarray(logits, dtype)
    loss = cross_entropy(logits, labels, label_smoothing=0.1)
    assert loss.dtype == jnp.float32
    expected = [
        cross_entropy_by_hand(row, label, 0.1)
        for row, label in zip(np.asarray(logits, float), labels, strict=True)
    ]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_bad_smoothing_is_named(smoothing):
    logits, labels = example(3)
    with pytest.raises(ValueError, match="label_smoothing is "):
        cross_entropy(logits, labels, label_smoothing=smoothing)


def test_one_hot_labels_are_refused():
    logits, labels = example(3)
    with pytest.raises(ValueError, match=r"labels must be \(3,\), one 0-based class"):
        inspect.unwrap(cross_entropy)(logits, np.eye(4, dtype=np.int32)[labels])
