"""Converts a trained network to ONNX by jax2onnx, and checks it with onnxruntime.

jax2onnx requires an older Orbax than training does, so it is installed without what it requires:

    pip install -e '.[onnx]' && pip install --no-deps jax2onnx
"""

import importlib
import importlib.metadata
import logging
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from afn_jax.atomic import complete_or_absent
from afn_jax.export.card import Card
from afn_jax.export.forward import Forward
from afn_jax.ops.backend import tracing_for
from afn_jax.quiet import silenced

INSTALL = "pip install -e '.[onnx]' && pip install --no-deps jax2onnx"
TOLERANCE = 1e-4  # relative to the largest value of an output


def write_onnx(
    path: str | os.PathLike[str], predict: Forward, variables: Any, card: Card, *, batch: int = 1
) -> float:
    """Writes a network as an ONNX file with a fixed batch size.

    The input "frames" is `[batch, num_frames, *size, 3]` uint8. The outputs are "logits",
    "features", and "flow_1" (the finest), "flow_2" and so on, as far as the network has them.

    Args:
        path: of the file, by convention with the suffix `.onnx`.
        predict: from `afn_jax.export.forward`.
        variables: of the network, constants in the file.
        card: of the network.
        batch: number of windows per call.

    Returns:
        The largest difference between outputs of onnxruntime and of JAX, relative to the largest
        value of the output.

    Raises:
        ValueError: jax2onnx or onnxruntime is missing, cannot convert the network or computes
            something else.
        OSError: the file cannot be written.
    """
    shape = (batch, card.num_frames, *card.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    content = convert(predict, variables, card, batch)
    expected = jax.jit(predict)(variables, frames)
    difference = check(content, frames, expected, card.model)
    with complete_or_absent(path) as unfinished:
        unfinished.write_bytes(content)
    return difference


def convert(predict: Forward, variables: Any, card: Card, batch: int) -> bytes:
    """Converts a network; the arguments are those of `write_onnx`.

    Returns:
        The content of the file, which no one has run yet.

    Raises:
        ValueError: jax2onnx is missing or cannot convert the network.
    """
    jax2onnx = _module("jax2onnx")
    frames = jax.ShapeDtypeStruct((batch, card.num_frames, *card.size, 3), jnp.uint8)
    # The formulation for the CPU has 2D convolutions instead of 3D ones, which jax2onnx has not.
    with tracing_for("cpu"):
        names = output_names(jax.eval_shape(predict, variables, frames))
        program = jax.make_jaxpr(lambda frames: flat(predict(variables, frames)))(frames)
    compute = jaxpr_as_fun(program)  # without the modules, which jax2onnx would replace
    try:
        with silenced(logging.CRITICAL):
            model = jax2onnx.to_onnx(
                lambda frames: tuple(compute(frames)),
                [frames],
                model_name=card.model,
                input_names=["frames"],
                output_names=names,
            )
            return model.SerializeToString()
    except Exception as error:  # it raises many types
        raise ValueError(
            f"{card.model} cannot be converted to ONNX by jax2onnx {_version('jax2onnx')}: "
            f"{_first_line(error)}. Export it without --onnx."
        ) from error


def check(content: bytes, frames: np.ndarray, expected: dict[str, Any], name: str) -> float:
    """Runs a converted network in onnxruntime.

    Args:
        content: of an ONNX file.
        frames: one batch.
        expected: outputs of the original for these frames.
        name: of the network, for messages.

    Returns:
        The largest difference, relative to the largest value of the output.

    Raises:
        ValueError: onnxruntime is missing, cannot run the network or computes something else.
    """
    runtime = _module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: frames})
    except Exception as error:  # it has its own types
        raise ValueError(
            f"{name} converted to ONNX cannot be run by onnxruntime {_version('onnxruntime')}: "
            f"{_first_line(error)}. Export it without --onnx."
        ) from error
    difference = largest_difference(outputs, flat(expected))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{name} converted to ONNX computes something else: the relative difference is "
            f"{difference:.1e}, and at most {TOLERANCE:.0e} is allowed. Export it without --onnx."
        )
    return difference


def output_names(outputs: dict[str, Any]) -> list[str]:
    """Returns the names of the outputs in a file, in order."""
    names = [name for name in ("logits", "features") if name in outputs]
    return names + [f"flow_{number + 1}" for number in range(len(outputs.get("flows", ())))]


def largest_difference(outputs: Any, expected: Any) -> float:
    """Computes the largest difference relative to the largest value of an output; NaN counts."""
    differences = [
        np.abs(np.asarray(value) - np.asarray(other)).max() / max(np.abs(other).max(), 1e-30)
        for value, other in zip(outputs, expected, strict=True)
    ]
    return float(np.max(differences))


def flat(outputs: dict[str, Any]) -> tuple[jax.Array, ...]:
    """Returns outputs in the order of `output_names`."""
    single = [outputs[name] for name in ("logits", "features") if name in outputs]
    return (*single, *outputs.get("flows", ()))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"onnx: {error}. Install it: {INSTALL}") from error


def _version(name: str) -> str:
    return importlib.metadata.version(name)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")
