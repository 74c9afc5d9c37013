"""Writes results as one self-contained HTML page in the style of `page.css`."""

import html
import os
from collections.abc import Sequence
from pathlib import Path

from afn_jax.atomic import write_atomically

CSS = Path(__file__).with_name("page.css")


SELF_CONTAINED = "This file is self-contained: it has no scripts and loads nothing."


def write_page(
    path: str | os.PathLike[str],
    title: str,
    sections: Sequence[str],
    *,
    footer: str = "",
    css: str = "",
    closing: str = SELF_CONTAINED,
) -> None:
    """Writes the page; an older one at `path` stays until the new one is complete.

    Args:
        path: the HTML file; its folder is created.
        title: heading, plain text.
        sections: HTML; empty ones are left out.
        footer: HTML of the last paragraph but one.
        css: rules after those of `page.css`.
        closing: HTML that follows "Written by afn_jax." in the last paragraph.
    """
    title = html.escape(title)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{CSS.read_text(encoding='utf-8')}{css}</style>\n</head>\n"
        f"<body>\n<h1>{title}</h1>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n<footer>"
        + (f"<p>{footer}</p>" if footer else "")
        + f"<p>Written by afn_jax. {closing}</p></footer>\n</body>\n</html>\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
