"""Counts the operations of a program from its jaxpr, loops included.

XLA's own count exists on TPUs only, and takes every loop for a single turn.
"""

import dataclasses
import math
from collections import Counter
from typing import Any

import jax
import jax.extend.core

_MOVES = {
    *("reshape", "broadcast_in_dim", "transpose", "slice", "dynamic_slice", "concatenate", "pad"),
    *("dynamic_update_slice", "gather", "squeeze", "rev", "iota", "copy", "split", "expand_dims"),
    *("convert_element_type", "stop_gradient", "bitcast_convert_type", "copy_p", "device_put"),
    *("random_bits", "random_wrap", "random_unwrap", "random_fold_in", "random_seed", "psum"),
    *("pmean", "axis_index", "optimization_barrier", "sharding_constraint"),
}


@dataclasses.dataclass
class Operations:
    """Operations of one step on one device.

    Attributes:
        products: of matrix products and convolutions, by "TYPE" or "TYPE at highest" precision.
        others: arithmetic on single elements, and the additions of reductions.
        unknown_loops: number of loops whose number of turns is not known; each counts once.
    """

    products: Counter
    others: float = 0.0
    unknown_loops: int = 0

    @property
    def total(self) -> float:
        return sum(self.products.values()) + self.others


def count_operations(closed: Any) -> Operations:
    """Counts the operations of a jaxpr; inside of a `shard_map`, those of one device."""
    found = Operations(Counter())
    _count(closed.jaxpr if hasattr(closed, "jaxpr") else closed, 1.0, found)
    return found


def _count(jaxpr: Any, times: float, found: Operations) -> None:
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            found.products[_precision(equation)] += times * _dot(equation)
        elif name == "conv_general_dilated":
            found.products[_precision(equation)] += times * _convolution(equation)
        elif name == "cond":
            _branches(equation, times, found)
        else:
            inner = _inner(equation)
            turns = _turns(equation, found) if inner else 1
            for one in inner:
                _count(one, times * turns, found)
            if not inner and name not in _MOVES:
                found.others += times * _elements(equation)


def _inner(equation: Any) -> list[Any]:
    """Returns the jaxprs that an equation runs, each once per turn."""
    if equation.primitive.name == "while":
        return [equation.params["body_jaxpr"].jaxpr]
    if equation.primitive.name in ("custom_jvp_call", "custom_vjp_call"):
        inner = equation.params.get("call_jaxpr") or equation.params.get("fun_jaxpr")
        return [getattr(inner, "jaxpr", inner)]
    if equation.primitive.name.startswith(("reduce", "arg", "sort", "scatter", "select_and")):
        return []  # their jaxpr combines two elements
    return list(jax.extend.core.jaxprs_in_params(equation.params))


def _turns(equation: Any, found: Operations) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return params["length"]
    if name == "pallas_call":
        return math.prod(side for side in params["grid_mapping"].grid if isinstance(side, int))
    found.unknown_loops += name == "while"
    return 1


def _branches(equation: Any, times: float, found: Operations) -> None:
    """Adds the branch with the most operations."""
    counts = [count_operations(branch) for branch in equation.params["branches"]]
    most = max(counts, key=lambda one: one.total)
    for kind, number in most.products.items():
        found.products[kind] += times * number
    found.others += times * most.others
    found.unknown_loops += most.unknown_loops


def _precision(equation: Any) -> str:
    """Returns the type of the factors, and " at highest" if they are not shortened."""
    kind = str(equation.invars[0].aval.dtype)
    precision = equation.params.get("precision")
    both = precision if isinstance(precision, tuple) else (precision,)
    highest = any(one in (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGH) for one in both)
    return f"{kind} at highest" if highest and kind == "float32" else kind


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[i] for i in contracted)


def _convolution(equation: Any) -> float:
    """Each output has one multiplication and addition per element of its kernel.

    Where the input is dilated (the gradient of a stride), only taps on real elements count.
    """
    kernel = equation.invars[1].aval.shape
    spec = equation.params["dimension_numbers"].rhs_spec
    taps = math.prod(kernel) / kernel[spec[0]]
    dilation = math.prod(equation.params["lhs_dilation"])
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * taps / dilation


def _elements(equation: Any) -> float:
    shapes = [v.aval.shape for v in (*equation.invars, *equation.outvars) if hasattr(v, "aval")]
    return float(max((math.prod(shape) for shape in shapes), default=0))
