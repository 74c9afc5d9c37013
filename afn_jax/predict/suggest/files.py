"""Writes suggestions: `suggest.csv` to fill in, and `suggest.html` to look at while doing so."""

import base64
import csv
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from afn_jax.atomic import write_atomically
from afn_jax.viz.page import write_page

if TYPE_CHECKING:
    from afn_jax.predict.suggest.suggestions import Suggestion

CSV_NAME, PAGE_NAME = "suggest.csv", "suggest.html"
COLUMNS = ("path", "label", "start", "end", "guess", "probability")
_CSS = """
ol { list-style: none; padding: 0; margin: 1.5rem 0 0; }
li { padding: 1rem 0; break-inside: avoid; border-top: 1px solid var(--line); }
.pictures { display: flex; flex-wrap: wrap; gap: 4px; margin: .4rem 0; }
.pictures img { min-width: 0; flex: 0 1 auto; height: 120px; max-width: 32%; object-fit: contain;
  border-radius: 3px; }
.path { overflow-wrap: anywhere; font-weight: 600; }
.faint { color: var(--faint); }
"""


def write_suggestions(
    csv_path: Path, page: Path, suggestions: Sequence["Suggestion"], class_names: Sequence[str]
) -> None:
    """Writes both files.

    Raises:
        OSError: the folder is missing, or the disk is full.
    """
    write_atomically(csv_path, _csv(suggestions, class_names))
    _write_page(page, suggestions, class_names, csv_path.name)


def _csv(suggestions: Sequence["Suggestion"], class_names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in suggestions:
        best = int(np.argmax(item.probabilities))
        times = ("", "") if item.start is None else (f"{item.start:.3f}", f"{item.end:.3f}")
        guess = (class_names[best], f"{item.probabilities[best]:.3f}")
        # Absolute, because the root that the list is read with may be another folder.
        writer.writerow((os.path.abspath(item.path), "", *times, *guess))
    return text.getvalue()


def _write_page(
    path: Path, suggestions: Sequence["Suggestion"], class_names: Sequence[str], csv_name: str
) -> None:
    rows = "\n".join(
        _row(number, item, class_names) for number, item in enumerate(suggestions, start=1)
    )
    what = "window" if not suggestions or suggestions[0].start is not None else "video"
    title = f"{len(suggestions)} {what}{'s' * (len(suggestions) != 1)} to label next"
    text = (
        f"<p>The network is uncertain of these. Write the label of each {what} into the column "
        f"<code>label</code> of <code>{html.escape(csv_name)}</code>, which has the same order. "
        f"Rows without a label are not used.</p>\n<ol>\n{rows}\n</ol>"
    )
    write_page(path, title, [text], css=_CSS)


def _row(number: int, item: "Suggestion", class_names: Sequence[str]) -> str:
    when = "whole video" if item.start is None else f"{item.start:.2f} to {item.end:.2f} s"
    order = np.argsort(-item.probabilities, kind="stable")[:3]
    guesses = ", ".join(
        f"{html.escape(class_names[i])} {100 * item.probabilities[i]:.0f} %" for i in order
    )
    pictures = "".join(f'<img alt="" src="{_jpeg(picture)}">' for picture in item.pictures)
    return (
        f'<li><span class="path">{number}. {html.escape(item.path)}</span>, {when}\n'
        f'<div class="pictures">{pictures}</div>\n'
        f'<span class="faint">The network says: {guesses}</span></li>'
    )


def _jpeg(picture: np.ndarray) -> str:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
