"""2D convolutions, compared with their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn.conv2d import Conv2D, ConvTranspose2D


def features(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


@pytest.mark.parametrize("implementation", ["native", "folded"])
def test_transposed_convolution_matches_loops(implementation):
    """With stride 2 and padding 1, input i contributes to outputs 2 i - 1 to 2 i + 2."""
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


def test_convolution_pads_both_sides_equally_at_stride_2():
    x = features(1, 6, 6, 1)
    layer = Conv2D(1, (3, 3), (2, 2))
    params = {"kernel": jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1)}
    np.testing.assert_array_equal(layer.apply({"params": params}, x), x[:, ::2, ::2])
