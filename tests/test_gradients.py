"""Compares the derivatives of every differentiable function with finite differences.

`python -m tests.test_gradients` writes the measured errors to docs/gradient-checks.md.
"""

import dataclasses
import functools
import inspect
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax import losses, nn, ops
from tests.gradient_cases import Case, in_float64, nn_cases, ops_cases, random_array
from tests.gradient_loss_cases import loss_cases

CASES = (*ops_cases(), *loss_cases(), *nn_cases())

TABLE = Path(__file__).resolve().parent.parent / "docs" / "gradient-checks.md"
LARGEST_FIRST, LARGEST_SECOND, LARGEST_MISMATCH = 1e-5, 1e-4, 1e-9
NUM_DIRECTIONS = 3

# Public names without a case, and why.
NOT_DIFFERENTIABLE = {
    "MotionNetWeights": "a record of numbers",
    "RepresentationFlowParams": "a record; a case of representation_flow differentiates by it",
    "TVL1Config": "a record of fixed numbers",
    "batch_norm": "creates layers",
    "color_jitter": "augments data, which needs no gradient",
    "effective_weights": "takes and returns numbers, not arrays",
    "flow_to_rgb": "returns uint8",
    "gaussian_noise": "augments data, which needs no gradient",
    "initial_params": "has no input",
    "pixel_grid": "has no input",
    "resize_mask": "returns bool",
    "visibility_mask": "returns bool",
    "warp_mask": "returns bool",
}


INTRODUCTION = """# Gradient checks

`tests/test_gradients.py` compares the derivatives of every differentiable function of
`afn_jax.ops`, `afn_jax.losses` and `afn_jax.nn` with finite differences, in float64 and along three
random directions. `python -m tests.test_gradients` writes this page.

- **First order** is the largest relative error of `jax.jvp`, compared with differences of the
  function. `jax.vjp` agrees with `jax.jvp` up to rounding in every row.
- **Second order** is the largest relative error of `jax.jvp` of the gradient, compared with
  differences of the gradient. A dash means that there is no second derivative, or that it takes too
  long to compile in a test.
- *one-sided* marks a kink at which the function is documented to use the slope toward larger
  values, so the differences are taken only in that direction.
- *finite* marks a point at which finite differences are meaningless, such as the tip of an absolute
  value. There, the test checks that values and derivatives are finite and that `jax.jvp` and
  `jax.vjp` agree.

| Function | With respect to | Point | First order | Second order |
|---|---|---|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Errors:
    """Largest errors over several directions; None where there is nothing to compare with.

    first: relative error of the derivative.
    second: relative error of the derivative of the gradient.
    mismatch: relative difference between forward and reverse mode.
    finite: whether values and first derivatives are finite.
    """

    first: float | None
    second: float | None
    mismatch: float
    finite: bool


@functools.partial(jax.jit, static_argnames=("of", "second"))
def derivatives(of, inputs, constants, direction, weights, *, second):
    """Returns the value, its derivative along the direction, the gradient, and its derivative."""

    def function(inputs):
        return of(*inputs, *constants)

    def gradient(inputs):
        return jax.grad(lambda inputs: jnp.sum(weights * function(inputs)))(inputs)

    value, along = jax.jvp(function, (inputs,), (direction,))
    if not second:
        return value, along, gradient(inputs), None
    slope, slope_along = jax.jvp(gradient, (inputs,), (direction,))
    return value, along, slope, slope_along


def measure(case: Case) -> Errors:
    """Measures the errors of a case; needs double precision."""
    inputs = in_float64(case.inputs)
    shape = jax.eval_shape(case.of, *inputs, *case.constants).shape
    random = np.random.default_rng(0)
    compare_second = case.second and case.orders == 2 and case.sides != 0
    first, second, mismatch, finite = [], [], [], True
    for _ in range(NUM_DIRECTIONS):
        direction = jax.tree.map(lambda x: case.scale * random.normal(size=x.shape), inputs)
        if case.sides == 1:
            direction = jax.tree.map(np.abs, direction)
        weights = random.normal(size=shape)

        def at(distance, direction=direction, weights=weights):
            moved = jax.tree.map(lambda x, d: x + distance * d, inputs, direction)
            return derivatives(
                case.of, moved, case.constants, direction, weights, second=case.orders == 2
            )

        value, along, slope, slope_along = at(0.0)
        forward, reverse = np.sum(weights * along), inner(slope, direction)
        # Directions are as large as the inputs, so values and curvature define a small slope.
        floor = 1e-3 * norm([weights * value])
        if compare_second:
            floor = max(floor, 1e-3 * abs(inner(slope_along, direction)))
        mismatch.append(relative([forward], [reverse], max(floor, norm([weights * along]))))
        finite &= all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((value, along, slope)))
        if case.sides == 0:
            continue
        h = case.step
        if case.sides == 2:
            points = [(at(h), 1 / (2 * h)), (at(-h), -1 / (2 * h))]
        else:  # the parabola through three points
            points = [(at(0.0), -1.5 / h), (at(h), 2 / h), (at(2 * h), -0.5 / h)]
        first.append(relative([along], difference(points, 0), floor))
        if compare_second:
            floor = 1e-3 * norm(jax.tree.leaves(slope))
            second.append(relative(jax.tree.leaves(slope_along), difference(points, 2), floor))
    return Errors(*map(largest, (first, second, mismatch)), finite)


def largest(errors):
    """Returns the maximum, NaN if there is one, or None for an empty list."""
    return float(np.max(errors)) if errors else None


def inner(tree1, tree2):
    return sum(np.sum(a * b) for a, b in zip(*map(jax.tree.leaves, (tree1, tree2)), strict=True))


def difference(points, which):
    """Returns the weighted sum of results of `derivatives` at several points, leaf by leaf."""
    leaves = zip(*(jax.tree.leaves(results[which]) for results, _ in points), strict=True)
    return [
        sum(weight * np.asarray(x) for x, (_, weight) in zip(parts, points, strict=True))
        for parts in leaves
    ]


def relative(leaves1, leaves2, floor):
    """Returns the distance of two lists of arrays, relative to the larger one or to the floor."""
    apart = norm([a - b for a, b in zip(leaves1, leaves2, strict=True)])
    size = max(norm(leaves1), norm(leaves2), floor)
    return apart / size if size else apart


def norm(leaves):
    return np.sqrt(sum(np.sum(np.square(x)) for x in leaves))


def table() -> str:
    rows = []
    for case in CASES:
        errors, side = measure(case), ", one-sided" if case.sides == 1 else ""
        first = "finite" if errors.first is None else f"{errors.first:.0e}{side}"
        second = "–" if errors.second is None else f"{errors.second:.0e}{side}"
        rows.append(" | ".join((f"`{case.function}`", case.wrt, case.point, first, second)))
    return INTRODUCTION + "".join(f"| {row} |\n" for row in rows)


def tabled() -> dict[tuple[str, ...], tuple[str, str]]:
    """Returns the errors in the written table, by the name of the case."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| `")
    ]
    assert all(len(row) == 5 for row in rows)
    return {tuple(row[:3]): (row[3], row[4]) for row in rows}


