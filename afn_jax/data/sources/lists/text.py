"""Text and JSON files, read with error messages that name the file."""

import codecs
import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def read_text(path: str | Path) -> str:
    """Returns the text of a UTF-8 file without its byte order mark, lines ending in "\\n".

    Raises:
        ValueError: the file is not UTF-8; the message names UTF-16.
    """
    data = Path(path).read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:4]:
        raise ValueError(
            f"{path}: the text is UTF-16, as Windows' PowerShell and Excel write it; save the file "
            "as UTF-8 text"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path}: has null bytes, so it is not a text file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Returns (1-based line number, stripped text) of each line that is not blank.

    Raises:
        ValueError: the file is not UTF-8.
    """
    lines = [
        (number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1)
    ]
    return [(number, line) for number, line in lines if line]


@contextmanager
def csv_errors(path: str | Path) -> Iterator[None]:
    """Converts errors of the module `csv` to ValueError."""
    try:
        yield
    except csv.Error as error:
        raise ValueError(f"{path}: not CSV ({error}); is a quote left open?") from None


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file. Raises ValueError if it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); is the download complete?") from None
