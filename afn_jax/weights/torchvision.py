"""Converts torchvision's parameters to variables of the networks here, at any width."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from flax.traverse_util import unflatten_dict

from afn_jax.models.baselines import RESNETS
from afn_jax.near_names import unknown_name
from afn_jax.nn.resnet import Bottleneck
from afn_jax.nn.vgg import VGG16_STAGES


class Layer(NamedTuple):
    """A layer with parameters: its name in PyTorch, its path in the variables, and its kind."""

    torch: str
    path: str
    kind: Literal["conv", "conv with bias", "dense", "dense after 7x7", "norm"]


_KERNEL = {"weight": ("params", "kernel")}
_KERNEL_AND_BIAS = _KERNEL | {"bias": ("params", "bias")}
_ENTRIES = {
    "conv": _KERNEL,
    "conv with bias": _KERNEL_AND_BIAS,
    "dense": _KERNEL_AND_BIAS,
    "dense after 7x7": _KERNEL_AND_BIAS,
    "norm": {
        "weight": ("params", "scale"),
        "bias": ("params", "bias"),
        "running_mean": ("batch_stats", "mean"),
        "running_var": ("batch_stats", "var"),
    },
}


def _resnet(depth: int) -> Iterator[Layer]:
    block, sizes = RESNETS[depth]
    yield Layer("conv1", "encoder/conv1", "conv")
    yield Layer("bn1", "encoder/norm1", "norm")
    for torch, path, has_shortcut in _blocks(sizes, first_has_shortcut=block is Bottleneck):
        for i in range(1, 4 if block is Bottleneck else 3):
            yield Layer(f"{torch}.conv{i}", f"{path}/conv{i}", "conv")
            yield Layer(f"{torch}.bn{i}", f"{path}/norm{i}", "norm")
        if has_shortcut:
            yield from _shortcut(torch, path)
    yield Layer("fc", "classifier", "dense")


def _video_resnet(*, factorize: bool) -> Iterator[Layer]:
    if factorize:
        yield from _two_steps("stem", "encoder/conv1")
        yield Layer("stem.4", "encoder/norm1", "norm")
    else:
        yield Layer("stem.0", "encoder/conv1", "conv")
        yield Layer("stem.1", "encoder/norm1", "norm")
    for torch, path, has_shortcut in _blocks(RESNETS[18][1], first_has_shortcut=False):
        for i in (1, 2):
            if factorize:
                yield from _two_steps(f"{torch}.conv{i}.0", f"{path}/conv{i}")
            else:
                yield Layer(f"{torch}.conv{i}.0", f"{path}/conv{i}", "conv")
            yield Layer(f"{torch}.conv{i}.1", f"{path}/norm{i}", "norm")
        if has_shortcut:
            yield from _shortcut(torch, path)
    yield Layer("fc", "classifier", "dense")


def _blocks(sizes: Sequence[int], *, first_has_shortcut: bool) -> Iterator[tuple[str, str, bool]]:
    """Yields name, path and whether the shortcut has a convolution, for each block."""
    for stage, size in enumerate(sizes, start=1):
        for block in range(size):
            has_shortcut = block == 0 and (stage > 1 or first_has_shortcut)
            yield f"layer{stage}.{block}", f"encoder/res{stage + 1}_{block}", has_shortcut


def _shortcut(torch: str, path: str) -> Iterator[Layer]:
    yield Layer(f"{torch}.downsample.0", f"{path}/shortcut_conv", "conv")
    yield Layer(f"{torch}.downsample.1", f"{path}/shortcut_norm", "norm")


def _two_steps(torch: str, path: str) -> Iterator[Layer]:
    yield Layer(f"{torch}.0", f"{path}/conv_space", "conv")
    yield Layer(f"{torch}.1", f"{path}/norm", "norm")
    yield Layer(f"{torch}.3", f"{path}/conv_time", "conv")


def _vgg16() -> Iterator[Layer]:
    index = 0
    for stage, num_convs in enumerate(VGG16_STAGES, start=1):
        for i in range(1, num_convs + 1):
            yield Layer(f"features.{index}", f"conv{stage}_{i}", "conv with bias")
            index += 2  # the ReLU counts too
        index += 1  # and so does the pooling
    yield Layer("classifier.0", "fc6", "dense after 7x7")
    yield Layer("classifier.3", "fc7", "dense")
    yield Layer("classifier.6", "classifier", "dense")


ARCHITECTURES: dict[str, Callable[[], Iterator[Layer]]] = {
    **{f"resnet{depth}": functools.partial(_resnet, depth) for depth in RESNETS},
    "r3d_18": functools.partial(_video_resnet, factorize=False),
    "r2plus1d_18": functools.partial(_video_resnet, factorize=True),
    "vgg16": _vgg16,
}


def torch_layers(architecture: str) -> dict[str, Layer]:
    """PyTorch's names of all arrays of an architecture, and the layer of each.

    Raises:
        ValueError: for an unknown architecture.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(unknown_name("architecture", architecture, ARCHITECTURES))
    return {
        f"{layer.torch}.{name}": layer
        for layer in ARCHITECTURES[architecture]()
        for name in _ENTRIES[layer.kind]
    }


def convert(
    state: Mapping[str, np.ndarray],
    architecture: str,
    *,
    ignore: Sequence[str] = (),
    partial: bool = False,
) -> dict[str, Any]:
    """Converts a PyTorch state dictionary to variables `{"params": ..., "batch_stats": ...}`.

    Args:
        state: result of `load_torch_state`.
        architecture: one of `ARCHITECTURES`.
        ignore: prefixes of names in `state` to leave out, such as "aux_head.".
        partial: arrays of the architecture may be missing.

    Raises:
        ValueError: for an unknown architecture, or if `state` has a name that the architecture does
            not have, or lacks one that it has.
    """
    layers = torch_layers(architecture)
    rest = {key for key in state if not key.endswith(".num_batches_tracked")}
    rest = {key for key in rest if not key.startswith(tuple(ignore))}
    flat, missing = {}, []
    for key, layer in layers.items():
        if key not in rest:
            missing.append(key)
            continue
        rest.remove(key)
        value = state[key]
        collection, leaf = _ENTRIES[layer.kind][key.rpartition(".")[2]]
        if leaf == "kernel":
            value = _kernel(value, layer.kind, key)
        flat[f"{collection}/{layer.path}/{leaf}"] = value
    if (missing and not partial) or rest:
        raise ValueError(
            f"weights: they are not those of {architecture}.\n"
            f"  missing: {some(missing)}\n  unknown: {some(sorted(rest))}\n"
            f"Known architectures are {', '.join(ARCHITECTURES)}; ignore=(...) leaves names out."
        )
    return unflatten_dict(flat, sep="/")


def _kernel(weight: np.ndarray, kind: str, key: str) -> np.ndarray:
    """Moves output and input channels, which are first in PyTorch, to the last axes."""
    if weight.ndim < 2 or (kind.startswith("dense") and weight.ndim != 2):
        raise ValueError(
            f"weights: {key} has shape {weight.shape}, which does not fit a {kind} layer"
        )
    if kind == "dense after 7x7":
        # PyTorch flattens channels, rows, columns; this library flattens rows, columns, channels.
        weight = weight.reshape(weight.shape[0], -1, 7, 7).transpose(0, 2, 3, 1)
        weight = weight.reshape(weight.shape[0], -1)
    return np.moveaxis(weight, (0, 1), (-1, -2))


def some(names: Sequence[str], most: int = 8) -> str:
    """The first names of a list, and the number of others; "none" for an empty list."""
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
