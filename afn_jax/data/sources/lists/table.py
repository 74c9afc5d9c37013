"""Tables in text files: the separator that fits, quotes, comments."""

import csv
import io
import re
from pathlib import Path

from afn_jax.data.sources.lists.text import csv_errors, read_text

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "|"}
_EXCEL = re.compile(r'"?sep=(?P<separator>[^\n])"?[,;\t|]*\n')  # the first line, for Excel
_JSON = re.compile(r'\s*(\[\s*[\[{"]|\{\s*")')
_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")
_Lines = list[tuple[str, list[str]]]


def read_table(path: Path) -> tuple[_Lines, str]:
    """Reads a table.

    The separator is the one that divides all lines into equally many columns; if there are several
    or none, the most frequent one in the first line. A first line `sep=;` decides. Blank lines and
    comments are left out: lines that start with "# ", or with "#" and have another number of
    columns. `\\udce9` is the byte E9 of a file name that is not UTF-8, as `write_atomically` writes
    it.

    Returns:
        (file and line for messages, columns) of each line, and the separator.

    Raises:
        ValueError: a quote is not closed, or the file is JSON or not UTF-8.
    """
    text = read_text(path)
    if _JSON.match(text):
        raise ValueError(
            f"{path}: it is JSON, not CSV; give a table with a row path,label per video"
        )
    given = _EXCEL.match(text)
    if given:
        text = "\n" + text[given.end() :]  # keeps the numbers of the lines
        if given["separator"] not in SEPARATORS:
            raise ValueError(
                f"{path}, line 1: the separator is {given['separator']!r}; allowed: "
                f"{', '.join(map(repr, SEPARATORS))}"
            )
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("# ")]
    first = lines[0] if lines else ""
    by_count = sorted(SEPARATORS, key=first.count, reverse=True)
    found = {separator: _divided(path, text, separator) for separator in by_count}
    even = [
        separator
        for separator, rows in found.items()
        if len({len(values) for _, values in rows}) == 1 and len(rows[0][1]) > 1
    ]
    separator = given["separator"] if given else (even or by_count)[0]
    for where, values in found[separator]:
        if any("\n" in value for value in values):
            raise ValueError(
                f"{where}: a quote in {values[0].partition(chr(10))[0]!r} is not closed on its line"
            )
    return found[separator], separator


def _divided(path: Path, text: str, separator: str) -> _Lines:
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    rows = []
    with csv_errors(path):
        for values in reader:
            values = [_with_bytes(_unquoted(value.strip())) for value in values]
            if any(values):
                rows.append((f"{path}, line {reader.line_num}", values))
    usual = len(next((values for _, values in rows if not values[0].startswith("#")), ()))
    return [
        (where, values)
        for where, values in rows
        if not values[0].startswith("#")
        or (len(values) == usual and not values[0].startswith("# "))
    ]


def _with_bytes(value: str) -> str:
    """Replaces escaped bytes by what Python has for them in file names."""
    return _BYTE.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), value)


def _unquoted(value: str) -> str:
    """Removes single quotes around a value, which the csv module keeps."""
    return value[1:-1].strip() if len(value) > 2 and value[0] == value[-1] == "'" else value
