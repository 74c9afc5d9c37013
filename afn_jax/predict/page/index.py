"""The page over all videos of an output folder: `index.html`, which opens without a server."""

import base64
import html
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from afn_jax.data.source import Skipped
from afn_jax.predict.page.strip import Classes, exact_clock, strip_svg, ticks
from afn_jax.predict.result import VideoResult
from afn_jax.predict.segments import Segment
from afn_jax.viz.page import write_page

_CSS = Path(__file__).with_name("page.css")
_FEW = 3  # up to this many videos, there is no table of all
_OPEN = 12  # up to this many videos, the details of all are shown
_EMBEDDED = 60  # up to this many videos, all thumbnails are in the page
_MOST_SEGMENTS, _MOST_SKIPPED, _MOST_NAMED = 100, 1000, 60
_TOP = 5
_KINDS = {
    "film": "annotated video",
    "csv": "table (CSV)",
    "json": "JSON",
    "segments": "segments (CSV)",
    "flow": "flow",
    "features": "features",
}
_UNLISTED = ("thumbnails", "suggest")
_SECRET = re.compile(r"(?<=://)[^/\s@]+@")  # name and password in a URL


def write_index(
    path: str | os.PathLike[str],
    results: Sequence[VideoResult],
    skipped: Sequence[Skipped],
    class_names: Sequence[str],
    network: str,
    command: str,
) -> None:
    """Writes the page; an older one stays until the new one is complete.

    Links are relative, so that the folder can be moved. User names and passwords of URLs are
    left out.

    Args:
        path: of the page, in the output folder.
        results: one per video; each is used once.
        skipped: videos that could not be read.
        class_names: by label; () if nothing is classified.
        network: the network, in one line.
        command: what was called.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    classes = Classes(class_names)
    page = _Page(classes, len(results))
    for number, result in enumerate(results, start=1):
        page.add(result, number)
    count = len(results)
    title = f"Predictions for {count} video{'' if count == 1 else 's'}"
    sections = [
        page.summary(skipped, network, command),
        page.overview() if count > _FEW else "",
        "<section>\n<h2>Videos</h2>\n" + "\n".join(page.articles) + "</section>" if count else "",
        _skipped_section(skipped),
    ]
    closing = "It loads nothing but the videos and files beside it, and has no scripts."
    write_page(
        path,
        title,
        sections,
        footer="Upper row of a timeline: the most probable class. Lower rows: the segments. In a "
        "segment the probability reaches the threshold at least once and never falls below the low "
        "threshold. Its score is its mean probability, so it may be below the threshold. Times are "
        "minutes:seconds from the start of the video."
        if class_names
        else "",
        css=_CSS.read_text(encoding="utf-8"),
        closing=closing,
    )


class _Page:
    """Collects the parts of the page, one video at a time."""

    def __init__(self, classes: Classes, count: int):
        self.articles: list[str] = []
        self._rows: list[str] = []
        self._classes, self._count = classes, count
        self._shown: Counter[int] = Counter()  # seconds for which a class is the most probable
        self._duration, self._segments = 0.0, 0

    def add(self, result: VideoResult, number: int) -> None:
        classes = self._classes
        duration = result.duration if math.isfinite(result.duration) else 0.0
        self._duration += duration
        self._segments += len(result.segments)
        strip = np.asarray(result.strip, np.int64).reshape(-1)
        for label, bins in zip(*np.unique(strip[strip >= 0], return_counts=True), strict=True):
            self._shown[int(label)] += duration * int(bins) / len(strip)
        self.articles.append(self._article(result, number))
        if self._count > _FEW:
            top = classes.key(result.top[0][0]) if result.top else ""
            bar = strip_svg(strip, duration, classes, height=12) if strip.size else ""
            self._rows.append(
                f'<tr><td><a href="#video-{number}">{_text(result.name)}</a></td>'
                f'<td class="number duration">{exact_clock(result.duration)}</td>'
                f"<td>{top}</td><td>{bar}</td></tr>"
            )

    def summary(self, skipped: Sequence[Skipped], network: str, command: str) -> str:
        facts = [
            ("videos", f"{self._count:,}"),
            ("total duration", exact_clock(self._duration)),
            ("segments", f"{self._segments:,}"),
        ]
        if skipped:
            facts.append(("skipped files", f"{len(skipped):,}"))
        tiles = "".join(
            f'<div class="tile"><dt>{name}</dt><dd>{value}</dd></div>' for name, value in facts
        )
        total = sum(self._shown.values()) or 1.0
        named = self._shown.most_common(_MOST_NAMED)
        keys = "".join(
            f"<li>{self._classes.key(label)} "
            f'<span class="faint">{100 * seconds / total:.0f} %</span></li>'
            for label, seconds in named
        )
        if len(self._shown) > len(named):
            keys += f'<li class="faint">and {len(self._shown) - len(named)} more classes</li>'
        return (
            f'<section>\n<dl class="tiles">{tiles}</dl>\n<p>Network: {_text(network)}</p>\n'
            f"<pre>{_text(command)}</pre>\n"
            + (f'<ul class="keys">{keys}</ul>\n' if keys else "")
            + "</section>"
        )

    def overview(self) -> str:
        return (
            '<section>\n<h2>Overview</h2>\n<table class="overview">\n<thead><tr><th>video</th>'
            '<th class="duration">duration</th><th>most probable</th><th>over time</th></tr>'
            "</thead>\n<tbody>\n" + "\n".join(self._rows) + "\n</tbody></table></section>"
        )

    def _article(self, result: VideoResult, number: int) -> str:
        facts = [exact_clock(result.duration), f"{result.num_frames:,} frames"]
        if result.fps > 0 and math.isfinite(result.fps):
            facts.append(f"{result.fps:.4g} frames per second")
        head = (
            f"<h3>{_text(result.name)}</h3> "
            f'<span class="facts">{", ".join(facts)} · {_text(result.source)}</span>'
        )
        classes, film = self._classes, result.files.get("film", "")
        pictures = self._thumbnails(result)
        player = ""
        if film:
            poster = ""
            if result.thumbnails and self._count <= _EMBEDDED:
                middle = result.thumbnails[len(result.thumbnails) // 2]
                poster = f' poster="{_jpeg(middle)}"'
            player = (
                f'<video controls preload="none" src="{_link(film)}"{poster}>'
                f'<a href="{_link(film)}">{_text(film)}</a></video>'
            )
        columns = [column for column in (player, pictures + self._top(result)) if column]
        body = "".join(f"<div>{column}</div>" for column in columns)
        body = f'<div class="columns">{body}</div>' if columns else ""
        strip = np.asarray(result.strip).reshape(-1)
        if strip.size:
            svg = strip_svg(strip, result.duration, classes, result.segments)
            body += f'<div class="timeline">{svg}{ticks(result.duration)}</div>'
        body += _segments_table(result.segments, classes, film, result.files.get("segments", ""))
        links = "".join(
            f'<li><a href="{_link(file)}">{_KINDS.get(kind, _text(kind))}</a></li>'
            for kind, file in result.files.items()
            if file and kind not in _UNLISTED
        )
        body += f'<ul class="links">{links}</ul>' if links else ""
        body += "".join(f'<p class="faint">{_text(note)}</p>' for note in result.notes)
        if self._count > _OPEN:
            # A link to what is inside opens it.
            return (
                f'<details class="video"><summary>{head}</summary>\n'
                f'<div class="inside" id="video-{number}">{body}</div></details>'
            )
        return f'<article class="video" id="video-{number}">{head}\n{body}</article>'

    def _top(self, result: VideoResult) -> str:
        rows = []
        for label, probability in result.top[:_TOP]:
            if not math.isfinite(probability):
                continue
            width = 100 * min(1.0, max(0.0, probability))
            rows.append(
                f'<li><span class="name" title="{self._classes.name(label)}">'
                f'{self._classes.key(label)}</span><span class="bar"><span style="width:'
                f'{width:.1f}%;background:{self._classes.color(label)}"></span></span>'
                f"<span>{100 * probability:.1f} %</span></li>"
            )
        return f'<ul class="tops">{"".join(rows)}</ul>' if rows else ""

    def _thumbnails(self, result: VideoResult) -> str:
        sheet = result.files.get("thumbnails", "")
        if self._count > _EMBEDDED and sheet:
            images = f'<img loading="lazy" alt="" src="{_link(sheet)}">'
        else:
            shown = result.thumbnails[:6] if self._count <= _EMBEDDED else result.thumbnails[:1]
            images = "".join(
                f'<img alt="" width="{picture.shape[1]}" height="{picture.shape[0]}" '
                f'style="width:auto" src="{_jpeg(picture)}">'
                for picture in shown
            )
        return f'<div class="thumbnails">{images}</div>' if images else ""


def _segments_table(
    segments: Sequence[Segment], classes: Classes, film: str, all_segments: str
) -> str:
    if not segments:
        return ""
    rows = []
    for segment in segments[:_MOST_SEGMENTS]:
        start = exact_clock(segment.start)
        if film:  # players start there
            start = f'<a href="{_link(film)}#t={max(0.0, segment.start):.2f}">{start}</a>'
        rows.append(
            f'<tr><td class="number">{start}</td>'
            f'<td class="number">{exact_clock(segment.end)}</td>'
            f"<td>{classes.key(segment.label)}</td>"
            f'<td class="number">{100 * segment.score:.0f} %</td></tr>'
        )
    table = (
        '<table class="segments"><thead><tr><th>from</th><th>to</th><th>class</th>'
        f"<th>score</th></tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table>"
    )
    more = len(segments) - _MOST_SEGMENTS
    if more > 0:
        where = f' in <a href="{_link(all_segments)}">its table</a>' if all_segments else ""
        table += f'<p class="faint">{more:,} more segments{where}.</p>'
    count = f"{len(segments):,} segment{'' if len(segments) == 1 else 's'}"
    is_open = " open" if len(segments) <= 12 else ""
    return f'<details class="found"{is_open}><summary>{count}</summary>{table}</details>'


def _skipped_section(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    rows = "".join(
        f"<tr><td>{_text(item.path)}</td><td>{_text(item.reason)}</td></tr>\n"
        for item in skipped[:_MOST_SKIPPED]
    )
    more = len(skipped) - _MOST_SKIPPED
    rest = f'<p class="faint">and {more:,} more files.</p>' if more > 0 else ""
    return (
        '<section>\n<h2>Skipped files</h2>\n<div class="scroll"><table class="files">'
        f"<thead><tr><th>file</th><th>reason</th></tr></thead>\n<tbody>{rows}</tbody></table></div>"
        f"{rest}</section>"
    )


def _text(text: str) -> str:
    """Escapes text for HTML, without the passwords of URLs."""
    return html.escape(_SECRET.sub("", str(text)))


def _link(path: str) -> str:
    """Returns a relative link to a file of the output folder; any bytes are allowed in names."""
    name = Path(path).as_posix()
    return quote(os.fsencode(name), safe="/")


def _jpeg(picture: np.ndarray) -> str:
    picture = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")
