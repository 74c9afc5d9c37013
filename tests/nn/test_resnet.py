"""Pooling, residual block and encoder, compared with Linen's layers and plain convolutions."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn import BasicBlock, Conv3D, ResNetEncoder, batch_norm, max_pool_frames
from afn_jax.nn.conv2d import Conv2D
from tests.filled_variables import filled_variables


def reference_pool(x):
    return nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (7, 8), (16, 16)])
def test_pooling_matches_linen(size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    np.testing.assert_array_equal(max_pool_frames(x), reference_pool(x))
    # Each frame of a clip is pooled separately.
    clip = jnp.stack([x, -x], 1)
    np.testing.assert_array_equal(max_pool_frames(clip)[:, 1], reference_pool(-x))


def test_pooling_gradient_matches_linen():
    x = jax.random.normal(jax.random.key(0), (2, 7, 8, 3))  # no ties

    def gradient(pool):
        return jax.jit(jax.grad(lambda x: jnp.sin(pool(x)).sum()))(x)

    np.testing.assert_allclose(gradient(max_pool_frames), gradient(reference_pool), atol=1e-6)


def test_pooling_gradient_is_finite_and_complete_at_ties():
    gradient = jax.jit(jax.grad(lambda x: max_pool_frames(x).sum()))(jnp.zeros((1, 4, 4, 1)))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.sum(), 4, rtol=1e-6)


def no_norm(name):
    return lambda x: x


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 2, 2)])
def test_block_matches_two_convolutions_and_a_shortcut(strides):
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 6, 4))
    features = 4 if strides == (1, 1, 1) else 8
    block = BasicBlock(features, strides, Conv3D, no_norm)
    result, variables = jax.jit(block.init_with_output)(jax.random.key(1), x)
    kernels = {name: leaf["kernel"] for name, leaf in variables["params"].items()}
    assert ("shortcut_conv" in kernels) == (strides == (2, 2, 2))

    def convolve(x, name, strides):
        half = [(size // 2,) * 2 for size in kernels[name].shape[:3]]
        return jax.lax.conv_general_dilated(
            x, kernels[name], strides, half, dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        )

    shortcut = convolve(x, "shortcut_conv", strides) if "shortcut_conv" in kernels else x
    inner = jax.nn.relu(convolve(x, "conv1", strides))
    expected = jax.nn.relu(convolve(inner, "conv2", (1, 1, 1)) + shortcut)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_encoder_returns_the_stem_and_each_stage():
    norm = batch_norm(train=False, dtype=jnp.float32, axis_name=None)
    encoder = ResNetEncoder(
        stem_kernel=(3, 7, 7),
        stem_strides=(1, 2, 2),
        stage_strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        conv=partial(Conv3D),
        norm=norm,
        width=4,
        stage_sizes=(1, 2, 1, 1),
    )
    x = jax.ShapeDtypeStruct((1, 8, 64, 32, 3), jnp.float32)
    features, variables = jax.eval_shape(encoder.init_with_output, jax.random.key(0), x)
    expected = [(8, 32, 16, 4), (8, 16, 8, 4), (4, 8, 4, 8), (2, 4, 2, 16), (1, 2, 1, 32)]
    assert [f.shape for f in features] == [(1, *shape) for shape in expected]
    assert "res3_1" in variables["params"] and "res2_1" not in variables["params"]


@pytest.mark.slow
def test_recomputed_stages_change_no_gradients_or_statistics_and_are_not_stored():
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))

    def encoder(remat_stages):
        return ResNetEncoder(
            stem_kernel=(3, 3),
            stem_strides=(1, 1),
            stage_strides=((1, 1),),
            conv=Conv2D,
            norm=batch_norm(train=True, dtype=jnp.float32, axis_name=None),
            width=4,
            stage_sizes=(3,),
            stem_pool=False,
            remat_stages=remat_stages,
        )

    variables = filled_variables(encoder(0), x)

    def gradients(remat_stages):
        def loss(params):
            features, updates = encoder(remat_stages).apply(
                variables | {"params": params}, x, mutable=["batch_stats"]
            )
            return jnp.sin(features[-1]).sum(), updates

        stored = jax.eval_shape(lambda p: jax.vjp(loss, p, has_aux=True)[1], variables["params"])
        found = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
        return found, sum(leaf.size for leaf in jax.tree.leaves(stored))

    (found, less), (expected, more) = gradients(1), gradients(0)
    assert less < 0.5 * more

    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())

    jax.tree.map(close, found, expected)
