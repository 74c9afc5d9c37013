"""Writes results as one self-contained HTML page in the style of `report.css`."""

import html
import os
from collections.abc import Sequence
from pathlib import Path

from afn_jax.atomic import write_atomically

CSS = Path(__file__).with_name("report.css")


def write_page(
    path: str | os.PathLike, title: str, sections: Sequence[str], *, footer: str = ""
) -> None:
    """Writes the page; an older one at `path` stays until the new one is complete.

    Args:
        path: the HTML file; its folder is created.
        title: heading, plain text.
        sections: HTML; empty ones are left out.
        footer: HTML of the last paragraph.
    """
    title = html.escape(title)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{CSS.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<h1>{title}</h1>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n<footer>"
        + (f"<p>{footer}</p>" if footer else "")
        + "<p>Written by afn_jax. This file is self-contained: it has no scripts and loads nothing."
        "</p></footer>\n</body>\n</html>\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
