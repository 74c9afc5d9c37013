"""3D convolutions: both implementations compared with plain loops and with each other."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn import Conv3D, ConvTranspose3D, conv3d, conv_transpose3d

BOTH = ("native", "folded")
CONV3D = jax.jit(conv3d, static_argnames=("strides", "implementation"))
CONV_TRANSPOSE3D = jax.jit(conv_transpose3d, static_argnames=("upsample_time", "implementation"))


def loop_conv3d(x, kernel, strides):
    """Computes the convolution by its definition, tap by tap, with zeros outside."""
    half = [(size - 1) // 2 for size in kernel.shape[:3]]
    sizes = [(size - 1) // stride + 1 for size, stride in zip(x.shape[1:4], strides, strict=True)]
    out = np.zeros((len(x), *sizes, kernel.shape[-1]))
    for place in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, kernel.shape[:3])):
            read = [p * s + k - h for p, s, k, h in zip(place, strides, tap, half, strict=True)]
            if all(0 <= r < n for r, n in zip(read, x.shape[1:4], strict=True)):
                out[(slice(None), *place)] += x[(slice(None), *read)] @ kernel[tap]
    return out


def loop_conv_transpose3d(x, kernel, doubling):
    """Adds each input pixel to the outputs, weighted by the mirrored kernel."""
    sizes = [n * (2 if double else 1) for n, double in zip(x.shape[1:4], doubling, strict=True)]
    out = np.zeros((len(x), *sizes, kernel.shape[-1]))
    mirrored = kernel[::-1, ::-1, ::-1]
    for place in itertools.product(*map(range, x.shape[1:4])):
        for tap in itertools.product(*map(range, kernel.shape[:3])):
            write = [
                p * (2 if double else 1) + k - 1
                for p, k, double in zip(place, tap, doubling, strict=True)
            ]
            if all(0 <= w < n for w, n in zip(write, sizes, strict=True)):
                out[(slice(None), *write)] += x[(slice(None), *place)] @ mirrored[tap]
    return out


@pytest.mark.parametrize(
    "size, taps, strides",
    [
        ((1, 1, 1), (3, 7, 7), (1, 2, 2)),
        ((2, 3, 4), (1, 1, 1), (2, 2, 2)),
        ((5, 4, 3), (3, 3, 3), (2, 2, 2)),
        # Outputs of more than `FEW_PIXELS` pixels.
        ((3, 5, 6), (1, 3, 3), (1, 1, 1)),
        ((4, 5, 6), (3, 3, 3), (2, 1, 1)),
        ((3, 9, 10), (3, 7, 7), (1, 2, 2)),
        # Temporal and spatial taps that only see padding.
        ((1, 5, 6), (3, 3, 3), (1, 1, 1)),
        ((2, 5, 6), (3, 3, 3), (2, 1, 1)),
        ((2, 18, 1), (5, 3, 5), (1, 1, 2)),
        ((2, 1, 40), (1, 1, 1), (2, 2, 2)),
        # Two frames.
        ((2, 5, 6), (3, 3, 3), (1, 1, 1)),
        ((2, 9, 10), (3, 7, 7), (1, 2, 2)),
        ((2, 15, 16), (3, 3, 3), (1, 1, 1)),
    ],
)
def test_conv3d_matches_loops(size, taps, strides, float64):
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, *size, 3)), random.normal(size=(*taps, 3, 2))
    expected = loop_conv3d(x, kernel, strides)
    for implementation in BOTH:
        result = CONV3D(x, kernel, strides=strides, implementation=implementation)
        np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 2, 4)])
@pytest.mark.parametrize("upsample_time", [True, False])
def test_conv_transpose3d_matches_loops(size, upsample_time, float64):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, *size, 3))
    kernel = random.normal(size=(4 if upsample_time else 3, 4, 4, 3, 2))
    expected = loop_conv_transpose3d(x, kernel, (upsample_time, True, True))
    for implementation in BOTH:
        result = CONV_TRANSPOSE3D(
            x, kernel, upsample_time=upsample_time, implementation=implementation
        )
        np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize(
    "function, taps",
    [
        (functools.partial(conv3d, strides=(1, 2, 2)), (3, 7, 7)),
        (functools.partial(conv_transpose3d, upsample_time=True), (4, 4, 4)),
        (functools.partial(conv_transpose3d, upsample_time=False), (3, 4, 4)),
    ],
)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_gradients_of_both_implementations_agree(function, taps, length, float64):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, length, 9, 10, 3))
    kernel = random.normal(size=(*taps, 3, 4))

    def gradients(implementation):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel, implementation=implementation)))

        return jax.jit(jax.grad(loss, (0, 1)))(x, kernel)

    chex.assert_trees_all_close(*map(gradients, BOTH), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("implementation", BOTH)
def test_layers_compute_in_their_dtype_and_keep_float32_parameters(implementation):
    x = jnp.ones((1, 2, 4, 4, 3))
    for layer, size in (
        (Conv3D(2, use_bias=True, dtype=jnp.bfloat16, implementation=implementation), (2, 4, 4)),
        (ConvTranspose3D(2, dtype=jnp.bfloat16, implementation=implementation), (4, 8, 8)),
    ):
        result, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
        assert result.dtype == jnp.bfloat16 and result.shape == (1, *size, 2)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_parameters_do_not_depend_on_the_implementation():
    x = jnp.ones((1, 2, 4, 4, 3))
    for make in (Conv3D, ConvTranspose3D):
        native, folded = (
            jax.jit(make(2, implementation=way).init)(jax.random.key(0), x) for way in BOTH
        )
        chex.assert_trees_all_equal(native, folded)


@pytest.mark.parametrize("upsample_time", [True, False])
def test_initial_transposed_convolutions_preserve_the_mean_square_after_relu(upsample_time):
    """He initialization doubles the mean square, because ReLU halves it."""
    x = jax.nn.relu(jax.random.normal(jax.random.key(0), (2, 4, 12, 12, 32)))
    layer = ConvTranspose3D(32, upsample_time=upsample_time)
    y, _ = jax.jit(layer.init_with_output)(jax.random.key(1), x)
    inner = y[:, 1:-1, 2:-2, 2:-2]
    assert 0.8 < float(inner.var() / (2 * (x**2).mean())) < 1.2


def test_rejects_wrong_taps_and_unknown_implementations(untyped):
    x, kernel = jnp.ones((1, 2, 4, 4, 3)), jnp.ones((3, 4, 4, 3, 2))
    with pytest.raises(ValueError, match=r"kernel: got taps \(3, 4, 4\), expected \(4, 4, 4\)"):
        conv_transpose3d(x, kernel, upsample_time=True)
    with pytest.raises(ValueError, match="implementation: got 'fast'; allowed:"):
        conv3d(x, kernel[:, :3, :3], implementation="fast")
