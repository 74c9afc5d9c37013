"""The flow decoder: values, sizes, initial flow near zero, and precision."""

from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn import Conv3D, ConvTranspose3D, FlowDecoder, batch_norm
from afn_jax.nn.conv2d import Conv2D, ConvTranspose2D
from afn_jax.nn.flow_decoder import NEAR_ZERO


def in_2d(*args, dtype=jnp.float32, **kwargs):
    deconv = partial(ConvTranspose2D, use_bias=True, dtype=dtype)
    return FlowDecoder(*args, conv=Conv2D, deconv=deconv, dtype=dtype, **kwargs)


def in_3d(*args, dtype=jnp.float32, **kwargs):
    norm = batch_norm(train=True, dtype=dtype, axis_name=None)
    deconv = partial(ConvTranspose3D, dtype=dtype)
    return FlowDecoder(*args, conv=Conv3D, deconv=deconv, norm=norm, dtype=dtype, **kwargs)


def features(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


@pytest.mark.parametrize("smooth", [False, True])
def test_2d_decoder_matches_plain_convolutions(smooth):
    x, skips = features(2, 2, 3, 8), [features(2, 3, 5, 6), features(2, 6, 10, 3)]
    decoder = in_2d((6, 4), flow_channels=4, smooth=smooth)
    flows, variables = jax.jit(decoder.init_with_output)(jax.random.key(0), x, skips)
    params = variables["params"]

    def convolve(x, name):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
        return y + bias.reshape(1, 1, 1, -1)

    def double(x, name):
        return jax.lax.conv_transpose(x, params[name]["kernel"], (2, 2), "SAME")

    expected = [convolve(x, "flow0")]
    for level, skip in enumerate(skips, 1):
        up = nn.leaky_relu(double(x, f"deconv{level}"), 0.1)
        up_flow = double(expected[0], f"upflow{level}")
        height, width = skip.shape[1:3]
        x = jnp.concatenate([skip, up[:, :height, :width], up_flow[:, :height, :width]], -1)
        x = convolve(x, f"smooth{level}") if smooth else x
        expected.insert(0, convolve(x, f"flow{level}"))
    chex.assert_shape(flows, [(2, 6, 10, 4), (2, 3, 5, 4), (2, 2, 3, 4)])
    chex.assert_trees_all_close(flows, expected, rtol=0, atol=1e-4)


def test_single_flow_has_the_size_of_the_last_skip_starts_near_zero_and_trains_all_parameters():
    # Odd sizes, as encoders produce from odd frames, and one level that does not double time.
    x = features(2, 2, 2, 3, 8)
    skips = [features(2, 3, 3, 5, 5), features(2, 3, 6, 10, 3)]
    decoder = in_3d((6, 4), every_size=False, flow_init=NEAR_ZERO)
    variables = jax.jit(decoder.init)(jax.random.key(0), x, skips)

    @jax.jit
    def apply(params):
        variables_now = variables | {"params": params}
        (flow,) = decoder.apply(variables_now, x, skips, mutable=["batch_stats"])[0]
        return flow

    flow = apply(variables["params"])
    assert flow.shape == (2, 3, 6, 10, 2)
    assert 0 < float(jnp.abs(flow).max()) < 0.1
    weights = features(*flow.shape)
    loss = jax.jit(jax.grad(lambda params: (apply(params) * weights).sum()))
    gradients = loss(variables["params"])
    chex.assert_tree_all_finite(gradients)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.abs(gradient).max() > 0, path


def test_3d_decoder_predicts_flow_at_every_size():
    x = features(1, 1, 2, 2, 8)
    skips = [features(1, 2, 4, 4, 5), features(1, 2, 8, 8, 3)]
    flows, _ = jax.eval_shape(in_3d((6, 4)).init_with_output, jax.random.key(0), x, skips)
    assert [flow.shape[1:4] for flow in flows] == [(2, 8, 8), (2, 4, 4), (1, 2, 2)]


@pytest.mark.parametrize(
    "decoder, x, skip",
    [
        (in_2d((4,), smooth=True, dtype=jnp.bfloat16), (1, 2, 2, 4), (1, 4, 4, 3)),
        (in_3d((4,), every_size=False, dtype=jnp.bfloat16), (1, 1, 2, 2, 8), (1, 2, 4, 4, 5)),
    ],
    ids=["2d", "3d"],
)
def test_flow_is_float32_in_bfloat16_models(decoder, x, skip):
    arguments = jax.random.key(0), features(*x), [features(*skip)]
    results = jax.eval_shape(decoder.init_with_output, *arguments)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype("float32")}
