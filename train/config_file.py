"""Writes, reads and compares the settings of a run: config.json in its folder."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal

from afn_jax.atomic import write_atomically
from afn_jax.near_names import did_you_mean_or_all
from train.config import MAY_CHANGE, TrainConfig, flatten

# Names of `objective.kind`, which `objective.flow` and `objective.action` replaced.
OLD_OBJECTIVES = {
    "joint": ("endpoint", True),
    "action": ("none", True),
    "flow": ("endpoint", False),
    "multiscale-joint": ("multiscale", True),
    "multiscale-flow": ("multiscale", False),
    "motionnet-joint": ("motionnet", True),
    "motionnet-flow": ("motionnet", False),
    "uf-tsn-joint": ("uf-tsn", True),
    "uf-tsn-flow": ("uf-tsn", False),
    "jointflow3d-joint": ("jointflow3d", True),
}


def differences(saved: TrainConfig, new: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """The fields that must not differ but do: name -> (saved, new)."""
    old, now = flatten(saved), flatten(new)
    ignored = set(MAY_CHANGE)
    if new.optim.schedule == "cosine":
        ignored -= {"steps"}  # the schedule ends at the last step
    return {
        name: (old[name], now[name])
        for name in old
        if name not in ignored and old[name] != now[name]
    }


def save(config: TrainConfig, path: Path) -> None:
    """Writes JSON, whole or not at all."""
    write_atomically(path, json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def load(path: Path) -> TrainConfig:
    """Reads what `save` wrote.

    Raises:
        ValueError: the file does not exist or is malformed.
    """
    try:
        values = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{path.parent} is not a run folder: it has no {path.name}. "
            "Give the folder that a `python -m train` run printed."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Was it edited by hand?") from None
    return from_values(values, str(path))


def from_values(values: Any, where: str) -> TrainConfig:
    """The settings from what `json` read, of this version or of an older one.

    Args:
        values: fields and values; also the "config" item of a checkpoint.
        where: the file, for messages.

    Raises:
        ValueError: an unknown field, or a value of the wrong type.
    """
    return _from_dict(TrainConfig, _renamed(values), where)


def _renamed(values: Any) -> Any:
    """The values with the names of older versions replaced by today's."""
    objective = values.get("objective") if isinstance(values, dict) else None
    if isinstance(objective, dict) and str(objective.get("kind")) in OLD_OBJECTIVES:
        flow, action = OLD_OBJECTIVES[objective["kind"]]
        others = {name: value for name, value in objective.items() if name != "kind"}
        values = values | {"objective": {"flow": flow, "action": action} | others}
    init = values.get("init") if isinstance(values, dict) else None
    if isinstance(init, dict) and "run_map" in init:
        # Rules OLD->NEW for beginnings of paths. The run has started: they are not read again.
        rules = init["run_map"] if isinstance(init["run_map"], list) else []
        part, _, at = str(rules[0]).partition("->") if rules else ("", "", "")
        others = {name: value for name, value in init.items() if name != "run_map"}
        parts = {"run_part": part.rstrip("/"), "run_at": at.rstrip("/")}
        values = values | {"init": parts | others}
    return values


def _from_dict(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected fields and values in braces, got {values!r}.")
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        name = sorted(unknown)[0]
        hint = did_you_mean_or_all(name, sorted(hints))
        raise ValueError(f"{where}: unknown field {name!r}. {hint}")
    return kind(**{name: _restore(hints[name], name, v, where) for name, v in values.items()})


def _restore(hint: Any, name: str, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _from_dict(hint, value, where)
    if typing.get_origin(hint) is tuple:
        kind, *others = typing.get_args(hint)
        fits = isinstance(value, list) and all(_fits(kind, item) for item in value)
        fits = fits and (others == [...] or len(value) == len(others) + 1)
        value = tuple(value) if fits else value
    else:
        fits = _fits(hint, value)
    if not fits:
        allowed = hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")
        raise ValueError(f"{where}: {name} is {value!r}, not {allowed}. Was it edited by hand?")
    return value


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value of JSON has the type of a field: plain, a union of types or Literal."""
    if typing.get_origin(hint) is Literal:
        return any(value == allowed for allowed in typing.get_args(hint))
    if typing.get_origin(hint) is types.UnionType:
        return any(_fits(kind, value) for kind in typing.get_args(hint))
    return type(value) in ((int, float) if hint is float else (hint,))
