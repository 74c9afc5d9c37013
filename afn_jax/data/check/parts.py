"""Joins the results of several runs, each of which inspected its share of the files of a dataset.

Each run leaves its results in a folder that all of them share. The last run to finish joins them.
"""

import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from afn_jax.atomic import write_atomically
from afn_jax.data.check.dataset import Inspected
from afn_jax.data.sources.identity import file_id


def part_of(names: Mapping[str, str], share: tuple[int, int]) -> set[str]:
    """Returns the names of the files that the i-th of n runs inspects; share is (i, n)."""
    i, n = share
    return set(list(names)[i - 1 :: n])


def join_parts(
    folder: str | os.PathLike[str],
    share: tuple[int, int],
    own: Mapping[str, Inspected],
    paths: Mapping[str, str],
    settings: str = "",
) -> dict[str, Inspected] | None:
    """Writes the results of this run, and returns those of all runs if it is the last one.

    Then the results are removed from the folder, so that the next check starts anew.

    Args:
        folder: shared by the runs; created if missing.
        share: (i, n): this is the i-th of n runs, from 1.
        own: what this run found, by name.
        paths: the paths of all files by name, in the same order in all runs.
        settings: how the files were inspected.

    Returns:
        The state of each file in the order of `paths`; None if other runs have not finished.

    Raises:
        OSError: the folder cannot be written.
        ValueError: another run has other files or other settings.
    """
    folder, (i, n) = Path(folder), share
    folder.mkdir(parents=True, exist_ok=True)
    states = {name: _state(path) for name, path in paths.items()}
    key = hashlib.sha256(repr((states, settings)).encode("utf-8", "backslashreplace"))
    rows = {name: dataclasses.asdict(found) for name, found in own.items()}
    content = json.dumps({"dataset": key.hexdigest(), "files": rows})
    write_atomically(_part(folder, i, n), content + "\n")
    found: dict[str, Inspected] = {}
    try:
        parts = [json.loads(_part(folder, k, n).read_text()) for k in range(1, n + 1)]
    except FileNotFoundError:
        return None
    for k, part in enumerate(parts, start=1):
        if part["dataset"] != key.hexdigest():
            raise ValueError(
                f"parts: {_part(folder, k, n)} is of other files or of other settings than those "
                "of this run; sizes and times of the files count too. If it is left from an "
                "earlier check, remove it and start its run again. All runs need the same dataset, "
                "on a file system that they share, and the same options."
            )
        found |= {name: Inspected(**values) for name, values in part["files"].items()}
    for k in range(1, n + 1):
        _part(folder, k, n).unlink(missing_ok=True)
    return {name: _here(found[name], path) for name, path in paths.items()}


def _part(folder: Path, i: int, n: int) -> Path:
    return folder / f"check-{i}-of-{n}.json"


def _state(path: str) -> tuple[int, int] | None:
    """Returns the size of a file and when it was changed, as all hosts see it; None if missing."""
    try:
        file = os.stat(path)
    except OSError:
        return None
    return (0 if stat.S_ISDIR(file.st_mode) else file.st_size), int(file.st_mtime)


def _here(found: Inspected, path: str) -> Inspected:
    """Returns what was found with the file's identity on this host: devices have own numbers."""
    try:
        return dataclasses.replace(found, file=file_id(os.stat(path)) if found.file else 0)
    except OSError:
        return found
