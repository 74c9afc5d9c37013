"""Your own list: a CSV file with the columns `path,label[,start,end][,split]`.

path,label,start,end
kitchen/cam 1.mp4,pour water,12.5,17
kitchen/cam 1.mp4,cut,20,31.5
"""

import csv
import io
from pathlib import Path

from afn_jax.data.sources.lists.splits import split_by_name
from afn_jax.data.sources.lists.text import read_text
from afn_jax.data.sources.lists.video_list import Entry, VideoList, check_seconds, find_annotations

_COLUMNS = ("path", "label", "start", "end", "split")
_TRAIN, _TEST, _VAL = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")


def read_csv(root: Path, split: str, annotations: Path | None, list_number: int) -> VideoList:
    """Reads one CSV file for both splits, or `train*.csv` and `test*.csv` (or `val*.csv`).

    The first line names the columns, or is already a row `path,label` or `path,label,start,end`.
    Columns are separated by commas, semicolons or tabs. Labels are class names or the numbers 0, 1,
    ... The column `split` is `train`, `test` or `val`. Without this column, `split_by_name` splits
    a single file class by class, keeping all segments of a video together. Videos marked `val` are
    the test split if none are marked `test`, and are unused otherwise.

    Args:
        root: the folder that relative paths start from.
        split: "train" or "test".
        annotations: the file, or the folder of both files; None: searched for in and beside `root`.
        list_number: unused; there is one split.

    Raises:
        ValueError: the list is malformed or has no row for the split; the message names the line,
            if there is one.
    """
    files = find_annotations(
        root,
        annotations,
        folders=("annotations", "lists"),
        patterns=["train*.csv", "test*.csv", "val*.csv"],
        what="a CSV file of path,label[,start,end], or the folder of train.csv and test.csv",
    )
    by_file = {path: _rows(path) for path in files}
    rows = [row for path in files for row in by_file[path]]
    class_names, label_of = _classes(rows, files)
    entry_of = {row["where"]: _entry(row, label_of) for row in rows}  # checks all rows
    if "split" in rows[0]:
        for row in rows:
            if row["split"].casefold() not in (*_TRAIN, *_TEST, *_VAL):
                raise ValueError(
                    f"{row['where']}: the split is {row['split']!r}; give one "
                    f"of {', '.join((*_TRAIN, *_TEST, *_VAL))}"
                )
        named = _of_split(split, {row["split"].casefold() for row in rows})
        rows = [row for row in rows if row["split"].casefold() in named]
    elif len(files) > 1:
        stems = {path: path.name.casefold() for path in files}
        named = _of_split(split, {n for n in _TEST if any(s.startswith(n) for s in stems.values())})
        rows = [row for path in files if stems[path].startswith(named) for row in by_file[path]]
    else:
        # A video of several classes is split with its first class, so that it is in one split only.
        by_class: dict[str, list[str]] = {}
        for path, label in {row["path"]: row["label"] for row in reversed(rows)}.items():
            by_class.setdefault(label, []).append(path)
        chosen = {path for paths in by_class.values() for path in split_by_name(paths, split=split)}
        rows = [row for row in rows if row["path"] in chosen]
    if not rows:
        raise ValueError(
            f"data.annotations: {', '.join(map(str, files))}: no row for the {split} split; add a "
            "column 'split' with train and test, or give a folder with train.csv and test.csv"
        )
    entries = dict.fromkeys(entry_of[row["where"]] for row in rows)
    return VideoList(class_names, tuple(entries), f"{split} rows of {', '.join(map(str, files))}")


def _of_split(split: str, there: set[str]) -> tuple[str, ...]:
    """Returns the names of a split; those of validation if the files have no test split."""
    if split == "train":
        return _TRAIN
    return _TEST if there & {*_TEST} else _VAL


def _rows(path: Path) -> list[dict[str, str]]:
    """Returns the rows by column name; `where` is the file and line."""
    text = read_text(path)
    first = text.strip().partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    lines = [
        (f"{path}, line {reader.line_num}", [value.strip() for value in values])
        for values in reader
        if any(value.strip() for value in values)
    ]
    if not lines:
        raise ValueError(f"{path}: no rows; a row is path,label or path,label,start,end")
    names = [name.casefold() for name in lines[0][1]]
    if {"path", "label"} <= set(names):
        lines = lines[1:]
    elif len(names) in (2, 4):
        names = list(_COLUMNS[: len(names)])
    if not set(names) <= set(_COLUMNS) or ("start" in names) != ("end" in names):
        raise ValueError(
            f"{path}: the columns are {', '.join(names)}; use path and label, and "
            "optionally start and end (both), and split"
        )
    rows = []
    for where, values in lines:
        if len(values) != len(names) or not values[names.index("path")]:
            raise ValueError(
                f"{where}: got {values}; give {len(names)} columns, {separator.join(names)}, and "
                "put quotes around a path that contains the separator"
            )
        rows.append(dict(zip(names, values, strict=True)) | {"where": where})
    return rows


def _classes(
    rows: list[dict[str, str]], files: list[Path]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Returns the class names, and the label of each text in the label column."""
    texts = {row["label"] for row in rows}
    if "" in texts:
        where = next(row["where"] for row in rows if not row["label"])
        raise ValueError(f"{where}: the label is empty; give the name or number of a class")
    if not all(text.isdecimal() for text in texts):
        names = tuple(sorted(texts))
        return names, {name: label for label, name in enumerate(names)}
    numbers = {text: int(text) for text in texts}
    if 0 not in numbers.values():
        raise ValueError(
            f"data.annotations: the labels in {', '.join(map(str, files))} are "
            f"{min(numbers.values())} to {max(numbers.values())}; class numbers start at 0: "
            "subtract 1, or give names"
        )
    return tuple(map(str, range(max(numbers.values()) + 1))), numbers


def _entry(row: dict[str, str], label_of: dict[str, int]) -> Entry:
    path, label = row["path"].replace("\\", "/"), label_of[row["label"]]
    if not row.get("start") and not row.get("end"):
        return Entry(path, label)
    try:
        start, end = float(row["start"]), float(row["end"])
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
