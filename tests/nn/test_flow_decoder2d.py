"""The 2D decoder against a decoder written out, and its transposed convolution by definition."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn.conv2d import Conv2D, ConvTranspose2D
from afn_jax.nn.flow_decoder2d import FlowDecoder2D


def features(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


@pytest.mark.parametrize("implementation", ["native", "folded"])
def test_transposed_convolution_spreads_each_input_over_the_kernel(implementation):
    """Stride 2, padding 1: input i reaches outputs 2 i - 1 to 2 i + 2."""
    x = features(2, 3, 2, 5)
    layer = ConvTranspose2D(4, use_bias=True, implementation=implementation)
    params = layer.init(jax.random.key(0), x)["params"] | {"bias": jnp.arange(4.0)}
    kernel = np.asarray(params["kernel"])[::-1, ::-1]
    spread = np.zeros((2, 8, 6, 4))
    for row in range(3):
        for column in range(2):
            patch = np.einsum("nc,hwcf->nhwf", x[:, row, column], kernel)
            spread[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += patch
    expected = spread[:, 1:-1, 1:-1] + np.arange(4)
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, atol=1e-5)


def test_convolution_pads_alike_on_both_sides_at_stride_2():
    x = features(1, 6, 6, 1)
    layer = Conv2D(1, (3, 3), (2, 2))
    params = {"kernel": jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1)}
    np.testing.assert_array_equal(layer.apply({"params": params}, x), x[:, ::2, ::2])


@pytest.mark.parametrize("smooth", [False, True])
def test_decoder_is_the_one_written_out(smooth):
    x, skips = features(2, 2, 3, 8), [features(2, 3, 5, 6), features(2, 6, 10, 3)]
    decoder = FlowDecoder2D((6, 4), flow_channels=4, smooth=smooth, deconv_bias=True)
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
    assert [flow.shape for flow in flows] == [(2, 6, 10, 4), (2, 3, 5, 4), (2, 2, 3, 4)]
    for flow, reference in zip(flows, expected, strict=True):
        np.testing.assert_allclose(flow, reference, atol=1e-4)


def test_flow_is_float32_under_bfloat16():
    x, skips = features(1, 2, 2, 4), [features(1, 4, 4, 3)]
    decoder = FlowDecoder2D((4,), smooth=True, dtype=jnp.bfloat16)
    results = jax.eval_shape(decoder.init_with_output, jax.random.key(0), x, skips)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype("float32")}
