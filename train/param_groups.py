"""Groups of parameters by regular expression, each with a factor of the learning rate.

A group is "REGEX=FACTOR". REGEX is searched in the path of a parameter, such as
encoder/conv1/kernel; the first match counts.
"""

import re
from collections.abc import Callable
from typing import Any

import jax


def group_factors(groups: tuple[str, ...], params: Any) -> Any:
    """Computes the tree of factors of a tree of parameters; all are 1 without groups.

    Raises:
        ValueError: a malformed group, or a parameter in no group.
    """
    if not groups:
        return jax.tree.map(lambda _: 1.0, params)
    factor_of = _factor_of(groups)
    paths = jax.tree_util.tree_map_with_path(lambda path, _: path_name(path), params)
    uncovered = [path for path in jax.tree.leaves(paths) if factor_of(path) is None]
    if uncovered:
        raise ValueError(
            f"optim.groups: {len(uncovered)} parameters are in no group, first: {uncovered[0]}. "
            "Add a last group for the rest: .*=1"
        )
    return jax.tree.map(factor_of, paths)


def is_frozen(groups: tuple[str, ...]) -> Callable[[str], bool]:
    """Returns `frozen(path)`: whether the parameter at that path has factor 0."""
    if not groups:
        return lambda path: False
    factor_of = _factor_of(groups)
    return lambda path: factor_of(path) == 0


def describe_groups(groups: tuple[str, ...], params: Any) -> str:
    """One line per group: its number of arrays and parameters, and the first of them."""
    parsed = parse_groups(groups)
    members: list[list[tuple[str, int]]] = [[] for _ in parsed]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        path = path_name(path)
        for found, (pattern, _) in zip(members, parsed, strict=True):
            if pattern.search(path):
                found.append((path, leaf.size))
                break
    lines = []
    for group, found in zip(groups, members, strict=True):
        total = sum(size for _, size in found)
        first = f": {found[0][0]}{', ...' if len(found) > 1 else ''}" if found else ""
        lines.append(f"  {group}  {len(found)} arrays, {total:,} parameters{first}")
    return "\n".join(lines)


def parse_groups(groups: tuple[str, ...]) -> list[tuple[re.Pattern, float]]:
    """Parses groups into patterns and factors.

    Raises:
        ValueError: a group is not REGEX=FACTOR.
    """
    parsed = []
    for group in groups:
        pattern, separator, factor = group.rpartition("=")
        try:
            value = float(factor)
            compiled = re.compile(pattern)
        except (ValueError, re.error) as error:
            raise ValueError(f"optim.groups: got {group!r} ({error}); {_ALLOWED}") from None
        if not separator or not 0 <= value < float("inf"):
            raise ValueError(f"optim.groups: got {group!r}; {_ALLOWED}")
        parsed.append((compiled, value))
    return parsed


_ALLOWED = (
    "each must be REGEX=FACTOR with a factor of 0 or more, such as ^motionnet/=0.001; the last one "
    "may be .*=1 for the rest."
)


def _factor_of(groups: tuple[str, ...]) -> Callable[[str], float | None]:
    parsed = parse_groups(groups)

    def factor_of(path: str) -> float | None:
        return next((factor for pattern, factor in parsed if pattern.search(path)), None)

    return factor_of


def path_name(path: tuple) -> str:
    """The path of a leaf as text, such as encoder/conv1/kernel."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
