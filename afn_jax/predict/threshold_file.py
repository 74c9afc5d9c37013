"""Thresholds per class from a CSV or JSON file."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from afn_jax.near_names import did_you_mean_or_all, printable
from afn_jax.predict.segments import LOW, Threshold

_COLUMNS = ("class", "high", "low", "least")


def read_thresholds(
    path: str | Path, class_names: Sequence[str], *, low: float | None, least: float
) -> tuple[tuple[str, float, float, float], ...]:
    """Reads rows `class,high[,low[,least]]`, or a JSON object `{"class": high}`.

    In JSON a value may also be an object such as `{"high": 0.6, "low": 0.4, "least": 1}`. Classes
    that the file does not name keep the usual thresholds.

    Args:
        path: the file.
        class_names: of the network.
        low: the usual low threshold; None: 0.6 x the high one.
        least: the usual least duration in seconds.

    Returns:
        (class, high, low, least) per class of the file, sorted by class.

    Raises:
        ValueError: malformed, a class that the network does not have, or one named twice.
        OSError: it cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"thresholds: {path} is not text in UTF-8 ({error})") from None
    rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)
    found: dict[str, tuple[str, float, float, float]] = {}
    for where, name, values in rows:
        if name not in class_names:
            raise ValueError(
                f"{where}: got the class {printable(name)!r}, which the network does not have. "
                f"{did_you_mean_or_all(name, class_names)}"
            )
        if name in found:
            raise ValueError(f"{where}: the class {printable(name)!r} is named twice; keep one.")
        high = _number(where, "high", values.get("high"))
        usual = LOW * high if low is None else min(low, high)
        given = values.get("low")
        lower = usual if given in (None, "") else _number(where, "low", given)
        given = values.get("least")
        shortest = least if given in (None, "") else _number(where, "least", given)
        try:
            Threshold(high, lower, shortest)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        found[name] = (name, high, lower, shortest)
    if not found:
        raise ValueError(f"thresholds: {path} has no rows; give class,high[,low[,least]] per line.")
    return tuple(found[name] for name in sorted(found))


def _number(where: str, what: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {what} is {value!r}; give a number such as 0.5.")
    return number


def _csv_rows(path: Path, text: str) -> list[tuple[str, str, dict[str, Any]]]:
    rows = []
    for number, row in enumerate(csv.reader(text.splitlines()), start=1):
        values = [value.strip() for value in row]
        if not any(values) or (number == 1 and values[0].casefold() == "class"):
            continue
        if not 2 <= len(values) <= len(_COLUMNS):
            raise ValueError(
                f"{path}, line {number}: got {len(values)} columns; give class,high[,low[,least]]."
            )
        named = dict(zip(_COLUMNS, values, strict=False))
        rows.append((f"{path}, line {number}", named.pop("class"), named))
    return rows


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {}
    for name, value in pairs:
        if name in found:
            raise KeyError(printable(name))
        found[name] = value
    return found


def _json_rows(path: Path, text: str) -> list[tuple[str, str, dict[str, Any]]]:
    try:
        content = json.loads(text, object_pairs_hook=_each_once)
    except KeyError as twice:
        raise ValueError(f"thresholds: {path} names {twice} twice; keep one.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"thresholds: {path} is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f'thresholds: {path} must be an object such as {{"walk": 0.6}}.')
    rows = []
    for name, value in content.items():
        values = value if isinstance(value, dict) else {"high": value}
        unknown = sorted(set(values) - set(_COLUMNS[1:]))
        if unknown:
            raise ValueError(
                f"{path}, class {printable(name)!r}: got {unknown[0]!r}; allowed are high, low "
                "and least."
            )
        rows.append((f"{path}, class {printable(name)!r}", name, values))
    return rows
