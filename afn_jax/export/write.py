"""Writes a trained network as one file: traces it for all platforms and batch sizes."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from afn_jax.export.card import Card
from afn_jax.export.file import Contents, write_file
from afn_jax.export.forward import Forward, forward
from afn_jax.ops.backend import tracing_for

# One program each: the operations have another formulation on the CPU.
PLATFORMS = (("cpu",), ("cuda", "tpu"))


def write_network(
    path: str | os.PathLike[str],
    model: nn.Module,
    variables: Any,
    card: Card,
    *,
    classifies: bool = True,
) -> Card:
    """Writes a network as a file that `afn_jax.export.load` reads.

    Args:
        path: of the file, by convention with the suffix `.afn`.
        model: the network.
        variables: its "params" and "batch_stats".
        card: of the network; its `platforms` are replaced.
        classifies: False leaves out logits and features.

    Returns:
        The card in the file.

    Raises:
        OSError: the folder is missing, or the disk is full or cannot be written.
    """
    names, weights = named_weights(variables)
    structure = jax.tree.structure(variables)
    predict = forward(model, classifies=classifies)
    modules = {
        platforms: export_module(predict, structure, weights, card, platforms)
        for platforms in PLATFORMS
    }
    card = dataclasses.replace(card, platforms=sum(PLATFORMS, ()))
    write_file(path, Contents(card, modules, weights, names))
    return card


def export_module(
    predict: Forward,
    structure: Any,
    weights: tuple[np.ndarray, ...],
    card: Card,
    platforms: tuple[str, ...],
) -> bytes:
    """Traces a function of (weights, frames) for some platforms and any batch size.

    Args:
        predict: of variables and frames.
        structure: tree of the variables.
        weights: its leaves; only their shapes and dtypes matter.
        card: has the size of the frames.
        platforms: all "cpu", or none.
    """

    def call(weights, frames):
        return predict(jax.tree.unflatten(structure, weights), frames)

    (batch,) = jax.export.symbolic_shape("batch")
    frames = jax.ShapeDtypeStruct((batch, card.num_frames, *card.size, 3), jnp.uint8)
    shapes = tuple(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in weights)
    with tracing_for(platforms[0]), _without_source_paths():
        exported = jax.export.export(jax.jit(call), platforms=platforms)(shapes, frames)
    return bytes(exported.serialize())


@contextlib.contextmanager
def _without_source_paths() -> Iterator[None]:
    """Keeps the paths of source files, which name the user's folders, out of programs."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    jax.config.update(option, 0)
    try:
        yield
    finally:
        jax.config.update(option, before)


def named_weights(variables: Any) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]]:
    """Returns the paths and the arrays of variables, in the order of their tree."""
    leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
    names = tuple("/".join(str(key.key) for key in path) for path, _ in leaves)
    return names, tuple(np.asarray(leaf) for _, leaf in leaves)
