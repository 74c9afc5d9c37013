"""Separate implementations of one function for its value and for its derivative."""

from collections.abc import Callable

import jax
from jax.custom_derivatives import SymbolicZero


def differentiate_as(
    compute: Callable, differentiate: Callable, with_first_fixed: Callable | None = None
) -> Callable:
    """Returns a function that evaluates `compute` and takes derivatives through `differentiate`.

    The formulation that XLA evaluates fastest is often not the one that it differentiates fastest.
    Derivatives of any order work in forward and in reverse mode, and arguments that are not
    differentiated cost nothing.

    Args:
        compute: a function of pytrees of arrays. None of the three may close over traced arrays.
        differentiate: computes the same function in another way.
        with_first_fixed: computes the same function; used instead of `differentiate` when the first
            argument is not differentiated.
    """
    function = jax.custom_jvp(compute)

    def jvp(primals, tangents):
        values, treedef = jax.tree.flatten(primals)
        changes = treedef.flatten_up_to(tangents)
        in_first = treedef.children()[0].num_leaves
        moving = [i for i, change in enumerate(changes) if not isinstance(change, SymbolicZero)]

        first_fixed = with_first_fixed is not None and min(moving, default=0) >= in_first
        chosen = with_first_fixed if first_fixed else differentiate

        def of_moving(moved):
            leaves = [moved.get(i, value) for i, value in enumerate(values)]
            return chosen(*treedef.unflatten(leaves))

        return jax.jvp(
            of_moving, ({i: values[i] for i in moving},), ({i: changes[i] for i in moving},)
        )

    function.defjvp(jvp, symbolic_zeros=True)
    return function
