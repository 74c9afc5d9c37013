"""Your own list: a CSV file with the columns `path,label[,start,end][,split]`.

path,label,start,end
kitchen/cam 1.mp4,pour water,12.5,17
kitchen/cam 1.mp4,cut,20,31.5
"""

import re
from collections.abc import Sequence
from pathlib import Path

from afn_jax.data.sources.lists.csv_columns import TEST, TRAIN, VAL, name_columns
from afn_jax.data.sources.lists.paths import below_root, clean_path
from afn_jax.data.sources.lists.splits import split_by_name
from afn_jax.data.sources.lists.table import SEPARATORS, read_table
from afn_jax.data.sources.lists.video_list import (
    Entry,
    VideoList,
    check_seconds,
    find_annotations,
    spelled,
)

_MOST_DIGITS = 5  # of a class number; each number up to the largest becomes a class
_Row = dict[str, str]
_NUMBER = re.compile(r"(\d+)(?:\.0*)?")  # pandas writes 1 as 1.0 if a label is missing


def read_csv(root: Path, split: str, annotations: Path | None, list_number: int) -> VideoList:
    """Reads one CSV file for both splits, or `train*.csv` and `test*.csv` (or `val*.csv`).

    The first line names the columns, by a name in `COLUMNS`, or is already a row `path,label`,
    `path,label,start,end` or either with a split at its end. Columns are separated by commas,
    semicolons, tabs or |. Labels are class names or the numbers 0, 1, ... Paths of another machine
    are compared with the files below `root` from their ends. The column `split` is `train`, `test`
    or `val`. Without this column, `split_by_name` splits a single file class by class, keeping all
    segments of a video together. Videos marked `val` are the test split if none are marked `test`,
    and are unused otherwise.

    Args:
        root: the folder that relative paths start from.
        split: "train" or "test".
        annotations: the file, or the folder of both files; None: searched for in and beside `root`.
        list_number: unused; there is one split.

    Raises:
        ValueError: the list is malformed or has no row for the split; the message names the line,
            if there is one.
    """
    files, by_file, class_names, entry_of = _read(root, annotations)
    rows = [row for path in files for row in by_file[path]]
    if "split" in rows[0]:
        for row in rows:
            if row.get("split", "").casefold() not in (*TRAIN, *TEST, *VAL):
                raise ValueError(
                    f"{row['where']}: the split is {row.get('split', '')!r}; give one "
                    f"of {', '.join((*TRAIN, *TEST, *VAL))}"
                )
        named = _of_split(split, {row["split"].casefold() for row in rows})
        rows = [row for row in rows if row["split"].casefold() in named]
    elif len(files) > 1:
        stems = {path: path.name.casefold() for path in files}
        named = _of_split(split, {n for n in TEST if any(s.startswith(n) for s in stems.values())})
        rows = [row for path in files if stems[path].startswith(named) for row in by_file[path]]
    else:
        # A video of several classes is split with its first class, so that it is in one split only.
        by_class: dict[str, list[str]] = {}
        for path, label in {row["listed"]: row["label"] for row in reversed(rows)}.items():
            by_class.setdefault(label, []).append(path)
        chosen = {path for paths in by_class.values() for path in split_by_name(paths, split=split)}
        rows = [row for row in rows if row["listed"] in chosen]
    if not rows:
        raise ValueError(
            f"data.annotations: {', '.join(map(str, files))}: no row for the {split} split; add a "
            "column 'split' with train and test, or give a folder with train.csv and test.csv"
        )
    entries = dict.fromkeys(entry_of[row["where"]] for row in rows)
    return VideoList(class_names, tuple(entries), f"{split} rows of {', '.join(map(str, files))}")


def read_whole_csv(root: Path, annotations: Path) -> VideoList:
    """Reads all rows of CSV lists; of lists with a column `split`, those of the test split.

    Raises:
        ValueError: as `read_csv`.
    """
    files, by_file, class_names, entry_of = _read(root, annotations)
    rows = [row for path in files for row in by_file[path]]
    if "split" in rows[0]:
        return read_csv(root, "test", annotations, 1)
    entries = dict.fromkeys(entry_of[row["where"]] for row in rows)
    return VideoList(class_names, tuple(entries), f"rows of {', '.join(map(str, files))}")


