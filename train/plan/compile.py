"""Compiles the training step of a run for the devices of a target."""

import dataclasses
import re
import time
from typing import Any

import jax

from afn_jax.ops.backend import tracing_for
from afn_jax.quiet import silenced
from train.config import TrainConfig
from train.plan.arguments import batch_shape
from train.plan.flops import Operations, count_operations
from train.plan.hlo import Traffic, traffic
from train.plan.memory import Memory, memory_of
from train.program import build_program


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A step that was compiled, or the reason why it was not.

    Attributes:
        error: first line of XLA's error; empty if it compiles.
        seconds: how long lowering and compiling took.
        memory: of one device; None if it does not compile.
        operations: of one device; None if they were not asked for.
        traffic: of one device; the same.
    """

    error: str
    seconds: float
    memory: Memory | None = None
    operations: Operations | None = None
    traffic: Traffic | None = None
    refused: float | None = None
    """Bytes that the compiler says are needed, if it refuses because they are too many (TPUs)."""

    @property
    def needs(self) -> float | None:
        """Bytes on one device; None if unknown."""
        return self.refused if self.memory is None else self.memory.total


def compile_step(
    config: TrainConfig, num_classes: int, devices: list[Any], *, count: bool = False
) -> Compiled:
    """Compiles a run's training step for devices, which need not exist here.

    Args:
        config: the settings, checked.
        num_classes: number of classes.
        devices: of one kind.
        count: whether to count operations and bytes too.

    Raises:
        ValueError: the settings contradict each other.
    """
    started = time.perf_counter()
    # A fresh program, because JAX keeps traces by function, not by platform.
    with tracing_for(_platform(devices[0])):
        program = build_program(config, num_classes, devices)
        state = jax.eval_shape(program.create_state)
        batch = batch_shape(config, len(devices))
        operations = None
        if count:
            operations = count_operations(jax.make_jaxpr(program.train_step)(state, batch))
        try:
            with silenced():  # JAX warns about devices that are not there
                compiled = program.train_step.lower(state, batch).compile()
        except jax.errors.JaxRuntimeError as error:
            seconds, refused = time.perf_counter() - started, _refused(str(error))
            return Compiled(_first_line(error), seconds, None, operations, None, refused)
    seconds = time.perf_counter() - started
    memory = memory_of(compiled.memory_analysis(), state)
    return Compiled("", seconds, memory, operations, traffic(compiled.as_text()) if count else None)


def _platform(device: Any) -> str:
    """JAX calls NVIDIA's platform "gpu" on devices and "cuda" where code is lowered."""
    return "cuda" if device.platform == "gpu" else device.platform


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:400]


def _refused(message: str) -> float | None:
    found = re.search(r"[Uu]sed ([\d.]+)([KMGT]) of [\d.]+[KMGT] hbm", message)
    return float(found[1]) * 2.0 ** (10 * (1 + "KMGT".index(found[2]))) if found else None
