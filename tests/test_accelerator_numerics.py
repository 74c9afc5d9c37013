"""No op or loss loses precision on an accelerator, forward or backward.

GPUs and TPUs shorten the factors of float32 products unless told otherwise, which no CPU shows. So
this looks at the programs, traced for a GPU and for the CPU.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax import losses, ops
from afn_jax.ops.backend import tracing_for
from tests.ops.map_functions import FUNCTIONS, KINDS, Function
from tests.programs import all_equations_in

HIGHEST = jax.lax.Precision.HIGHEST
PRODUCTS = {"dot_general", "conv_general_dilated"}
SUMS = {"reduce_sum", "reduce_prod", "cumsum", "cumprod", "scatter-add", "reduce_window_sum"}

# Public names that compute nothing from arrays.
WITHOUT_ARRAYS = {
    *("MotionNetWeights", "RepresentationFlowParams", "TVL1Config"),  # records
    *("effective_weights", "initial_params", "pixel_grid"),  # from numbers
}


SHORT = dict(num_scales=1, num_warps=1, num_iterations=2)
# Paths that the functions of all maps do not take.
MORE = (
    Function(
        "multiscale_endpoint_error, with mask",
        lambda flow, target, mask: losses.multiscale_endpoint_error(
            [flow], target, weights=(1.0,), mask=mask
        ),
        (("flow", (4, 5, 2)), ("flow", (8, 9, 2)), ("mask", (8, 9))),
    ),
    Function(
        "representation_flow, learned kernels",
        lambda a, b, kernel: ops.representation_flow(
            a, b, ops.RepresentationFlowParams(divergence=kernel[0]), num_iterations=2
        ),
        (("features", (4, 5, 2)), ("features", (4, 5, 2)), ("flow", (2, 2))),
    ),
)
SLOW = (
    Function(
        "tvl1_flow, with energy",
        lambda *frames: ops.tvl1_flow(
            *frames, ops.TVL1Config(**SHORT, median_size=1), return_energy=True
        ),
        (("image", (8, 9)), ("image", (8, 9))),
    ),
    Function(
        "representation_flow, pallas",
        lambda a, b: ops.representation_flow(a, b, num_iterations=2, implementation="pallas"),
        (("features", (4, 5, 2)), ("features", (4, 5, 2))),
    ),
)


def every(functions):
    return pytest.mark.parametrize("function", functions, ids=lambda function: function.name)


def shortened_products(program):
    """Lists products whose float32 factors a GPU or TPU may shorten to TF32 or bfloat16."""
    return [
        str(equation)
        for equation in all_equations_in(program.jaxpr)
        if equation.primitive.name in PRODUCTS
        and equation.params["precision"] not in (HIGHEST, (HIGHEST, HIGHEST))
    ]


def half_precision_sums(program):
    """Lists sums of half-precision numbers, and products that return such sums."""
    found = []
    for equation in all_equations_in(program.jaxpr):
        name = equation.primitive.name
        summed = equation.invars if name in SUMS else equation.outvars if name in PRODUCTS else ()
        if any(bits(variable.aval) == 16 for variable in summed):
            found.append(str(equation))
    return found


def float64_in(program):
    """Lists equations and constants with float64 numbers."""
    found = [str(c.dtype) for c in program.consts if bits(c) == 64]
    for equation in all_equations_in(program.jaxpr):
        if any(bits(variable.aval) == 64 for variable in (*equation.invars, *equation.outvars)):
            found.append(str(equation))
    return found


def shortened_float64_in(program):
    """Lists conversions from float64, and constants that were rounded to less.

    Numbers such as 0.5 are the same in float16, so they were not rounded.
    """
    found = [f"constant {c}" for c in program.consts if was_rounded(c)]
    for equation in all_equations_in(program.jaxpr):
        constants = [v.val for v in equation.invars if hasattr(v, "val")]
        widths = [bits(v.aval) for v in (*equation.invars, *equation.outvars)]
        if equation.primitive.name == "convert_element_type" and widths in ([64, 32], [64, 16]):
            found.append(str(equation))
        elif any(was_rounded(c) for c in constants):
            found.append(str(equation))
    return found


def was_rounded(constant):
    if bits(constant) not in (16, 32):
        return False
    with np.errstate(over="ignore"):
        return not np.array_equal(constant, np.asarray(constant, np.float16), equal_nan=True)


def bits(array):
    dtype = getattr(array, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        return None
    return jnp.finfo(dtype).bits


def programs(function, dtype, platform):
    """Yields the programs of a function and of its gradient by all float arguments."""
    random = np.random.default_rng(0)
    drawn = [KINDS[kind](random, (2, *shape)) for kind, shape in function.arguments]
    floats = [i for i, x in enumerate(drawn) if x.dtype == np.float64]
    arguments = [
        jax.ShapeDtypeStruct(x.shape, dtype if i in floats else x.dtype)
        for i, x in enumerate(drawn)
    ]

    # Both are new functions, because JAX keeps traces by function.
    def forward(*values):
        return function.call(*values)

    def backward(*values):
        def of_floats(*moving):
            changed = dict(zip(floats, moving, strict=True))
            result = function.call(*(changed.get(i, value) for i, value in enumerate(values)))
            return [x for x in jax.tree.leaves(result) if jnp.issubdtype(x.dtype, jnp.floating)]

        results, gradients_of = jax.vjp(of_floats, *(values[i] for i in floats))
        return gradients_of([jnp.ones_like(x) for x in results])

    with tracing_for(platform):
        yield "forward", jax.make_jaxpr(forward)(*arguments)
        if floats:
            yield "backward", jax.make_jaxpr(backward)(*arguments)


def test_every_public_function_is_traced():
    traced = {function.public_name for function in FUNCTIONS}
    assert not traced & WITHOUT_ARRAYS
    assert {*ops.__all__, *losses.__all__} == traced | WITHOUT_ARRAYS


@every([*FUNCTIONS, *MORE])
def test_products_are_exact_and_sums_in_float32_on_a_gpu(function):
    check(programs(function, jnp.bfloat16, "cuda"))


@every(FUNCTIONS)
def test_products_are_exact_and_sums_in_float32_on_a_cpu(function):
    check(itertools.islice(programs(function, jnp.bfloat16, "cpu"), 1))


@pytest.mark.slow
@every([*FUNCTIONS, *SLOW])
def test_products_are_exact_and_sums_in_float32_in_every_gradient(function):
    for platform in ("cpu", "cuda"):
        check(programs(function, jnp.bfloat16, platform))


def check(found):
    for direction, program in found:
        assert not shortened_products(program), direction
        assert not half_precision_sums(program), direction
        assert not float64_in(program), direction


@every(FUNCTIONS)
def test_float64_is_not_shortened(function, float64):
    for direction, program in itertools.islice(programs(function, jnp.float64, "cuda"), 1):
        assert not shortened_products(program), direction
        assert not shortened_float64_in(program), direction


ONES = jnp.ones((4, 4), jnp.float32)


@jax.custom_vjp
def custom(x):
    return x + 1


custom.defvjp(lambda x: (x + 1, x), lambda x, cotangent: (jnp.dot(cotangent, x),))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x @ x,
        lambda x: jnp.dot(x, x, precision="high"),
        lambda x: jax.lax.scan(lambda c, _: (c @ c, None), x, length=2)[0],
        lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x, lambda x: x @ x, x),
        lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 3, lambda x: x @ x, x),
        lambda x: jax.checkpoint(jax.jit(lambda x: x @ x))(x),
        jax.grad(lambda x: custom(x).sum()),
        lambda x: jax.lax.conv(x[None, None], x[None, None], (1, 1), "SAME"),
    ],
)
def test_finds_shortened_products(call):
    assert shortened_products(jax.make_jaxpr(call)(ONES))


def test_finds_sums_of_half_precision():
    half = ONES.astype(jnp.bfloat16)
    backward = jax.grad(lambda x: jnp.broadcast_to(x[:1], (4, 4)).sum(dtype=jnp.float32))
    for call in (backward, lambda x: jnp.dot(x, x, precision="highest")):
        assert half_precision_sums(jax.make_jaxpr(call)(half))
    assert not half_precision_sums(jax.make_jaxpr(jnp.sum)(half))  # adds up in float32


def test_finds_float64_and_what_shortens_it(float64):
    wide, third = ONES.astype(jnp.float64), jnp.float32(1 / 3)
    assert float64_in(jax.make_jaxpr(lambda x: x.astype(jnp.float64))(ONES))
    assert not float64_in(jax.make_jaxpr(lambda x: x + x)(ONES))
    for call in (lambda x: x.astype(jnp.float32), lambda x: x * third, lambda x: x + 3 * third):
        assert shortened_float64_in(jax.make_jaxpr(call)(wide))
    assert not shortened_float64_in(jax.make_jaxpr(lambda x: x * jnp.float32(0.375))(wide))
