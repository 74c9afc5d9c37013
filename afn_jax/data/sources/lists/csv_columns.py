"""The columns of CSV lists: their names, their order without a header, columns to leave out."""

import os
import re
from pathlib import Path

from afn_jax.data.sources.kinds import stem_of
from afn_jax.data.sources.lists.paths import PROBED, clean_path

COLUMNS = {
    "path": "path video videos file filename file_name filepath file_path video_path video_name "
    "video_file videofile clip clip_path clip_name relpath rel_path",
    "label": "label labels class class_name classname class_label label_name category action "
    "action_name action_label target class_id label_id classid class_index",
    "start": "start start_time time_start t_start start_sec start_secs start_seconds start_s begin "
    "begin_time onset",
    "end": "end end_time time_end t_end end_sec end_secs end_seconds end_s stop stop_time offset",
    "split": "split subset set partition fold_name",
}
GUESS = "guess"
NOTES = (GUESS, "probability")  # columns of `afn-jax predict --suggest` that are not read
TRAIN, TEST, VAL = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")
_Lines = list[tuple[str, list[str]]]
_UNNAMED = re.compile(r"(unnamed: \d+)?", re.IGNORECASE)  # as pandas writes and reads an index


def name_columns(root: Path, path: Path, lines: _Lines) -> tuple[list[str], _Lines]:
    """Finds out what the columns of a list are, by its header or their number.

    Columns that are empty in all lines and an index that pandas wrote are left out, and so are
    `NOTES`. Where there is a column `guess`, lines without a label are suggestions that nobody has
    labeled yet, and are left out too.

    Args:
        root: the folder that paths start from.
        path: the file, for messages.
        lines: (file and line for messages, columns) of each line, at least one.

    Returns:
        The keys of `COLUMNS` of the columns, and the lines below the header.

    Raises:
        ValueError: there is no path or no label, a column is unknown or ambiguous, or no suggestion
            has a label.
    """
    width = max(len(values) for _, values in lines)
    used = [j < 2 or any(any(values[j : j + 1]) for _, values in lines) for j in range(width)]
    lines = _chosen(lines, used)
    names = _without_header(root, path, lines)
    if names is not None:
        return names, lines
    header = lines[0][1]
    lines = _chosen(lines, [not _is_index(lines, j) for j in range(len(header))])
    notes = [name.casefold() in NOTES for name in lines[0][1]]
    suggested = GUESS in (name.casefold() for name in lines[0][1])
    lines = _chosen(lines, [not note for note in notes])
    names = _by_header(path, lines)
    return names, _labeled(path, names, lines[1:]) if suggested else lines[1:]


def _labeled(path: Path, names: list[str], lines: _Lines) -> _Lines:
    """Returns the suggestions that have a label, and malformed lines."""
    label = names.index("label")
    found = [line for line in lines if len(line[1]) <= label or line[1][label]]
    if lines and not found:
        raise ValueError(
            f"{path}: none of the {len(lines)} suggestions has a label yet; write the name of a "
            "class into the column label of those that you have looked at"
        )
    return found


def _chosen(lines: _Lines, used: list[bool]) -> _Lines:
    """Leaves columns out; those beyond `used` are kept."""
    if all(used):
        return lines
    count = len(used)
    return [
        (where, [v for j, v in enumerate(values) if j >= count or used[j]])
        for where, values in lines
    ]


def _is_index(lines: _Lines, column: int) -> bool:
    """Whether a column without a name numbers the rows, or is empty."""
    if not _UNNAMED.fullmatch(lines[0][1][column]) or len(lines) == 1:
        return False
    values = [values[column] for _, values in lines[1:] if len(values) > column]
    if not any(values):
        return True
    return all(value.isdecimal() for value in values) and len(set(values)) == len(lines) - 1


def _without_header(root: Path, path: Path, lines: _Lines) -> list[str] | None:
    """Returns the names of the columns of a file without a header; None if there is a header."""
    first = lines[0][1]
    known = [_role(name) for name in first]
    if {"path", "label"} <= set(known):
        return None
    is_file = [_is_file(values[0]) for _, values in lines]
    if len(first) > 1 and not any(known):
        _check_order(root, lines)
    if any(known) and not is_file[0] or (not is_file[0] and len(lines) > 1 and all(is_file[1:])):
        return None  # names of columns, not all of which are known
    if len(first) == 1:
        raise ValueError(
            f"{path}: the first line, {first[0]!r}, has no comma, semicolon, tab or |; separate "
            "the columns path and label by one of these"
        )
    last = {values[-1].casefold() for _, values in lines}
    split = ["split"] if len(first) in (3, 5) and last <= {*TRAIN, *TEST, *VAL} else []
    if len(first) - len(split) in (2, 4):
        return ["path", "label", "start", "end"][: len(first) - len(split)] + split
    return None


def _check_order(root: Path, lines: _Lines) -> None:
    """Raises ValueError if the second column holds the videos, and the first does not."""

    def is_video(text: str) -> bool:
        if stem_of(text) != text:
            return True
        return "/" in clean_path(text) and os.path.exists(root / clean_path(text))

    some = [values for _, values in lines[:PROBED] if len(values) > 1]
    if all(is_video(v[1]) for v in some) and not any(is_video(v[0]) for v in some):
        where, values = lines[0]
        raise ValueError(
            f"{where}: got {values}, where the second column is the path of a video; put the path "
            "first and the label second, or name the columns in a first line: label,path"
        )


def _by_header(path: Path, lines: _Lines) -> list[str]:
    """Returns the names of the columns by their meaning."""
    header = lines[0][1]
    roles = [_role(name) for name in header]
    twice = next((role for role in COLUMNS if roles.count(role) > 1), None)
    if twice:
        both = [name for name, role in zip(header, roles, strict=True) if role == twice]
        raise ValueError(f"{path}: the columns {' and '.join(both)} are both a {twice}; keep one")
    wrong = [f"there is no column {role}" for role in ("path", "label") if role not in roles]
    named = [name for name, role in zip(header, roles, strict=True) if not role and name]
    if named:
        wrong.append(f"remove or rename {', '.join(map(repr, named))}")
    if "" in header:
        wrong.append(f"column {header.index('') + 1} has no name")
    if ("start" in roles) != ("end" in roles):
        wrong.append(f"there is no {'end' if 'start' in roles else 'start'}")
    if wrong:
        names = [name.casefold() for name in header]
        raise ValueError(
            f"{path}: {'; '.join(wrong)}: the columns are {', '.join(names)}; use path and label, "
            "and optionally start and end in seconds (both), and split. A path may also be called "
            "video or filename, a label class, action or category"
        )
    return roles


def _role(name: str) -> str:
    """Returns what a column of this name is; empty if unknown."""
    name = "_".join(name.casefold().replace("-", " ").split()).lstrip("#_")
    return next((role for role, names in COLUMNS.items() if name in names.split()), "")


def _is_file(text: str) -> bool:
    return "." in text or "/" in text or "\\" in text
