"""Text and JSON files, read with error messages that name the file."""

import json
from pathlib import Path
from typing import Any


def read_text(path: str | Path) -> str:
    """Returns the text of a UTF-8 file without its byte order mark.

    Raises:
        ValueError: the file is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text"
        ) from None


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Returns (1-based line number, stripped text) of each line that is not blank.

    Raises:
        ValueError: the file is not UTF-8.
    """
    lines = [
        (number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1)
    ]
    return [(number, line) for number, line in lines if line]


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file. Raises ValueError if it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); is the download complete?") from None
