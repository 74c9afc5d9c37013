"""Kinetics-400, -600, -700 (Kay et al. 2017): CSV lists, videos named by YouTube id."""

import csv
import io
from pathlib import Path

from afn_jax.data.sources.lists.text import csv_errors, read_text
from afn_jax.data.sources.lists.video_list import Entry, VideoList, find_annotations

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
# Not all versions have public test labels, so the validation videos are the test split.
_NAMES = {"train": ("train",), "test": ("val", "validate", "validation")}


def read_kinetics(root: Path, split: str, annotations: Path | None, list_number: int) -> VideoList:
    """Reads `train.csv` and `val.csv` (or `validate.csv`); validation is the test split.

    Videos are clips of ten seconds, `{youtube_id}_{time_start:06d}_{time_end:06d}.mp4` or
    `{youtube_id}.mp4`, in any folder. Classes are sorted by name.

    Args:
        root: a folder above all training and validation videos.
        split: "train" or "test".
        annotations: the folder of the CSV files, or one file with the rows of both splits; None:
            searched for in and beside `root`.
        list_number: unused; there is one split.

    Raises:
        ValueError: the files are missing or do not have the columns of Kinetics.
    """
    files = find_annotations(
        root,
        annotations,
        folders=("annotations", "annotate", "annotation"),
        patterns=["*train*.csv", "*val*.csv"],
        what="the folder of train.csv and val.csv",
    )
    rows = [row for path in files for row in _rows(path)]
    class_names = tuple(sorted({row["label"] for row in rows}))
    label_of = {name: label for label, name in enumerate(class_names)}
    entries = tuple(_entry(row, label_of) for row in rows if row["split"].strip() in _NAMES[split])
    if not entries:
        raise ValueError(
            f"data.annotations: {', '.join(map(str, files))}: no row of the split "
            f"{' or '.join(_NAMES[split])}, only {sorted({row['split'] for row in rows})}; give "
            "the folder that holds train.csv and val.csv"
        )
    origin = f"{split} videos of {', '.join(map(str, files))}"
    return VideoList(class_names, entries, origin, anywhere=True)


def _rows(path: Path) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True)
    with csv_errors(path):
        header = reader.fieldnames or []
    if not set(COLUMNS) <= set(header):
        raise ValueError(
            f"data.annotations: {path} has the columns {', '.join(header)[:200]!r}; the lists of "
            f"Kinetics have {', '.join(COLUMNS)}. For a list of your own use --data csv"
        )
    rows = []
    with csv_errors(path):
        for row in reader:
            times = (row["time_start"] or "", row["time_end"] or "")
            whole = all(time.strip().isdecimal() for time in times)
            given = whole and row["label"] and row["youtube_id"] and row["split"]
            if not given or None in row or "\n" in "".join(filter(None, row.values())):
                raise ValueError(
                    f"{path}, line {reader.line_num}: got {_text(row)}; each row must have "
                    f"{', '.join(COLUMNS)}, the times in whole seconds, and a label with a comma "
                    "in quotes"
                )
            rows.append({name: row[name].strip() for name in COLUMNS})
    return rows


def _text(row: dict) -> str:
    return str([*row.values()])[:300]


def _entry(row: dict[str, str], label_of: dict[str, int]) -> Entry:
    name = f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}.mp4"
    path = f"{row['label']}/{name}"
    return Entry(path, label_of[row["label"]], also=(f"{row['youtube_id']}.mp4",))
