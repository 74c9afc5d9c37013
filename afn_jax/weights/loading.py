"""Loads converted weights into the variables of a model, and accounts for every array of both."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict

from afn_jax.models.contract import check_choice
from afn_jax.weights.adapters import adapt_input_channels, average_input_channels, inflate_to_3d
from afn_jax.weights.files import read_tensors, to_arrays
from afn_jax.weights.names import fit_names
from afn_jax.weights.torchvision import convert

InputChannels = Literal["repeat", "average"]


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What happened to each array; names are paths such as `params/encoder/conv1/kernel`.

    Attributes:
        at: path of the part of the model that was loaded; "": the whole model.
        loaded: arrays of the model that come from the weights.
        adapted: those of `loaded` that had a different shape, and how they were adapted.
        kept: arrays of that part that were skipped and keep their values.
        outside: arrays of the model outside that part; they keep their values.
        unused: arrays of the weights that were not used: skipped ones, named as they would be in
            the model, and those outside the chosen part of the weights, named as they are there.
        notes: what was done to the names of the file, see `fit_names`.
    """

    at: str
    loaded: tuple[str, ...]
    adapted: Mapping[str, str]
    kept: tuple[str, ...]
    outside: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.at!r} of the model" if self.at else "the model"
        lines = [f"loaded {len(self.loaded)} arrays into {where}"]
        lines += [f"  {note}" for note in self.notes]
        lines += [f"  adapted {name}: {change}" for name, change in self.adapted.items()]
        for title, names in (
            ("kept as they were", self.kept),
            ("kept as they were, outside", self.outside),
            ("unused of the weights", self.unused),
        ):
            lines += [f"  {title}: {_by_layer(names)}"] if names else []
        return "\n".join(lines)


def initialize_from(
    variables: Mapping[str, Any],
    path: str | Path,
    architecture: str,
    *,
    part: str = "",
    at: str | None = None,
    skip: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    inflate: bool = False,
    input_channels: InputChannels | None = None,
) -> tuple[dict[str, Any], LoadReport]:
    """Loads the weights of a file into the variables of a model.

    Args:
        variables: result of `model.init`, or its shapes (`jax.eval_shape`) if nothing is skipped.
        path: see `load_torch_state`.
        architecture: network that the weights belong to, see `ARCHITECTURES`.
        part, at, skip, inflate, input_channels: see `load_into`.
        rename: OLD -> NEW for parts of names in the file, see `rename_names`.
        ignore: beginnings of names in the file to leave out, such as "aux_head." or "model_ema.".

    Names in the file may stand in the entries of a training checkpoint and after a prefix, such as
    "state_dict.module.backbone.": the one after which the names fit is removed and reported, see
    `fit_names`.

    Returns:
        The new variables, and what happened to each array.

    Raises:
        FileNotFoundError: if the file does not exist.
        ImportError: if PyTorch or safetensors is needed but not installed.
        ValueError: if the file is not a file of weights, if an array of the model or of the weights
            has no counterpart and was not skipped, or if the names fit after several prefixes.
    """
    fitted = fit_names(read_tensors(path), architecture, rename=rename, ignore=ignore, skip=skip)
    converted = convert(to_arrays(fitted.state, path), architecture, partial=True)
    variables, report = load_into(
        variables,
        converted,
        part=part,
        at=at,
        skip=skip,
        inflate=inflate,
        input_channels=input_channels,
    )
    return variables, dataclasses.replace(report, notes=fitted.notes)


def load_into(
    variables: Mapping[str, Any],
    converted: Mapping[str, Any],
    *,
    part: str = "",
    at: str | None = None,
    skip: Sequence[str] = (),
    inflate: bool = False,
    input_channels: InputChannels | None = None,
) -> tuple[dict[str, Any], LoadReport]:
    """Replaces arrays of `variables` by those of `converted`.

    Args:
        variables: result of `model.init`: collections, each of which is a tree.
        converted: result of `convert`.
        part: path of the part of the weights to use, such as "encoder"; "": all weights.
        at: path of the part of the model to load them into, such as "temporal"; None: the only part
            that has all of their layers.
        skip: names or paths of layers, such as "classifier" or "encoder/res5_1", relative to `at`
            or starting with it. Their arrays in the model keep their values, and those in the
            weights are not used.
        inflate: turn 2D kernels into 3D ones where the model has 3D ones, see `inflate_to_3d`.
        input_channels: how to adapt kernels on RGB where the model has a different number of
            channels: "repeat" for stacked frames (`adapt_input_channels`), "average" for flow
            (`average_input_channels`).

    Returns:
        The new variables, and what happened to each array.

    Raises: ValueError: if an array of the model or of the weights has no counterpart and was not
    skipped (the message lists those of both), if nothing is left to load, or if an array that is
    loaded contains NaN or infinity.
    """
    check_choice("input_channels", input_channels, ("repeat", "average", None))
    model = flatten_dict(unfreeze(variables), sep="/")
    whole = flatten_dict(converted, sep="/")
    chosen = {_without(name, part): value for name, value in whole.items() if _inside(name, part)}
    _check_part("part", part, chosen, "weights", whole)
    if at is None:
        at = _find_part(model, chosen, skip)
    places = {name for name in model if _inside(name, at)}
    _check_part("at", at, places, "model", model)
    weights = {_prefixed(name, at): value for name, value in chosen.items()}
    for entry in skip:
        if not any(_matches(name, [entry], at) for name in places | set(weights)):
            raise ValueError(f"skip: {entry!r} is in neither the model nor the weights")

    wanted = {name for name in places if not _matches(name, skip, at)}
    given = {name for name in weights if not _matches(name, skip, at)}
    if not wanted | given:
        raise ValueError(f"skip: {tuple(skip)} leaves nothing to load; skip fewer layers.")
    loaded, adapted, misfits, not_finite = {}, {}, {}, []
    for name in sorted(wanted & given):
        value, change = _adapt(weights[name], model[name].shape, inflate, input_channels)
        if value.shape != model[name].shape:
            misfits[name] = f"weights {weights[name].shape}, model {model[name].shape}"
            continue
        if not np.isfinite(value).all():
            not_finite.append(name)
        loaded[name] = jnp.asarray(value, model[name].dtype)
        if change:
            adapted[name] = change
    if wanted != given or misfits:
        raise ValueError(_difference(wanted - given, given - wanted, misfits))
    if not_finite:
        more = f" and {len(not_finite) - 8} more" if len(not_finite) > 8 else ""
        raise ValueError(
            f"weights: NaN or infinity in {len(not_finite)} of the {len(loaded)} arrays: "
            f"{', '.join(not_finite[:8])}{more}. The training that made them diverged, or the file "
            "is damaged; use an earlier checkpoint of it, or download it again."
        )
    report = LoadReport(
        at=at,
        loaded=tuple(loaded),
        adapted=adapted,
        kept=tuple(sorted(places - wanted)),
        outside=tuple(sorted(set(model) - places)),
        unused=tuple(
            sorted(set(weights) - given) + sorted(name for name in whole if not _inside(name, part))
        ),
    )
    return unflatten_dict(model | loaded, sep="/"), report


