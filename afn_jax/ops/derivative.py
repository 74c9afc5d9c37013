"""Functions that are computed in one way and differentiated in another."""

from collections.abc import Callable

import jax
from jax.custom_derivatives import SymbolicZero


def differentiate_as(compute: Callable, differentiate: Callable) -> Callable:
    """`compute`, with the derivatives of `differentiate`: for two ways to write one function.

    What XLA computes fastest and what it differentiates fastest are often not the same. All orders
    and both modes work, and nothing is computed for arguments that are not differentiated.

    Args:
        compute: a function of pytrees of arrays.
        differentiate: the same function. Neither may close over traced arrays.
    """
    function = jax.custom_jvp(compute)

    def jvp(primals, tangents):
        values, treedef = jax.tree.flatten(primals)
        changes = treedef.flatten_up_to(tangents)
        moving = [i for i, change in enumerate(changes) if not isinstance(change, SymbolicZero)]

        def of_moving(moved):
            leaves = [moved.get(i, value) for i, value in enumerate(values)]
            return differentiate(*treedef.unflatten(leaves))

        return jax.jvp(
            of_moving, ({i: values[i] for i in moving},), ({i: changes[i] for i in moving},)
        )

    function.defjvp(jvp, symbolic_zeros=True)
    return function
