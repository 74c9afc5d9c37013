"""Linear resizing, compared with jax.image.resize, PyTorch, sums in fractions, and differences."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops.resize import resize_linear

RESIZE = jax.jit(resize_linear, static_argnums=(1, 2))

# (height, width) before and after: up and down, by integers and by other factors, primes, one
# pixel, more than 16 taps.
SIZES = (
    *(((1, 7), (1, 1)), ((7, 1), (1, 7)), ((8, 9), (4, 3)), ((4, 3), (8, 9))),
    *(((13, 7), (7, 13)), ((31, 37), (17, 3)), ((17, 3), (31, 37)), ((2, 60), (60, 2))),
    ((64, 22), (63, 23)),
)


def jax_resize(x, size):
    return jax.image.resize(x, (*x.shape[:-3], *size, x.shape[-1]), "bilinear")


@functools.partial(jax.jit, static_argnums=0)
def with_gradient(resize, x, cotangent):
    value, gradient_of = jax.vjp(lambda x: resize(x, cotangent.shape[-3:-1]), x)
    return value, gradient_of(cotangent)[0]


@pytest.mark.parametrize("old, new", SIZES)
def test_equals_jax_image_resize_in_value_and_gradient(old, new, float64):
    random = np.random.default_rng(0)
    x, cotangent = random.normal(size=(2, *old, 2)), random.normal(size=(2, *new, 2))
    value, gradient = with_gradient(resize_linear, x, cotangent)
    expected_value, expected_gradient = with_gradient(jax_resize, x, cotangent)
    np.testing.assert_allclose(value, expected_value, atol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-12)


@pytest.mark.parametrize("size", [(7, 2), (20, 9)])
def test_derivatives_equal_differences(size, float64):
    random = np.random.default_rng(0)
    x, direction, other = random.normal(size=(3, 11, 6, 2))
    weights = random.normal(size=(*size, 2))

    def function(x):
        return jnp.sum(weights * resize_linear(x, size) ** 2)

    def along(x):
        return jax.jvp(function, (x,), (direction,))[1]

    @jax.jit
    def derivatives(x):
        gradient, forward_over_reverse = jax.jvp(jax.grad(function), (x,), (other,))
        forward, twice_forward = jax.jvp(along, (x,), (other,))
        return (
            function(x),
            forward,
            gradient,
            forward_over_reverse,
            twice_forward,
            jax.grad(along)(x),
        )

    h = 1e-4
    _, forward, gradient, hessian, twice_forward, reverse_over_forward = derivatives(x)
    above, below = derivatives(x + h * direction), derivatives(x - h * direction)
    difference = (above[0] - below[0]) / (2 * h)
    np.testing.assert_allclose(forward, difference, rtol=1e-8)
    np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-8)
    np.testing.assert_allclose(
        reverse_over_forward, (above[2] - below[2]) / (2 * h), rtol=1e-7, atol=1e-8
    )
    np.testing.assert_allclose(np.sum(hessian * direction), twice_forward, rtol=1e-10)
    np.testing.assert_allclose(np.sum(reverse_over_forward * other), twice_forward, rtol=1e-10)


@pytest.mark.parametrize("old, new", [(5, 3), (3, 5), (37, 2), (4, 8)])
def test_weights_are_those_of_a_triangle_around_the_center(old, new, float64):
    """In fractions, so that no rounding is shared with the function."""
    weights = RESIZE(np.eye(old), (new,), (0,))
    step = Fraction(old, new)
    for i in range(new):
        center = (i + Fraction(1, 2)) * step
        row = [max(0, 1 - abs(j + Fraction(1, 2) - center) / max(step, 1)) for j in range(old)]
        expected = [float(weight / sum(row)) for weight in row]
        np.testing.assert_allclose(weights[i], expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("size", [(5, 48), (50, 1)])
def test_equals_pytorch_with_antialias(size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, 16, 24, 3))
    expected = torch.nn.functional.interpolate(
        torch.tensor(x).movedim(-1, 1), size=size, mode="bilinear", antialias=True
    )
    # PyTorch rounds the weights of float64 images to about float32.
    np.testing.assert_allclose(
        RESIZE(jnp.asarray(x, jnp.float32), size), expected.movedim(1, -1), atol=1e-6
    )


@pytest.mark.parametrize("dtype, ulp", [(jnp.float16, 2**-11), (jnp.bfloat16, 2**-8)])
def test_half_precision_is_rounded_once(dtype, ulp):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(9, 20, 2)), dtype)
    resized = RESIZE(x, (4, 33))
    assert resized.dtype == dtype
    exact = RESIZE(jnp.asarray(x, jnp.float32), (4, 33))
    np.testing.assert_allclose(np.asarray(resized, np.float64), exact, rtol=ulp, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 40), (12, 10)])
def test_nan_reaches_only_pixels_that_depend_on_it(size):
    x = np.zeros((12, 20, 1), np.float32)
    x[0, 0] = np.nan
    rows, columns = (-(-2 * new // old) + 1 for new, old in zip(size, (12, 20), strict=True))
    resized = np.asarray(RESIZE(x, size))
    assert np.isnan(resized[0, 0])
    assert not np.isnan(resized[rows:]).any() and not np.isnan(resized[:, columns:]).any()


def test_vmap_equals_a_leading_axis_also_for_gradients():
    x = np.random.default_rng(0).normal(size=(3, 6, 41, 2)).astype(np.float32)
    value_and_gradient = jax.jit(
        jax.value_and_grad(lambda x: jnp.sum(resize_linear(x, (9, 2)) ** 2))
    )
    values, gradients = jax.jit(jax.vmap(value_and_gradient))(x)
    np.testing.assert_allclose(np.sum(values), value_and_gradient(x)[0], rtol=1e-6)
    np.testing.assert_allclose(gradients, value_and_gradient(x)[1], rtol=1e-5, atol=1e-7)


def test_exports_with_a_symbolic_batch():
    function = jax.value_and_grad(lambda x: jnp.sum(resize_linear(x, (3, 40)) ** 2))
    (batch,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, 7, 2, 2), jnp.float32)
    exported = jax.export.export(jax.jit(function))(shape)
    x = np.random.default_rng(0).normal(size=(4, 7, 2, 2)).astype(np.float32)
    for result, expected in zip(exported.call(x), jax.jit(function)(x), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_no_products_with_matrices():
    def function(x):
        return jax.vjp(lambda x: resize_linear(x, (40, 2)), x)[1](jnp.ones((40, 2, 2)))

    text = jax.jit(function).lower(jnp.ones((3, 60, 2))).as_text()
    assert "dot" not in text and "scatter" not in text
