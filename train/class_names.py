"""Compares the class names of a run with those of data, or of another run.

A network knows a class only by its label, a number. Names are compared because data whose classes
were renamed or reordered has the same labels with other meanings.
"""

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

from afn_jax.data.sources.lists.video_list import spelled
from afn_jax.near_names import printable

MOST_ROWS = 20
MOST_NAMES = 5
MOST_CHARACTERS = 200  # of class names in a command; guessed


def same_classes(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether both lists have the same classes at the same labels, apart from spelling."""
    mine, theirs = _keys(first, second)
    return mine == theirs


def have_equal_names(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether both lists have the same classes, in any order and spelling."""
    mine, theirs = _keys(first, second)
    return set(mine) == set(theirs)


def labels_in_run(run: Sequence[str], data: Sequence[str]) -> tuple[int, ...] | None:
    """Finds the label in a run of each class of the data, by name.

    Args:
        run: class names of the run, by label.
        data: class names of the data, by label: all of the run's, or some in the same order.

    Returns:
        One label per class of the data. None if the run lacks a class, or has them in another
        order: then either the names or the labels were exchanged, and nothing tells which.
    """
    mine, theirs = _keys(run, data)
    label_of = {key: label for label, key in enumerate(mine)}
    labels = tuple(label_of.get(key, -1) for key in theirs)
    return labels if -1 not in labels and list(labels) == sorted(labels) else None


def spelling_difference(first: Sequence[str], second: Sequence[str]) -> tuple[str, str] | None:
    """Returns the first class that both lists have in different spellings, if there is one."""
    mine, theirs = _keys(first, second)
    names = dict(zip(mine, first, strict=True))
    pairs = ((names.get(key, name), name) for key, name in zip(theirs, second, strict=True))
    return next((pair for pair in pairs if pair[0] != pair[1]), None)


def class_table(first: Sequence[str], second: Sequence[str], titles: tuple[str, str]) -> str:
    """Returns the labels at which two lists differ, side by side, at most `MOST_ROWS`."""
    mine, theirs = _keys(first, second)
    keys = itertools.zip_longest(mine, theirs)
    shown_names = (map(printable, names) for names in (first, second))
    names = itertools.zip_longest(*shown_names, fillvalue="(none)")
    rows = [
        (str(label), *pair)
        for label, (pair, (a, b)) in enumerate(zip(names, keys, strict=True))
        if a != b
    ]
    shown = [("label", *titles), *rows[:MOST_ROWS]]
    widths = [max(len(row[i]) for row in shown) for i in range(2)]
    lines = [f"  {a:>{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in shown]
    if len(rows) > MOST_ROWS:
        lines.append(f"  and {len(rows) - MOST_ROWS} more")
    return "\n".join(lines)


def check_same_classes(runs: Sequence[tuple[str, Sequence[str]]], problem: str, fix: str) -> None:
    """Compares the class names of runs, given as (run, class names).

    Raises:
        ValueError: the names of a run differ from those of the first; the message has both lists
            between `problem` and `fix`.
    """
    first, names = runs[0]
    for run, others in runs[1:]:
        if not same_classes(names, others):
            raise ValueError(f"{problem}:\n{class_table(names, others, (first, run))}\n{fix}")


def check_classes_of_run(
    run_dir: str | Path,
    run: Sequence[str],
    data: Sequence[str],
    *,
    option: str = "",
    otherwise: str,
    subset: bool = False,
) -> tuple[int, ...]:
    """Compares the classes of data with those that a run was trained on.

    Args:
        run_dir: folder of the run, for the message.
        run: class names of the run, by label.
        data: class names of the data, by label.
        option: the command line option that chooses and orders the classes of the data; "" if the
            data has none.
        otherwise: what else the user can do, such as "choose another --run-dir".
        subset: whether the data may lack classes of the run.

    Returns:
        The label in the run of each class of the data.

    Raises:
        ValueError: classes were renamed, reordered or added or, without `subset`, removed.
    """
    labels = labels_in_run(run, data)
    if labels is not None and (subset or len(labels) == len(run)):
        return labels
    mine, theirs = _keys(run, data)
    gone = [name for name, key in zip(run, mine, strict=True) if key not in theirs]
    new = [name for name, key in zip(data, theirs, strict=True) if key not in mine]
    if gone or new:
        parts = [f"only in the run: {_some(gone)}"] if gone else []
        parts += [f"only in the data: {_some(new)}"] if new else []
        problem = f"the classes are not those that {run_dir} was trained on ({'; '.join(parts)})"
    else:
        problem = f"the classes have other labels than in {run_dir}"
    fixes = [f"use the run's classes, in its order, with {option} {_listed(Path(run_dir), run)}"]
    if gone:
        fixes = ["rename or restore the classes of the data"]
    elif not option:
        fixes = []
    fix = ", or ".join([*fixes, otherwise])
    raise ValueError(
        f"data: {problem}:\n{class_table(run, data, (str(run_dir), 'data'))}\n"
        f"{fix[0].upper()}{fix[1:]}."
    )


def _listed(run_dir: Path, names: Sequence[str]) -> str:
    file, text = class_file(run_dir), shlex.join(names)
    return shlex.quote(str(file)) if len(text) > MOST_CHARACTERS and file.is_file() else text


def class_file(run_dir: Path) -> Path:
    """The text file of a run's class names, one per line, for `data.classes`."""
    return Path(run_dir) / "data" / "classes.txt"


def _keys(*lists: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the names without differences in spelling, unless classes of one list differ so."""
    keys = [tuple(map(spelled, names)) for names in lists]
    if any(len(set(one)) < len(one) for one in keys):
        return [tuple(names) for names in lists]
    return keys


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(printable, names[:MOST_NAMES])) + more
