"""UCF101 (Soomro et al. 2012), and other datasets whose lists have its format.

`classInd.txt` has lines `1 ClassName`, `trainlist01.txt` lines `ClassName/video.avi 1` and
`testlist01.txt` lines `ClassName/video.avi`. Class numbers are 1-based in the files and 0-based in
everything that the functions here return.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from afn_jax.data.sources.catalog import Catalog, by_class
from afn_jax.data.sources.kinds import stem_of
from afn_jax.data.sources.lists.list_lines import read_list_lines, with_one_number
from afn_jax.data.sources.lists.paths import below_root, folder_label, label_table
from afn_jax.data.sources.lists.text import read_lines
from afn_jax.data.sources.lists.video_list import Entry, VideoList

NUM_CLASSES = 101
CLASS_FILE = "classInd.txt"
_CLASS = re.compile(r"""(?P<label>\d{1,9})\s*[\s,;|:]\s*(?P<quote>["']?)(?P<name>\S.*)(?P=quote)""")


def read_ucf101(root: Path, split: str, annotations: Path | None, list_number: int) -> VideoList:
    """Reads one of the three official splits of the 101 classes.

    Args:
        root: the folder of the 101 class folders, or of the videos themselves.
        split: "train" or "test".
        annotations: the folder `ucfTrainTestlist`; None: searched for in and beside `root`.
        list_number: 1, 2 or 3.

    Raises:
        ValueError: the lists are missing or belong to another dataset.
    """
    lists = find_lists(root) if annotations is None else annotations
    if lists is None:
        raise ValueError(
            f"data.annotations: no trainlist01.txt and testlist01.txt in or beside {str(root)!r}; "
            "unpack UCF101TrainTestSplits-RecognitionTask.zip there, or give its folder "
            "ucfTrainTestlist with --data.annotations"
        )
    videos = read_ucf_lists(Catalog(root), lists, split, list_number, anywhere=True)
    if len(videos.class_names) != NUM_CLASSES:
        raise ValueError(
            f"data.annotations: {str(lists)!r} has {len(videos.class_names)} classes, but UCF101 "
            f"has {NUM_CLASSES}; for other data with such lists use --data video-folder"
        )
    return videos


def has_ucf101_lists(root: Path, annotations: Path | None) -> bool:
    """Returns whether the given lists, or those of `root`, have a class file of 101 classes."""
    lists = annotations or find_lists(root)
    if lists is None or not (lists / CLASS_FILE).is_file():
        return False
    try:
        return len(read_class_names(lists / CLASS_FILE)) == NUM_CLASSES
    except (ValueError, OSError):
        return False


def find_lists(root: str | Path) -> Path | None:
    """Finds the folder of the list files that belong to a folder of videos.

    Returns:
        The first folder that holds a `trainlistNN.txt` or `testlistNN.txt` among `root` and its
        parent, each with its subfolders `lists` and `ucfTrainTestlist`; or None.
    """
    root = Path(root)
    for base in (root, root.resolve().parent):
        for folder in (base, base / "lists", base / "ucfTrainTestlist"):
            if any(folder.glob("trainlist[0-9][0-9].txt")):
                return folder
            if any(folder.glob("testlist[0-9][0-9].txt")):
                return folder
    return None


def list_path(lists: Path, split: str, list_number: int) -> Path:
    """Returns the path of a list file, such as `trainlist01.txt`."""
    return lists / f"{split}list{list_number:02d}.txt"


def read_ucf_lists(
    catalog: Catalog, lists: Path, split: str, list_number: int, *, anywhere: bool = False
) -> VideoList:
    """Reads one split of lists in the UCF101 format.

    Without a `classInd.txt`, the class folders of the catalog, sorted, are the classes.

    Args:
        catalog: the folder of videos.
        lists: the folder of the list files.
        split: "train" or "test".
        list_number: the NN of `trainlistNN.txt`.
        anywhere: as in `VideoList`.

    Raises:
        ValueError: the list is missing or malformed, or has a video in two classes.
    """
    path = list_path(lists, split, list_number)
    if not lists.is_dir():
        what = "give the folder of classInd.txt, trainlist01.txt and testlist01.txt"
        if lists.is_file():
            csv = "; for a CSV list use --data csv" if lists.suffix.lower() == ".csv" else ""
            raise ValueError(
                f"data.annotations: {str(lists)!r} is a file; {what}: {str(lists.parent)!r}{csv}"
            )
        raise ValueError(f"data.annotations: there is no {str(lists)!r}; {what}")
    if not path.is_file():
        found = sorted(p.name for p in lists.glob("*list[0-9][0-9].txt"))
        if found:
            raise ValueError(
                f"data.list_number: got {list_number}, but {str(lists)!r} has no {path.name}, only "
                f"{', '.join(found)}; give the number of one of them"
            )
        raise ValueError(
            f"data.annotations: {str(lists)!r} holds neither {path.name} nor any other such list; "
            "give the folder of classInd.txt, trainlist01.txt and testlist01.txt"
        )
    if (lists / CLASS_FILE).is_file():
        class_names = read_class_names(lists / CLASS_FILE)
    else:
        class_names = tuple(by_class(catalog.videos or catalog.frame_folders))

    @functools.cache
    def names() -> set[str]:
        return {*map(stem_of, catalog.videos), *catalog.frame_folders}

    def is_there(name: str) -> bool:
        return os.path.exists(catalog.root / name) or stem_of(name) in names()

    listed = read_list(path, class_names, is_there)
    paths = below_root(catalog.root, [name for name, _ in listed], class_names)
    labels = (label for _, label in listed)
    entries = list(dict.fromkeys(zip(paths, labels, strict=True)))
    twice = [name for name, count in Counter(name for name, _ in entries).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: {twice[0]!r} is listed with two classes; keep one")
    entries = tuple(Entry(name, label) for name, label in entries)
    return VideoList(class_names, entries, f"{split} videos of {path}", anywhere)


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Reads `classInd.txt`.

    Returns:
        The class names, indexed by 0-based label.

    Raises:
        ValueError: a line is not "number name", or the numbers are not 1, 2, ... once each.
    """
    names = {}
    for number, line in read_lines(path):
        if line.startswith("#"):
            continue
        match = _CLASS.fullmatch(line)
        if not match:
            raise ValueError(
                f"{path}, line {number}: got {line!r}; a line must be a class number and a name, "
                "such as '1 ApplyEyeMakeup'"
            )
        label, name = match["label"], match["name"]
        if int(label) in names:
            raise ValueError(
                f"{path}, line {number}: class number {label} occurs twice; use each number once"
            )
        names[int(label)] = name
    if not names:
        raise ValueError(f"{path}: it has no class; a line is a number and a name: '1 Archery'")
    if sorted(names) != list(range(1, len(names) + 1)):
        raise ValueError(
            f"{path}: class numbers are {sorted(names)}; they must be 1, 2, ... without a gap"
        )
    return tuple(names[label] for label in sorted(names))


def read_list(
    path: str | Path,
    class_names: Sequence[str],
    is_there: Callable[[str], bool] = lambda name: False,
) -> tuple[tuple[str, int], ...]:
    """Reads a `trainlistNN.txt` or `testlistNN.txt`; `list_lines.py` describes its lines.

    A line without a number takes its label from the class folder in its path.

    Args:
        path: the file.
        class_names: indexed by 0-based label.
        is_there: whether a path is a video on disk; asked if blanks leave a doubt.

    Returns:
        (path, 0-based label) for each line.

    Raises:
        ValueError: a line names an unknown class, or a number that contradicts its folder.
    """
    label_of = label_table(class_names)
    entries = []
    lines = with_one_number(path, read_list_lines(path, class_names), class_names, is_there)
    for line in lines:
        if not line.path:
            raise ValueError(
                f"{line.where}: no path; write 'Class/video.avi' or 'video.avi NUMBER'"
            )
        label = folder_label(line.path, label_of)
        if line.numbers:
            (given,) = line.numbers
            if not 1 <= given <= len(class_names):
                raise ValueError(
                    f"{line.where}: class number {given}; allowed: 1 to "
                    f"{len(class_names)}, as in {CLASS_FILE}"
                )
            if label is not None and label != given - 1:
                raise ValueError(
                    f"{line.where}: class number {given} is {class_names[given - 1]!r}, "
                    f"but the video is in the folder of {class_names[label]!r}; correct the list "
                    f"or {CLASS_FILE}"
                )
            label = given - 1
        if label is None:
            raise ValueError(
                f"{line.where}: {line.path!r} has no class number, and its folder is not one "
                f"of the {len(class_names)} classes; write 'Class/video.avi' or 'video.avi NUMBER'"
            )
        entries.append((line.path, label))
    return tuple(entries)


def read_list_by_folder(
    path: str | Path, class_names: Sequence[str]
) -> tuple[list[Entry], list[tuple[int, int]]]:
    """Reads a list file whose class numbers cannot be trusted, with labels from its folders.

    Returns:
        An entry per line, its label -1 if its folder is not a class; and the pairs
        (number in the file, 0-based label) of lines that have both.
    """
    label_of = label_table(class_names)
    entries, numbers = [], []
    for line in read_list_lines(path, class_names):
        label = folder_label(line.path, label_of)
        entries.append(Entry(line.path, -1 if label is None else label))
        if line.numbers and label is not None:
            numbers.append((line.numbers[-1], label))
    return entries, numbers
