"""Cross-entropy, compared with sums over classes in NumPy."""

import jax
import numpy as np
import pytest

from afn_jax.losses import cross_entropy

LOSS = jax.jit(cross_entropy, static_argnames="label_smoothing")


def cross_entropy_by_hand(logits, label, smoothing):
    """Computes the sum over classes of -target log(probability) for one example."""
    probabilities = np.exp(logits) / np.exp(logits).sum()
    target = np.full(len(logits), smoothing / len(logits))
    target[label] += 1 - smoothing
    return -np.sum(target * np.log(probabilities))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_matches_the_sum_over_classes(smoothing, float64):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(2, 3, 4), scale=3), random.integers(4, size=(2, 3))
    loss = LOSS(logits, labels, label_smoothing=smoothing)
    for index in np.ndindex(labels.shape):
        expected = cross_entropy_by_hand(logits[index], labels[index], smoothing)
        np.testing.assert_allclose(loss[index], expected, rtol=1e-12)


def test_loss_of_equal_logits_is_the_log_of_the_number_of_classes():
    loss = LOSS(np.zeros((3, 101), np.float32), np.array([0, 50, 100]))
    np.testing.assert_allclose(loss, np.log(101), rtol=1e-6)


def test_one_class_has_zero_loss_and_gradient():
    loss, slope = jax.value_and_grad(LOSS)(np.array([3.0], np.float32), np.array(0))
    assert loss == 0 and slope == 0
