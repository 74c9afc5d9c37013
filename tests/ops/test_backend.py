"""Code for the CPU and code for other platforms compute the same values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax import ops
from afn_jax.models.tvnet import TVNetFlow
from afn_jax.nn.conv import conv3d, conv_transpose3d
from afn_jax.nn.conv2d import conv2d
from afn_jax.ops.backend import on_cpu, tracing_for


def random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def warp(size):
    # The gradient of the image is computed in one way on all platforms.
    image = random(*size, 3)
    return functools.partial(ops.warp, image), (4 * random(*size, 2, seed=1) - 2,)


def volume(size):
    function = functools.partial(ops.cost_volume, max_displacement=2)
    return function, (random(*size, 3), random(*size, 3, seed=1))


def tvl1(size):
    config = ops.TVL1Config(num_scales=1, num_warps=1, num_iterations=2, median_size=1)
    frames = random(*size) / 4, random(*size, seed=1) / 4
    return functools.partial(ops.tvl1_flow, config=config), frames


def layer(size, kernels="tvl1"):
    def function(params, features1, features2):
        return ops.representation_flow(
            features1, features2, params, num_iterations=3, kernels=kernels
        )

    pair = (255 * random(*size, 3), 255 * random(*size, 3, seed=1))
    return function, (ops.initial_params(kernels), *pair)


def tvnet(size):
    model = TVNetFlow(num_iterations=2)
    pair = random(*size, 3), random(*size, 3, seed=1)
    return model.apply, (jax.jit(model.init)(jax.random.key(0), *pair), *pair)


def conv(size, taps, strides):
    function = functools.partial(conv3d, strides=strides)
    return function, (random(2, *size, 3) - 0.5, random(*taps, 3, 4, seed=1) - 0.5)


def flat_conv(size, taps, strides):
    function = functools.partial(conv2d, strides=strides)
    return function, (random(2, *size, 3) - 0.5, random(*taps, 3, 4, seed=1) - 0.5)


def transposed(size, upsample_time):
    function = functools.partial(conv_transpose3d, upsample_time=upsample_time)
    taps = (4 if upsample_time else 3, 4, 4)
    return function, (random(2, *size, 3) - 0.5, random(*taps, 3, 4, seed=1) - 0.5)


CASES = {
    "warp": (warp, (3, 7, 11)),
    "warp, one pixel": (warp, (2, 1, 1)),
    "warp, one row": (warp, (2, 1, 37)),
    "cost volume": (volume, (3, 7, 11)),
    "cost volume, one row": (volume, (2, 1, 37)),
    "conv3d": (conv, (5, 7, 11), (3, 3, 3), (1, 2, 2)),
    "conv3d, one pixel": (conv, (1, 1, 1), (3, 3, 3), (1, 1, 1)),
    "conv3d, two frames": (conv, (2, 7, 5), (3, 3, 3), (1, 1, 1)),
    "conv2d": (flat_conv, (7, 11), (5, 5), (2, 2)),
    "conv_transpose3d": (transposed, (3, 1, 5), True),
    "conv_transpose3d, same time": (transposed, (1, 3, 5), False),
}
# Their gradients take seconds to compile.
SOLVERS = {
    "tvl1": (tvl1, (3, 7, 11)),
    "layer": (layer, (3, 7, 11)),
    "layer, one row": (layer, (2, 1, 37)),
    "layer, sobel": (layer, (3, 5, 7), "sobel"),
    "tvnet": (tvnet, (2, 13, 17)),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_values_of_solvers_agree_and_programs_differ(name):
    compare(SOLVERS[name], lambda function, *arguments: function(*arguments))


@pytest.mark.parametrize(
    "name", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in SOLVERS)]
)
def test_values_and_gradients_agree_and_programs_differ(name):
    def value_and_gradients(function, *arguments):
        def loss(arguments):
            result = function(*arguments)
            weights = jnp.cos(jnp.arange(result.size, dtype=jnp.float32)).reshape(result.shape)
            return jnp.sum(weights * result)

        return function(*arguments), jax.grad(loss)(arguments)

    compare((CASES | SOLVERS)[name], value_and_gradients)


def compare(case, compute):
    create, *settings = case
    function, arguments = create(*settings)

    def run():
        # A new function, because JAX keeps traces by function.
        traced = jax.jit(lambda *arguments: compute(function, *arguments)).trace(*arguments)
        return str(traced.jaxpr), traced.lower().compile()(*arguments)

    program, expected = run()
    with tracing_for("cuda"):
        other, result = run()
    assert program != other
    for leaf, expected_leaf in zip(*map(jax.tree.leaves, (result, expected)), strict=True):
        scale = np.abs(expected_leaf).max()
        np.testing.assert_allclose(leaf, expected_leaf, rtol=0, atol=1e-5 * scale)


def test_follows_the_backend_unless_told(monkeypatch):
    assert on_cpu()
    with tracing_for("tpu"):
        assert not on_cpu()
        with tracing_for("cpu"):
            assert on_cpu()
        assert not on_cpu()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not on_cpu()
    with pytest.raises(KeyError), tracing_for("cpu"):
        raise KeyError
    assert not on_cpu()