def _adapt(
    value: np.ndarray, shape: tuple[int, ...], inflate: bool, input_channels: InputChannels | None
) -> tuple[np.ndarray, str]:
    """Adapts `value` to `shape` as far as the options allow; also returns a description."""
    changes = []
    if inflate and value.ndim == 4 and len(shape) == 5:
        value = inflate_to_3d(value, shape[0])
        changes.append(f"inflated to {shape[0]} frames")
    sees_rgb = value.ndim in (4, 5) and value.ndim == len(shape) and value.shape[-2] == 3
    if input_channels and sees_rgb and shape[-2] != 3:
        change = adapt_input_channels if input_channels == "repeat" else average_input_channels
        value = change(value, shape[-2])
        changes.append(f"{input_channels} of RGB for {shape[-2]} channels")
    return value, ", ".join(changes)


def _find_part(model: Iterable[str], weights: Iterable[str], skip: Sequence[str]) -> str:
    """Returns the only path under which the model has all top-level layers of the weights."""
    tops = {name.split("/")[1] for name in weights if not _matches(name, skip, "")}
    layers: dict[str, set[str]] = {}
    for name in model:
        _, *parts = name.split("/")
        for depth in range(len(parts)):
            layers.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    found = [path for path, names in layers.items() if tops <= names]
    if len(found) != 1:
        where = (
            f"in each of {found}: choose one with at=... (--init.at)"
            if found
            else "in no part of the model"
        )
        raise ValueError(
            f"weights: their layers {sorted(tops)} are {where}. The model has {_by_layer(model)}."
        )
    return found[0]


def _check_part(
    argument: str, path: str, found: Collection[str], where: str, names: Iterable[str]
) -> None:
    """Raises ValueError if no array was found at a path."""
    if not found:
        raise ValueError(
            f"{argument}: there is no part {path!r} in the {where}, which has {_by_layer(names)}"
        )


def _prefixed(name: str, at: str) -> str:
    collection, rest = name.split("/", 1)
    return f"{collection}/{at}/{rest}" if at else name


def _without(name: str, part: str) -> str:
    collection, rest = name.split("/", 1)
    return f"{collection}/{rest.removeprefix(part + '/') if part else rest}"


def _inside(name: str, at: str) -> bool:
    return not at or name.split("/", 1)[1].startswith(at + "/")


def _matches(name: str, skip: Sequence[str], at: str) -> bool:
    """Whether an entry equals one or several consecutive components of the path below `at`.

    `at` itself does not count: the spatial stream is called "classifier", and so is its last layer.
    """
    entries = [entry.strip("/") for entry in skip]
    if at:
        entries = [entry.removeprefix(at + "/") for entry in entries]
    return any(f"/{entry}/" in f"/{_without(name, at)}/" for entry in entries)


def _difference(missing: set[str], unexpected: set[str], misfits: Mapping[str, str]) -> str:
    lines = ["weights: they do not fit the model."]
    if missing:
        lines.append(f"  in the model, but not in the weights: {_by_layer(missing)}")
    if unexpected:
        lines.append(f"  in the weights, but not in the model: {_by_layer(unexpected)}")
    lines += [f"  {name}: {shapes}" for name, shapes in sorted(misfits.items())[:8]]
    if len(misfits) > 8:
        lines.append(f"  and {len(misfits) - 8} more with different shapes")
    lines.append(
        '--init.skip classifier (in Python skip=("classifier",)) leaves out the named layers, '
        "--init.inflate (inflate=True) turns 2D kernels into 3D, --init.input-channels repeat or "
        'average (input_channels="repeat") is for inputs that are not RGB.'
    )
    return "\n".join(lines)


def _by_layer(names: Iterable[str], most: int = 12) -> str:
    """Lists the first few layers of the arrays, and the number of arrays."""
    names = list(names)
    layers = sorted({"/".join(name.split("/")[1:-1]) for name in names})
    more = f" and {len(layers) - most} more layers" if len(layers) > most else ""
    return f"{', '.join(layers[:most])}{more} ({len(names)} arrays)"
