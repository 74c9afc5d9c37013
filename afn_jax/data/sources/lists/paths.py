"""Paths of a list that was written on another machine, or that start from another folder."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from afn_jax.data.sources.lists.video_list import spelled

PROBED = 20  # relative paths to look for on disk; guessed: lists have one form
LONGEST = 4096  # characters; Linux opens no longer path
_DRIVE = re.compile(r"[A-Za-z]:/")


def clean_path(path: str) -> str:
    """Returns a path with `/`, without blanks around it, doubled or last `/` and leading `./`."""
    path = path.strip().replace("\\", "/")
    path = path[:1] + re.sub("//+", "/", path[1:])
    while path.startswith("./"):
        path = path[2:]
    return path.rstrip("/")


def is_absolute(path: str) -> bool:
    """Whether a path with `/` is absolute, here or on Windows."""
    return path.startswith("/") or _DRIVE.match(path) is not None


def folder_label(path: str, label_of: dict[str, int]) -> int | None:
    """Returns the label of the class folder in a path.

    This is its first folder; otherwise, and for absolute paths, the one next to the file.

    Args:
        path: with `/`.
        label_of: labels by class name, and by its `spelled` form if that is unique.
    """
    parts = path.split("/")
    order = parts[-2::-1] if is_absolute(path) else [parts[0], *parts[-2::-1]]
    for part in order:
        label = label_of.get(part, label_of.get(spelled(part)))
        if label is not None:
            return label
    return None


def label_table(class_names: Sequence[str]) -> dict[str, int]:
    """Returns labels by class name, and by its `spelled` form if no other class has it."""
    forms = [spelled(name) for name in class_names]
    table = {form: label for label, form in enumerate(forms) if forms.count(form) == 1}
    return table | {name: label for label, name in enumerate(class_names)}


def below_root(root: Path, paths: Sequence[str], class_names: Collection[str] = ()) -> list[str]:
    """Returns paths relative to `root`, as far as they can be found there.

    A path that exists as it is listed means that file, wherever it is. Of any other, the end is
    compared with the files below the root, so that the leading folders of another machine do not
    matter. An absolute path that is not found starts at its class folder.

    Args:
        root: the folder of the videos.
        paths: with `/`.
        class_names: names of class folders.
    """
    classes = {spelled(name) for name in class_names}
    names = {path.rpartition("/")[2] for path in paths}
    least = 1 if len(names) == len(set(paths)) else 2  # parts that tell the files apart
    roots = tuple(f"{place}/" for place in {root.absolute().as_posix(), root.resolve().as_posix()})
    dropped: dict[str, None] = dict.fromkeys(roots)
    found, probed = [], 0
    for path in paths:
        prefix = next((prefix for prefix in dropped if path.startswith(prefix)), None)
        if prefix and prefix not in roots and _means_another(root, path, path[len(prefix) :]):
            prefix = ""
        if prefix is None and (is_absolute(path) or probed < PROBED):
            probed += 1
            prefix = _prefix(root, path, least, classes)
            if prefix:
                dropped[prefix] = None
        found.append(path[len(prefix or "") :])
    return found


def _prefix(root: Path, path: str, least: int, classes: set[str]) -> str:
    """Returns the leading folders of a path to drop, with a `/` at their end."""
    if not path.startswith("../") and os.path.exists(os.path.join(root, path)):
        return ""
    parts = path.split("/")
    if len(path) > LONGEST:
        return ""
    for start in range(1, len(parts) - least + 1):
        end = "/".join(parts[start:])
        if os.path.exists(os.path.join(root, end)) and not _means_another(root, path, end):
            return "/".join(parts[:start]) + "/"
    if is_absolute(path):
        for start in range(len(parts) - 2, 0, -1):
            if spelled(parts[start]) in classes:
                return "/".join(parts[:start]) + "/"
    return ""


def _means_another(root: Path, path: str, end: str) -> bool:
    """Whether a path exists as it is listed, and is not the file that its end is below the root."""
    listed, below = os.path.join(root, path), os.path.join(root, end)
    if not os.path.exists(listed):
        return False
    return not os.path.exists(below) or not os.path.samefile(listed, below)
