"""Functions that are computed in one way and differentiated in another."""

from collections.abc import Callable

import jax
from jax.custom_derivatives import SymbolicZero


def differentiate_as(
    compute: Callable, differentiate: Callable, with_first_fixed: Callable | None = None
) -> Callable:
    """`compute`, with the derivatives of `differentiate`: for two ways to write one function.

    What XLA computes fastest and what it differentiates fastest are often not the same. All orders
    and both modes work, and nothing is computed for arguments that are not differentiated.

    Args:
        compute: a function of pytrees of arrays.
        differentiate: the same function. None of these may close over traced arrays.
        with_first_fixed: the same again, instead of `differentiate` where the first argument is not
            differentiated.
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
