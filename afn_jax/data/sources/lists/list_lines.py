"""Lines of lists in the UCF101 format and its relatives: a path, and numbers or a class after it.

A path and what follows it may be separated by blanks (also no-break spaces), tabs, commas,
semicolons or |, and after the extension of a video by a colon. The path may be in quotes. A blank
can also be part of a path: `Jump rope/clip 1.avi 2`. A comment may follow: `clip.avi 2 # first`.

TSN's and MMAction's lists have the number of frames between the path and the class, which they
count from 0.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from afn_jax.data.sources.kinds import AMBIGUOUS, EXTENSIONS
from afn_jax.data.sources.lists.paths import clean_path, folder_label, label_table
from afn_jax.data.sources.lists.text import read_lines
from afn_jax.data.sources.lists.video_list import spelled

_QUOTED = re.compile(r"""(["'])(?P<path>.+?)\1(?P<rest>[\s,;|:].*)?""")
_VIDEO = "|".join(map(re.escape, (*EXTENSIONS, *AMBIGUOUS)))
_WITH_EXTENSION = re.compile(rf"(?P<path>.*(?:{_VIDEO}))(?P<rest>[\s,;|:].*)?", re.IGNORECASE)
_SEPARATED = re.compile(r"(?P<path>.+?)(?P<rest>(?:\s*[,;\t|]\s*\d+)+)")
_COMMENT = re.compile(r"\s#(\s.*)?")
_BLANKS = re.compile(r"(?P<path>.+?)(?P<rest>(?:\s+\d+)+)")


@dataclasses.dataclass(frozen=True, slots=True)
class ListLine:
    """One line.

    Attributes:
        where: the file and the line, for messages.
        path: with `/`.
        numbers: the numbers after it.
        words: other text after it.
        longer: the path if all numbers but the last one belong to it; empty if they cannot.
    """

    where: str
    path: str
    numbers: tuple[int, ...] = ()
    words: str = ""
    longer: str = ""


def read_list_lines(path: str | Path, class_names: Sequence[str]) -> list[ListLine]:
    """Reads the lines of a list, without comments, which start with #."""
    lines = [(number, text) for number, text in read_lines(path)]
    classes = {spelled(name) for name in class_names}
    return [
        split_line(text, f"{path}, line {number}")
        for number, text in lines
        if not text.startswith("#") or spelled(text.partition("/")[0]) in classes
    ]


def split_line(text: str, where: str = "") -> ListLine:
    """Divides a line into the path and what follows it."""
    match = _QUOTED.fullmatch(text) or _WITH_EXTENSION.fullmatch(text)
    longer = ""
    if match is None:
        cut = _COMMENT.split(text)[0]
        match = _SEPARATED.fullmatch(text) or _SEPARATED.fullmatch(cut)
        if not match and not _BLANKS.fullmatch(text) and _BLANKS.fullmatch(cut):
            text = cut
        if match is None and (match := _BLANKS.fullmatch(text)):
            longer = clean_path(text.rpartition(match["rest"].split()[-1])[0])
    if match is None:
        return ListLine(where, clean_path(text.strip("\"'")))
    path, rest = clean_path(match["path"]), _COMMENT.split(match["rest"] or "")[0]
    fields = [field for field in re.split(r"[\s,;|:]+", rest) if field]
    if not all(field.isdecimal() and len(field) < 10 for field in fields):
        return ListLine(where, path, words=rest.strip().strip(" \t,;|:").strip("\"'"))
    return ListLine(where, path, tuple(map(int, fields)), longer=longer if fields[1:] else "")


def with_one_number(
    path: str | Path,
    lines: Sequence[ListLine],
    class_names: Sequence[str],
    is_there: Callable[[str], bool] = lambda name: False,
) -> list[ListLine]:
    """Returns the lines with the class number, counted from 1, as their only number.

    Args:
        path: the file, for messages.
        lines: its lines.
        class_names: indexed by 0-based label.
        is_there: whether a path is a video on disk; asked if blanks leave a doubt.

    Raises:
        ValueError: it is unclear which number is the class, or where the path ends.
    """
    table = label_table(class_names)
    lines = [_class_by_name(line, table, len(class_names)) for line in lines]
    doubtful = [line for line in lines if line.longer]
    if doubtful and not _has_columns(path, lines, doubtful, is_there):
        lines = [
            dataclasses.replace(line, path=line.longer, numbers=line.numbers[-1:])
            if line.longer
            else line
            for line in lines
        ]
    counts = {len(line.numbers) for line in lines}
    if not counts - {0, 1}:
        return lines
    if counts != {2}:
        odd = next(line for line in lines if len(line.numbers) not in (0, 1))
        other = next((line for line in lines if len(line.numbers) < 2), odd)
        raise ValueError(
            f"{odd.where}: {len(odd.numbers)} numbers after the path {odd.path!r}, but "
            f"{len(other.numbers)} in {other.where}; each line must be a path and a class number, "
            "or a path, a number of frames and a class number"
        )
    column, base = _class_column(path, lines, class_names, table)
    return [dataclasses.replace(line, numbers=(line.numbers[column] + 1 - base,)) for line in lines]


def _class_by_name(line: ListLine, table: dict[str, int], count: int) -> ListLine:
    if not line.words:
        return line
    label = table.get(line.words, table.get(spelled(line.words)))
    if label is None:
        raise ValueError(
            f"{line.where}: after the path {line.path!r} follows {line.words!r}, which is neither "
            f"a number nor one of the {count} classes; separate the path and the class number by "
            "a blank, tab, comma, semicolon or |, and put quotes around a path that contains an "
            "extension and a blank"
        )
    return dataclasses.replace(line, numbers=(label + 1,), words="")


def _has_columns(path, lines, doubtful: Sequence[ListLine], is_there) -> bool:
    """Whether numbers that blanks separate are columns, not the end of the path."""
    short = any(is_there(line.path) for line in doubtful)
    long = any(is_there(line.longer) for line in doubtful)
    if short != long:
        return short
    if not short and len(doubtful) < len(lines):
        return False  # lines without a second number: the others have blanks in their paths
    line = doubtful[0]
    raise ValueError(
        f"{line.where}: it is unclear whether the path is {line.path!r} or {line.longer!r}; "
        f"{'both are' if short else 'neither is'} there. Put quotes around paths in {path}"
    )


def _class_column(path, lines, class_names, table: dict[str, int]) -> tuple[int, int]:
    """Returns which of two numbers is the class, and the number of the first class."""
    labels = [folder_label(line.path, table) for line in lines]
    possible = [
        (column, base)
        for column in (0, 1)
        for base in (0, 1)
        if all(
            0 <= line.numbers[column] - base < len(class_names)
            and label in (None, line.numbers[column] - base)
            for line, label in zip(lines, labels, strict=True)
        )
    ]
    if len(possible) == 1:
        return possible[0]
    what = "may be the class" if possible else f"is a class from 0 to {len(class_names)}"
    raise ValueError(
        f"{path}: two numbers follow each path, {lines[0].numbers[0]} and {lines[0].numbers[1]} "
        f"in the first line, and {'more than one' if possible else 'neither'} {what} for all "
        "lines (counted from 0 or from 1). Keep a path and a class number per line, the first "
        "class being 1"
    )
