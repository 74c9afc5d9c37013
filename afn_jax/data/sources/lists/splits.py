"""Which videos train and which test: list files in the UCF101 format, or a split made from names.

`classInd.txt` has lines `1 ClassName`, `trainlist01.txt` lines `ClassName/video.avi 1` and
`testlist01.txt` lines `ClassName/video.avi`. Numbers of classes are 1-based in the files and
0-based in everything returned here.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

SPLITS = ("train", "test")

# v_Archery_g07_c01.avi: videos of one group share the actor or the background.
_UCF_NAME = re.compile(r"v_.+_(g\d+)_c\d+", re.IGNORECASE)


def check_split(split: str) -> None:
    """Raises ValueError if `split` is not one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; allowed are 'train' and 'test'")


def find_lists(root: str | Path) -> Path | None:
    """Finds the folder with the list files that belong to a folder of videos.

    Returns:
        The first of `root` and its parent, each with its sub-folders `lists` and
        `ucfTrainTestlist`, that holds a `trainlistNN.txt` or `testlistNN.txt`; or None.
    """
    root = Path(root)
    for base in (root, root.resolve().parent):
        for folder in (base, base / "lists", base / "ucfTrainTestlist"):
            if any(folder.glob("trainlist[0-9][0-9].txt")):
                return folder
            if any(folder.glob("testlist[0-9][0-9].txt")):
                return folder
    return None


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Reads `classInd.txt`.

    Returns:
        The class names, by 0-based label.

    Raises:
        ValueError: a line is not "number name", or the numbers are not 1, 2, ... each once.
    """
    names = {}
    for number, line in read_lines(path):
        label, _, name = line.partition(" ")
        if not label.isdecimal() or not name.strip():
            raise ValueError(
                f"{path}, line {number}: got {line!r}; a line must be a class number and a name, "
                "such as '1 ApplyEyeMakeup'"
            )
        if int(label) in names:
            raise ValueError(
                f"{path}, line {number}: class {label} is there twice; number each once"
            )
        names[int(label)] = name.strip()
    if sorted(names) != list(range(1, len(names) + 1)):
        raise ValueError(
            f"{path}: class numbers are {sorted(names)}; they must be 1, 2, ... without a gap"
        )
    return tuple(names[label] for label in sorted(names))


def read_list(path: str | Path, class_names: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Reads a `trainlistNN.txt` or `testlistNN.txt`.

    A line without a number takes its label from the first folder of the path.

    Returns:
        (path relative to the folder of videos, 0-based label) for each line.

    Raises:
        ValueError: a line names an unknown class, or a number that is not that of its folder.
    """
    label_of = {name: label for label, name in enumerate(class_names)}
    entries = []
    for number, line in read_lines(path):
        name, _, last = line.rpartition(" ")
        numbered = bool(name) and last.isdecimal()
        name = (name if numbered else line).strip().replace("\\", "/")
        label = label_of.get(PurePosixPath(name).parts[0])
        if numbered:
            given = int(last) - 1
            if not 0 <= given < len(class_names):
                raise ValueError(
                    f"{path}, line {number}: class number {last}; allowed are 1 to "
                    f"{len(class_names)}, as in classInd.txt"
                )
            if label is not None and label != given:
                raise ValueError(
                    f"{path}, line {number}: class number {last} is {class_names[given]!r}, but "
                    f"the video is in the folder of {class_names[label]!r}; correct the list or "
                    "classInd.txt"
                )
            label = given
        if label is None:
            raise ValueError(
                f"{path}, line {number}: {line!r} has no class number and its folder is none of "
                f"the {len(class_names)} classes; write 'Class/video.avi' or 'video.avi NUMBER'"
            )
        entries.append((name, label))
    return tuple(entries)


def split_by_name(
    paths: Sequence[str], *, split: str, test_fraction: float = 0.2
) -> tuple[str, ...]:
    """Splits the videos of one class, the same way on every machine.

    Groups are ranked by a hash of their name and the first `test_fraction` of them tests. UCF-style
    names (`v_Class_g07_c01.avi`) form groups that stay whole, and a group of the same number ranks
    the same in every class; any other video is a group of its own. Where there is but one group it
    is split by video, so that a class of two or more videos is on both sides. A lone video trains.

    Args:
        paths: relative to the folder of videos, with `/`.
        split: "train" or "test".
        test_fraction: of the groups, in (0, 1).

    Returns:
        The paths of that split, sorted.
    """
    check_split(split)
    if not 0 < test_fraction < 1:
        raise ValueError(
            f"test_fraction: got {test_fraction}; give a fraction between 0 and 1, such as 0.2"
        )
    group_of = {path: _group(path) for path in paths}
    if len(set(group_of.values())) == 1:
        group_of = {path: path for path in paths}
    groups = sorted(set(group_of.values()), key=lambda group: (_stable_hash(group), group))
    num_test = min(max(1, round(test_fraction * len(groups))), len(groups) - 1)
    test = set(groups[:num_test])
    return tuple(sorted(p for p, group in group_of.items() if (group in test) == (split == "test")))


def _group(path: str) -> str:
    match = _UCF_NAME.match(PurePosixPath(path).name)
    return match[1].lower() if match else path


def _stable_hash(text: str) -> str:
    # Python's own hash() of a string differs from run to run.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """(1-based line number, stripped text) of the lines that are not blank.

    Raises:
        ValueError: the file is not UTF-8.
    """
    lines = [
        (number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1)
    ]
    return [(number, line) for number, line in lines if line]


def read_text(path: str | Path) -> str:
    """The text of a list file, whatever its line ends, without a byte order mark.

    Raises:
        ValueError: the file is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text"
        ) from None
