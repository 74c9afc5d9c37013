import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.config import OptimConfig
from train.optim import create_optimizer, learning_rate


def values(config, steps, at):
    schedule = learning_rate(config, steps)
    return [float(schedule(step)) for step in at]


def test_constant_schedule():
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


def test_steps_with_warmup_count_from_the_start_of_the_run():
    config = OptimConfig(learning_rate=8.0, schedule="steps", boundaries=(4, 6), factor=0.5)
    assert values(config, 10, range(8)) == [8, 8, 8, 8, 4, 4, 2, 2]
    config = dataclasses.replace(config, warmup_steps=2)
    assert values(config, 10, range(8)) == [0, 4, 8, 8, 4, 4, 2, 2]


def adam(gradients, rate):
    """Adam of Kingma and Ba 2015, Algorithm 1, on a scalar that starts at 0."""
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


def test_adam_matches_the_paper():
    gradients = [0.5, -2.0, 0.1, 3.0]
    expected = adam(gradients, 0.01)
    assert run(OptimConfig(learning_rate=0.01), gradients) == pytest.approx(expected, rel=1e-5)


def sgd(gradients, rate, *, nesterov=False, decay=0.0, start=0.0):
    """SGD in PyTorch's form (Sutskever et al. 2013): momentum .9, decay added to the gradient."""
    velocity, parameter = 0.0, start
    for gradient in gradients:
        gradient = gradient + decay * parameter
        velocity = 0.9 * velocity + gradient
        parameter -= rate * (gradient + 0.9 * velocity if nesterov else velocity)
    return parameter


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_matches_the_update_rule_of_pytorch(nesterov):
    gradients = [0.5, -2.0, 0.1]
    config = OptimConfig(optimizer="sgd", learning_rate=0.1, nesterov=nesterov)
    assert run(config, gradients) == pytest.approx(sgd(gradients, 0.1, nesterov=nesterov), rel=1e-5)


def test_decays_kernels_only():
    names = ("kernel", "bias", "scale", "tau")
    params = {"layer": {name: jnp.full((1,), 2.0) for name in names}}
    gradients = [0.5, -1.0]
    config = OptimConfig(optimizer="sgd", learning_rate=0.1, weight_decay=0.3)
    optimizer = create_optimizer(config, 2)
    state = optimizer.init(params)
    for gradient in gradients:
        tree = jax.tree.map(lambda p, g=gradient: jnp.full_like(p, g), params)
        updates, state = optimizer.update(tree, state, params)
        params = jax.tree.map(jnp.add, params, updates)
    plain = sgd(gradients, 0.1, start=2.0)
    for name in names:
        expected = sgd(gradients, 0.1, decay=0.3, start=2.0) if name == "kernel" else plain
        assert float(params["layer"][name][0]) == pytest.approx(expected, rel=1e-5), name


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_no_decay_excludes_kernels(optimizer):
    """With zero gradients, only weight decay changes the parameters."""
    params = {"deconv5": {"kernel": jnp.ones(1)}, "conv5": {"kernel": jnp.ones(1)}}
    config = OptimConfig(
        optimizer=optimizer, learning_rate=0.1, weight_decay=0.3, no_decay=(r"deconv\d",)
    )
    transform = create_optimizer(config, 2)
    state = transform.init(params)
    updates, _ = transform.update(jax.tree.map(jnp.zeros_like, params), state, params)
    assert float(updates["deconv5"]["kernel"][0]) == 0
    assert float(updates["conv5"]["kernel"][0]) < 0
    for wrong, message in (
        (("upconv",), "'upconv' matches no parameter"),
        (("(",), "not all regular"),
    ):
        with pytest.raises(ValueError, match=f"optim.no_decay: .*{message}"):
            create_optimizer(dataclasses.replace(config, no_decay=wrong), 2).init(params)


def test_adamw_decouples_the_decay():
    params = {"kernel": jnp.full((1,), 2.0)}
    config = OptimConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.3)
    optimizer = create_optimizer(config, 1)
    updates, _ = optimizer.update({"kernel": jnp.full((1,), 5.0)}, optimizer.init(params), params)
    # Adam's first step equals the learning rate, whatever the gradient.
    assert float(updates["kernel"][0]) == pytest.approx(-0.1 * (1 + 0.3 * 2), rel=1e-5)


def test_moving_average_of_the_parameters():
    config = OptimConfig(optimizer="sgd", momentum=0, learning_rate=1.0, ema_decay=0.3)
    optimizer = create_optimizer(config, 4)
    params = jnp.array([1.0])
    state = optimizer.init(params)
    average, expected = 1.0, 1.0
    for n, gradient in enumerate([1.0, 2.0, -4.0, 8.0]):
        updates, state = optimizer.update(jnp.array([gradient]), state, params)
        params = params + updates
        expected -= gradient
        decay = min(0.3, (1 + n) / (10 + n))  # .1, .1818, .25, .3
        average = decay * average + (1 - decay) * expected
    assert float(params[0]) == expected
    assert float(state.average[0]) == pytest.approx(average, rel=1e-5)


def test_clipping_scales_the_whole_gradient():
    config = OptimConfig(learning_rate=0.01, clip_norm=1.0)
    gradients = [[3.0, 4.0], [0.3, 0.4], [-30.0, 40.0]]  # norms 5, 0.5, 50
    expected = [adam([0.6, 0.3, -0.6], 0.01), adam([0.8, 0.4, 0.8], 0.01)]
    np.testing.assert_allclose(run(config, gradients), expected, rtol=1e-5)
