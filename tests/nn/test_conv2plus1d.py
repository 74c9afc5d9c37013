"""(2+1)D layers: values compared with XLA's 3D convolution, and shapes of the kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn.conv import Conv3D
from afn_jax.nn.conv2plus1d import separable_conv, temporal_bottleneck
from afn_jax.nn.resnet import ResNetEncoder


def no_norm(name):
    return lambda x: x


def convolve(x, kernel, strides):
    half = [(size // 2,) * 2 for size in kernel.shape[:3]]
    return jax.lax.conv_general_dilated(
        x, kernel, strides, half, dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )


def test_separable_convolution_is_space_then_relu_then_time():
    x = jax.random.normal(jax.random.key(0), (1, 5, 6, 7, 3))
    layer = separable_conv(Conv3D, no_norm)(4, (3, 3, 3), (2, 2, 2), name="conv")
    result, variables = jax.jit(layer.init_with_output)(jax.random.key(1), x)
    space = variables["params"]["conv_space"]["kernel"]
    time = variables["params"]["conv_time"]["kernel"]
    assert space.shape == (1, 3, 3, 3, 4) and time.shape == (3, 1, 1, 4, 4)
    expected = convolve(jax.nn.relu(convolve(x, space, (1, 2, 2))), time, (2, 1, 1))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (1, 7, 7)])
def test_kernels_without_time_or_space_stay_one_convolution(kernel):
    layer = separable_conv(Conv3D, no_norm)(4, kernel, (1, 1, 1), name="conv")
    variables = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 2, 4, 4, 3)))
    assert variables["params"]["kernel"].shape == (*kernel, 3, 4)


def test_temporal_bottlenecks_alternate_as_in_the_authors_code():
    encoder = ResNetEncoder(
        stem_kernel=(7, 7, 7),
        stem_strides=(2, 2, 2),
        stage_strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)),
        conv=Conv3D,
        norm=no_norm,
        width=2,
        stage_sizes=(3, 4, 6, 3),
        block=temporal_bottleneck,
    )
    x = jax.ShapeDtypeStruct((1, 8, 32, 32, 3), jnp.float32)
    features, variables = jax.eval_shape(encoder.init_with_output, jax.random.key(0), x)
    assert [f.shape[1:] for f in features] == [
        (4, 16, 16, 2),
        (4, 8, 8, 8),
        (4, 4, 4, 16),
        (4, 2, 2, 32),
        (4, 1, 1, 64),
    ]
    blocks = variables["params"]
    shapes = {
        name: {k: v["kernel"].shape for k, v in blocks[name].items()}
        for name in blocks
        if name.startswith("res")
    }
    assert [shapes[f"res4_{k}"]["conv1"][:3] for k in range(6)] == [
        (3, 1, 1),
        (3, 1, 1),
        (1, 1, 1),
        (3, 1, 1),
        (1, 1, 1),
        (3, 1, 1),
    ]
    assert [shapes[f"res5_{k}"]["conv1"][0] for k in range(3)] == [3, 3, 1]
    assert {shape["conv2"][:3] for shape in shapes.values()} == {(1, 3, 3)}
    assert {shape["conv3"][:3] for shape in shapes.values()} == {(1, 1, 1)}
    assert sorted(name for name in shapes if "shortcut_conv" in shapes[name]) == [
        "res2_0",
        "res3_0",
        "res4_0",
        "res5_0",
    ]
