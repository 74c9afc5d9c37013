"""Places the arrays of an earlier run in a new network, and rejects those that do not fit."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict


@dataclasses.dataclass(frozen=True)
class GraftReport:
    """What became of each array; names are paths such as encoder/conv1/kernel.

    Attributes:
        loaded: arrays of this network that come from the earlier run.
        fresh: arrays of this network that keep their initial values.
        unused: arrays of the earlier run that this network has no place for. Those inside the
            chosen part have the names that they would have here.
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} arrays loaded"]
        for title, names in (("fresh here", self.fresh), ("unused there", self.unused)):
            lines += [f"  {title}: {_by_layer(names)}"] if names else []
        return "\n".join(lines)


def graft(
    new: dict[str, Any],
    former: dict[str, Any],
    *,
    part: str = "",
    at: str = "",
    skip: Sequence[str] = (),
) -> tuple[dict[str, Any], GraftReport]:
    """Replaces arrays of a new network by those of an earlier run.

    Args:
        new: trees of "params" and "batch_stats".
        former: the same collections of the earlier run.
        part: subtree of the earlier run to load, such as "encoder"; "" loads everything.
        at: subtree of the new network to load it into; "" is the whole network. Arrays outside
            stay fresh.
        skip: regular expressions of arrays that may be missing on either side or differ in shape.

    Raises:
        ValueError: a malformed expression, nothing to load, or a difference that is not excused.
    """
    excuses = _compile(skip)
    result, loaded, fresh, unused, problems = {}, [], [], [], []
    for collection, tree in new.items():
        here = flatten_dict(tree, sep="/")
        there = {}
        for path, value in flatten_dict(former.get(collection, {}), sep="/").items():
            if _inside(path, part):
                there[_moved(path, part, at)] = value
            else:
                unused.append(path)
        for path in sorted(here.keys() | there.keys()):
            mine, theirs = here.get(path), there.get(path)
            if mine is not None and theirs is not None and mine.shape == np.shape(theirs):
                here[path] = theirs
                loaded.append(path)
                continue
            fresh += [path] if mine is not None else []
            unused += [path] if theirs is not None else []
            if _inside(path, at) and not any(excuse.search(path) for excuse in excuses):
                problems.append(_difference(path, mine, theirs))
        result[collection] = unflatten_dict(here, sep="/")
    if problems or not loaded:
        listed = "".join(f"\n  {problem}" for problem in problems) or "\n  no array is in both"
        raise ValueError(
            f"init.run: the networks differ:{listed}\nChoose the parts with --init.run-part and "
            "--init.run-at, and excuse differences with --init.run-skip REGEX."
        )
    return result, GraftReport(tuple(loaded), tuple(fresh), tuple(unused))


def _inside(path: str, part: str) -> bool:
    return not part or path.startswith(f"{part}/")


def _moved(path: str, part: str, at: str) -> str:
    rest = path.removeprefix(f"{part}/") if part else path
    return f"{at}/{rest}" if at else rest


def _difference(path: str, mine: Any, theirs: Any) -> str:
    if theirs is None:
        return f"{path} is only in this network"
    if mine is None:
        return f"{path} is only in the run"
    return f"{path} has shape {mine.shape} in this network, {np.shape(theirs)} in the run"


def _compile(patterns: Sequence[str]) -> list[re.Pattern]:
    try:
        return [re.compile(pattern) for pattern in patterns]
    except re.error as error:
        raise ValueError(
            f"init.run_skip: got {patterns}, which are not all regular expressions ({error})."
        ) from None


def _by_layer(names: tuple[str, ...]) -> str:
    layers: dict[str, list[str]] = {}
    for name in names:
        layer, _, leaf = name.rpartition("/")
        layers.setdefault(layer, []).append(leaf)
    return ", ".join(f"{layer} ({', '.join(leaves)})" for layer, leaves in layers.items())