def test_every_public_function_has_a_case_or_is_listed_as_not_differentiable():
    layers = {name for name in nn.__all__ if inspect.isclass(getattr(nn, name))}
    public = {*ops.__all__, *losses.__all__, *nn.__all__} - layers
    with_cases = {case.function for case in CASES}
    assert with_cases | set(NOT_DIFFERENTIABLE) == public
    assert not with_cases & set(NOT_DIFFERENTIABLE)


def test_cases_have_different_names():
    assert len({case.name for case in CASES}) == len(CASES)


# Points of one function belong together, so that it is compiled once.
GROUPS = [list(cases) for _, cases in itertools.groupby(CASES, lambda case: case.name[:2])]


# They take longest to compile.
SLOW = (
    *("tvl1_flow", "uf_tsn_loss", "representation_flow-params"),
    "representation_flow-features1, features2 (sobel",
)


def as_param(cases):
    name = "-".join(cases[0].name[:2])
    return pytest.param(cases, id=name, marks=pytest.mark.slow if name.startswith(SLOW) else ())


@pytest.mark.parametrize("cases", [as_param(cases) for cases in GROUPS])
def test_derivatives_match_finite_differences(cases, float64):
    for case in cases:
        errors, before = measure(case), tabled()[case.name]
        assert errors.finite, case.point
        assert errors.mismatch < LARGEST_MISMATCH, case.point
        for error, text, bound in (
            (errors.first, before[0], LARGEST_FIRST),
            (errors.second, before[1], LARGEST_SECOND),
        ):
            if error is None:
                assert text in ("finite", "–"), case.point
            else:
                assert error < bound, case.point
                # Rounding differs between machines by less than this.
                assert error < max(100 * float(text.split(",")[0]), bound / 100), case.point


def test_the_table_lists_the_cases_in_their_order():
    assert list(tabled()) == [case.name for case in CASES], "python -m tests.test_gradients"


def test_detects_a_wrong_derivative(float64):
    @jax.custom_jvp
    def square(x):
        return x * x

    square.defjvp(lambda primals, tangents: (square(*primals), 2.001 * primals[0] * tangents[0]))
    errors = measure(Case("square", "x", "random", square, (random_array(3),)))
    assert errors.first > LARGEST_FIRST and errors.mismatch < LARGEST_MISMATCH


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(), encoding="utf-8")
