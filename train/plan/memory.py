"""Memory that a compiled step needs on each device."""

import dataclasses
from typing import Any

import jax

from train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        parameters: of the network, with its running statistics.
        optimizer: moments, and the moving average if there is one.
        batch: the device's share, as the program holds it.
        next_batch: the next share, which is copied to the device while the step runs.
        temporaries: activations, gradients and workspace.
        rest: outputs that reuse no argument, and code if it is on the device.
        total: the sum.
    """

    parameters: int
    optimizer: int
    batch: int
    next_batch: int
    temporaries: int
    rest: int
    total: int


def memory_of(analysis: Any, state: TrainState) -> Memory:
    """Computes the memory from `compiled.memory_analysis()` and the shapes of the state."""
    parameters = _bytes(state.params) + _bytes(state.batch_stats)
    optimizer = _bytes(state.opt_state)
    arguments = analysis.argument_size_in_bytes
    held = (
        arguments
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
        + analysis.temp_size_in_bytes
        + analysis.generated_code_size_in_bytes
    )
    # A TPU pads the arrays of the batch, and what a program does not read is not passed to it.
    in_program = max(arguments - parameters - optimizer, 0)
    known = parameters + optimizer + in_program + analysis.temp_size_in_bytes
    return Memory(
        parameters=parameters,
        optimizer=optimizer,
        batch=in_program,
        next_batch=in_program,
        temporaries=analysis.temp_size_in_bytes,
        rest=max(held - known, 0),
        total=held + in_program,
    )


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