def _read(
    root: Path, annotations: Path | None
) -> tuple[list[Path], dict[Path, list[_Row]], tuple[str, ...], dict[str, Entry]]:
    """Returns the files, their rows, the class names, and the entry of each file and line."""
    files = find_annotations(
        root,
        annotations,
        folders=("annotations", "lists"),
        patterns=["train*.csv", "test*.csv", "val*.csv"],
        what="a CSV file of path,label[,start,end], or the folder of train.csv and test.csv",
    )
    by_file = {path: _rows(root, path) for path in files}
    rows = [row for path in files for row in by_file[path]]
    if not rows:
        raise ValueError(
            f"data.annotations: {', '.join(map(str, files))}: no rows below the names of the "
            "columns; add a row path,label for each video"
        )
    labels = {row["label"] for row in rows}
    paths = below_root(root, [row["path"] for row in rows], labels)
    for row, path in zip(rows, paths, strict=True):
        row["path"] = path
    class_names, label_of = _classes(rows, files)
    entry_of = {row["where"]: _entry(row, label_of) for row in rows}  # checks all rows
    return files, by_file, class_names, entry_of


def _of_split(split: str, there: set[str]) -> tuple[str, ...]:
    """Returns the names of a split; those of validation if the files have no test split."""
    if split == "train":
        return TRAIN
    return TEST if there & {*TEST} else VAL


def _rows(root: Path, path: Path) -> list[dict[str, str]]:
    """Returns the rows by column name; `where` is the file and line."""
    lines, separator = read_table(path)
    if not lines:
        raise ValueError(f"{path}: no rows; a row is path,label or path,label,start,end")
    names, lines = name_columns(root, path, lines)
    rows = []
    for where, values in lines:
        if len(values) != len(names) or not clean_path(values[names.index("path")]):
            raise ValueError(
                f"{where}: got {values}, {len(values)} columns separated by "
                f"{SEPARATORS[separator]}; give {len(names)} columns, {separator.join(names)}, and "
                "put quotes around a path that contains the separator"
            )
        row = dict(zip(names, values, strict=True)) | {"where": where}
        # Videos are split by the path as it is listed, whatever it is on this machine.
        rows.append(row | {"path": clean_path(row["path"]), "listed": row["path"]})
    return rows


def _classes(
    rows: list[dict[str, str]], files: list[Path]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Returns the class names, and the label of each text in the label column."""
    texts = {row["label"] for row in rows}
    if "" in texts:
        where = next(row["where"] for row in rows if not row["label"])
        raise ValueError(f"{where}: the label is empty; give the name or number of a class")
    numbers = {text: match[1] for text in texts if (match := _NUMBER.fullmatch(text))}
    if 0 < len(numbers) < len(texts):
        number = next(row for row in rows if row["label"] in numbers)
        name = next(row for row in rows if row["label"] not in numbers)
        raise ValueError(
            f"{number['where']}: the label {number['label']!r} is a number, but {name['label']!r} "
            f"in {name['where']} is not; give the numbers 0, 1, ... or the names of all classes"
        )
    if not numbers:
        _check_spelling(rows)
        names = tuple(sorted(texts))
        return names, {name: label for label, name in enumerate(names)}
    longest = max(numbers.values(), key=len)
    if len(longest) > _MOST_DIGITS:
        where = next(row["where"] for row in rows if numbers[row["label"]] == longest)
        raise ValueError(
            f"{where}: the class number {longest[:20]} has {len(longest)} digits; allowed: "
            f"{_MOST_DIGITS}. Number the classes 0, 1, ..., or give names"
        )
    label_of = {text: int(number) for text, number in numbers.items()}
    if 0 not in label_of.values():
        raise ValueError(
            f"data.annotations: the labels in {', '.join(map(str, files))} are "
            f"{min(label_of.values())} to {max(label_of.values())}; class numbers start at 0: "
            "subtract 1, or give names"
        )
    return tuple(map(str, range(max(label_of.values()) + 1))), label_of


def _check_spelling(rows: Sequence[dict[str, str]]) -> None:
    """Raises ValueError if two labels differ only in case, blanks or underscores."""
    first: dict[str, dict[str, str]] = {}
    for row in rows:
        other = first.setdefault(spelled(row["label"]), row)
        if other["label"] != row["label"]:
            raise ValueError(
                f"{row['where']}: the label {row['label']!r} differs from {other['label']!r} in "
                f"{other['where']} only in case, blanks or underscores; spell the name of a class "
                "in one way"
            )


def _entry(row: dict[str, str], label_of: dict[str, int]) -> Entry:
    path, label = row["path"], label_of[row["label"]]
    if not row.get("start") and not row.get("end"):
        return Entry(path, label)
    try:
        # A comma that does not separate columns is a decimal one.
        start, end = (float(row[name].replace(",", ".")) for name in ("start", "end"))
    except ValueError:
        raise ValueError(
            f"{row['where']}: start {row['start']!r}, end {row['end']!r}; give both in seconds, or "
            "leave both empty for the whole video"
        ) from None
    check_seconds(start, end, row["where"])
    return Entry(path, label, start, end)


def is_csv(root: Path, annotations: Path | None) -> bool:
    """Returns whether the annotations are a CSV file."""
    return annotations is not None and annotations.suffix.lower() == ".csv"
