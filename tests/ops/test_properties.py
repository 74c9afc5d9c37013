"""Properties of every function of maps in `ops` and `losses`.

Shapes and dtypes; arithmetic in float32 or higher precision; independence of the examples of a
batch; the same results under `jit`, `vmap` and `pmap`; no NaN for finite input.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as hypothesis_arrays

from afn_jax import losses, ops
from tests.ops.map_functions import FUNCTIONS, KINDS
from tests.programs import equations_in

LOW = ("bfloat16", "float16")
# Primitives that move or compare values and so lose nothing in low precision.
EXACT = {
    "abs",
    "broadcast_in_dim",
    "clamp",
    "concatenate",
    "convert_element_type",
    "copy",
    "dynamic_slice",
    "gather",
    "max",
    "min",
    "neg",
    "pad",
    "reduce_max",
    "reduce_min",
    "reshape",
    "rev",
    "select_n",
    "sign",
    "slice",
    "squeeze",
    "stack",
    "transpose",
}
# Public names that are not functions of maps.
NO_MAPS = {
    "MotionNetWeights",
    "RepresentationFlowParams",
    "TVL1Config",
    "effective_weights",
    "initial_params",
    "pixel_grid",
}
# The first two draw random numbers for the whole batch; the loss is divided by the batch size.
NOT_BY_EXAMPLE = {"color_jitter", "gaussian_noise", "motionnet_loss, caffe"}

# Losses that only add up other functions of this list.
SUMS = {
    "flow_loss",
    "jointflow3d_loss",
    "motionnet_loss",
    "multiscale_endpoint_error",
    "ssim_loss",
    "uf_tsn_loss",
}


def every(functions):
    return pytest.mark.parametrize("function", functions, ids=lambda function: function.name)


def example(function, seed, leading=(2,)):
    random = np.random.default_rng(seed)
    arrays = [KINDS[kind](random, (*leading, *shape)) for kind, shape in function.arguments]
    return tuple(x.astype(np.float32) if x.dtype == np.float64 else x for x in arrays)


def close(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    if expected.dtype in (np.bool_, np.uint8):
        # A color may fall on either side of an integer.
        assert np.all(np.abs(actual.astype(int) - expected.astype(int)) <= (expected.dtype == "u1"))
    else:
        size = max(np.max(np.abs(expected)), 1)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * size)


def test_every_public_function_of_maps_is_covered():
    public = {*ops.__all__, *losses.__all__}
    names = [function.name for function in FUNCTIONS]
    assert len(set(names)) == len(names)
    public_names = {function.public_name for function in FUNCTIONS}
    assert public_names | NO_MAPS == public and not public_names & NO_MAPS


def traced(function, dtype, leading):
    """Returns the shapes of the arguments with their floats in `dtype`."""
    return [
        jax.ShapeDtypeStruct(x.shape, dtype if x.dtype == np.float32 else x.dtype)
        for x in example(function, 0, leading)
    ]


def check_shape_and_dtype(function, dtype):
    for leading in [(), (2,), (2, 3), (0,)] if function.any_leading else [(1,), (2,)]:
        if leading == (0,) and function.name == "tvl1_flow":
            continue  # it rejects empty frames
        result = jax.eval_shape(function.call, *traced(function, dtype, leading))
        assert result.shape == (() if function.gives == "mean" else (*leading, *function.shape))
        better = "float64" if dtype == "float64" else "float32"
        expected = {"same": dtype, "float32": better}.get(function.dtype, function.dtype)
        assert result.dtype == expected


@every(FUNCTIONS)
def test_shape_and_dtype(function):
    for dtype in (*LOW, "float32"):
        check_shape_and_dtype(function, dtype)


@every(FUNCTIONS)
def test_shape_and_dtype_in_double_precision(function, float64):
    check_shape_and_dtype(function, "float64")


@every(FUNCTIONS)
def test_low_precision_computes_in_float32(function):
    for dtype in LOW:
        program = jax.make_jaxpr(function.call)(*traced(function, dtype, (2,)))
        rounded = {
            equation.primitive.name
            for equation in equations_in(program.jaxpr)
            if any(str(variable.aval.dtype) == dtype for variable in equation.outvars)
        }
        assert rounded <= EXACT


@pytest.mark.slow
@every(FUNCTIONS)
def test_jit_vmap_pmap_and_eager_agree(function):
    compiled = jax.jit(function.call)
    if function.name not in NOT_BY_EXAMPLE:
        one_by_one = jax.jit(jax.vmap(function.call)), jax.pmap(function.call)
        for seed in range(3):
            arrays = example(function, seed)
            together = compiled(*arrays)
            for transformed in one_by_one:
                alone = np.asarray(transformed(*(x[:, None] for x in arrays)))
                if function.gives == "mean":
                    close(np.mean(alone, dtype=np.float32), together)
                else:
                    close(alone[:, 0], together)
    if function.public_name not in SUMS:
        arrays = example(function, 0)
        close(function.call(*arrays), compiled(*arrays))


def of_any_size(function, seed, largest):
    """Returns arguments of all magnitudes up to `largest`: both signs, zeros, repeated values."""
    random = np.random.default_rng(seed)
    arrays = []
    for x in example(function, seed):
        if x.dtype == np.float32:
            exponent = random.uniform(-45, np.log10(largest), x.shape)
            extreme = random.choice([0.0, largest], x.shape)
            values = np.where(random.uniform(size=x.shape) < 0.5, 10.0**exponent, extreme)
            signs = random.choice([-1.0, 1.0], x.shape)
            x = (signs * np.minimum(values, largest)).astype(np.float32)
        arrays.append(x)
    return arrays


def nasty(function, value):
    """Yields constant, opposite and mixed arguments of one magnitude, and some ordinary ones."""
    ordinary = example(function, 0)
    pattern = np.array([value, 0, -value, 0.5, value, value], np.float32)

    def filled(*patterns):
        return [
            np.resize(patterns[i % len(patterns)], x.shape) if x.dtype == np.float32 else x
            for i, x in enumerate(ordinary)
        ]

    mixed = filled(pattern)
    yield from (filled(pattern[:1]), filled(pattern[:1], pattern[2:3]), mixed)
    yield [new if i % 2 else old for i, (new, old) in enumerate(zip(mixed, ordinary, strict=True))]
    yield [old if i % 2 else new for i, (new, old) in enumerate(zip(mixed, ordinary, strict=True))]


def draw_floats(data, like):
    """Draws an array of arbitrary finite floats with the shape of `like`."""
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return data.draw(hypothesis_arrays(np.float32, like.shape, elements=floats))


def value_and_gradients(function):
    """Compiles the function and the gradients of a weighted sum in which nothing cancels."""
    is_float = [kind not in ("mask", "labels") for kind, _ in function.arguments]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def differentiated(floats, others):
        floats, others = iter(floats), iter(others)
        result = function.call(*(next(floats if each else others) for each in is_float))
        if not jnp.issubdtype(result.dtype, jnp.floating):
            return jnp.zeros(()), result
        # Small weights, so that the sum of finite values is finite.
        weights = jnp.cos(jnp.arange(result.size)) / max(result.size, 1)
        return jnp.sum(weights.reshape(result.shape) * result), result

    def run(arrays):
        floats = [x for x, each in zip(arrays, is_float, strict=True) if each]
        others = [x for x, each in zip(arrays, is_float, strict=True) if not each]
        (_, result), gradients = differentiated(floats, others)
        return np.asarray(result, np.float64), gradients

    return run


@pytest.mark.slow
@every(FUNCTIONS)
def test_no_finite_input_gives_nan(function):
    run = value_and_gradients(function)
    inputs = [of_any_size(function, seed, 10.0 ** (seed - 3)) for seed in range(0, 36, 3)]
    for value in (0.0, 1e-45, 1e-40, 1e-30, 1e-7, 1.0, -2.0, 255.0, 1e10, 1e18, 1e30, 3e38):
        inputs.extend(nasty(function, value))

    def check(arrays):
        result, gradients = run(arrays)
        assert not np.any(np.isnan(result))
        if max(np.max(np.abs(x)) for x in arrays) <= function.finite_to:
            chex.assert_tree_all_finite((result, gradients))

    for arrays in inputs:
        check(arrays)

    @settings(max_examples=20, deadline=None, derandomize=True, database=None)
    @given(st.data())
    def check_whatever_hypothesis_finds(data):
        check([draw_floats(data, x) if x.dtype == np.float32 else x for x in example(function, 0)])

    check_whatever_hypothesis_finds()
    if function.any_leading and function.name != "tvl1_flow":
        result, _ = run(example(function, 0, (0,)))
        assert np.all(result == 0)  # the mean of an empty batch, or an empty result
