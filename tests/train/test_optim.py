import math

import jax.numpy as jnp
import numpy as np
import pytest

from train.config import OptimConfig
from train.optim import create_optimizer, learning_rate


def values(config, steps, at):
    schedule = learning_rate(config, steps)
    return [float(schedule(step)) for step in at]


def test_constant():
    assert values(OptimConfig(learning_rate=0.25), 10, [0, 5, 10, 99]) == [0.25] * 4


def test_cosine_ends_at_zero():
    config = OptimConfig(learning_rate=2.0, schedule="cosine")
    expected = [1 + math.cos(math.pi * step / 10) for step in range(11)]
    np.testing.assert_allclose(values(config, 10, range(11)), expected, atol=1e-6)


def test_warmup_then_cosine_over_the_rest():
    config = OptimConfig(learning_rate=2.0, schedule="cosine", warmup_steps=4)
    expected = [0, 0.5, 1, 1.5] + [1 + math.cos(math.pi * step / 8) for step in range(9)]
    np.testing.assert_allclose(values(config, 12, range(13)), expected, atol=1e-6)


def test_warmup_then_constant():
    config = OptimConfig(learning_rate=1.0, warmup_steps=2)
    assert values(config, 10, [0, 1, 2, 3, 9]) == [0, 0.5, 1, 1, 1]


def test_warmup_longer_than_the_run():
    config = OptimConfig(learning_rate=1.0, schedule="cosine", warmup_steps=10)
    assert values(config, 5, [0, 4]) == pytest.approx([0, 0.4])


def adam(gradients, rate):
    """Kingma and Ba 2015, Algorithm 1, on a scalar that starts at 0."""
    mean = square = parameter = 0.0
    for t, gradient in enumerate(gradients, 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        parameter -= rate * (mean / (1 - 0.9**t)) / (math.sqrt(square / (1 - 0.999**t)) + 1e-8)
    return parameter


def run(config, gradients, steps=10):
    optimizer = create_optimizer(config, steps)
    parameters = jnp.zeros(np.shape(gradients[0]))
    state = optimizer.init(parameters)
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient), state, parameters)
        parameters = parameters + updates
    return np.asarray(parameters)


def test_adam():
    gradients = [0.5, -2.0, 0.1, 3.0]
    expected = adam(gradients, 0.01)
    assert run(OptimConfig(learning_rate=0.01), gradients) == pytest.approx(expected, rel=1e-5)


def test_clipping_scales_the_whole_gradient():
    config = OptimConfig(learning_rate=0.01, clip_norm=1.0)
    gradients = [[3.0, 4.0], [0.3, 0.4], [-30.0, 40.0]]  # norms 5, 0.5, 50
    expected = [adam([0.6, 0.3, -0.6], 0.01), adam([0.8, 0.4, 0.8], 0.01)]
    np.testing.assert_allclose(run(config, gradients), expected, rtol=1e-5)
