"""I3D: the published feature map sizes, TensorFlow's padding, and the average over time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn.conv import Conv3D
from afn_jax.nn.i3d import InceptionI3D, _conv_same
from afn_jax.nn.pooling import max_pool_same
from tests.filled_variables import filled_variables


def test_feature_maps_have_the_sizes_of_figure_3():
    """In Figure 3, time is halved three times, height and width five times."""
    seen = {}

    def run(clip):
        model = InceptionI3D(5, width=4)
        _, state = model.init_with_output(
            jax.random.key(0), clip, train=False, capture_intermediates=True, mutable=True
        )
        return state["intermediates"]

    for name, value in jax.eval_shape(run, jnp.zeros((1, 64, 224, 224, 2))).items():
        if name != "__call__":
            seen[name] = value["__call__"][0].shape[1:4]
    # One more than half: it includes the first window, which `_conv_same` drops.
    assert seen["conv1a"] == (33, 113, 113)
    assert seen["conv2c"] == (32, 56, 56) and seen["mixed3c_0"] == (32, 28, 28)
    assert seen["mixed4f_0"] == (16, 14, 14) and seen["mixed5c_0"] == (8, 7, 7)


@pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9), (2, 7, 4), (1, 1, 2)])
def test_strided_convolution_pads_like_tensorflow(size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    layer = Conv3D(4, (7, 7, 7), (2, 2, 2))
    params = filled_variables(layer, x)
    expected = jax.lax.conv_general_dilated(
        x,
        params["params"]["kernel"],
        (2, 2, 2),
        "SAME",
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )
    result = jax.jit(lambda p, x: _conv_same(lambda x: layer.apply(p, x), x))(params, x)
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9), (1, 2, 3)])
@pytest.mark.parametrize(
    "window, strides", [((3, 3, 3), (1, 1, 1)), ((1, 3, 3), (1, 2, 2)), ((2, 2, 2), (2, 2, 2))]
)
def test_pooling_pads_like_tensorflow(size, window, strides):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    ones, all_strides = (1, *window, 1), (1, *strides, 1)
    expected = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, ones, all_strides, "SAME")
    np.testing.assert_array_equal(max_pool_same(x, window, strides), expected)


@pytest.mark.slow
def test_scores_average_windows_of_two_frames():
    """24 frames become 3 feature maps, whose weights are 1/4, 1/2 and 1/4."""
    model = InceptionI3D(2, width=4)
    clip = jax.random.uniform(jax.random.key(0), (1, 24, 32, 32, 3))
    variables = filled_variables(model, clip, train=False)
    logits, state = jax.jit(
        lambda v, x: model.apply(v, x, train=False, capture_intermediates=True)
    )(variables, clip)
    branches = [
        jax.nn.relu(state["intermediates"][f"mixed5c_{name}_norm"]["__call__"][0])
        for name in ("0", "1b", "2b", "3")
    ]
    features = np.concatenate(branches, -1).mean((2, 3))
    assert features.shape == (1, 3, 64)
    pooled = np.array([0.25, 0.5, 0.25]) @ features[0]
    classifier = variables["params"]["classifier"]
    expected = pooled @ classifier["kernel"] + classifier["bias"]
    np.testing.assert_allclose(logits[0], expected, rtol=1e-4)
