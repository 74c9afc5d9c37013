"""The report of a flow evaluation: numbers, and pictures of the worst and the best pairs.

It is one self-contained HTML file without scripts, like that of `eval.report`.
"""

import dataclasses
import html
import os
from collections.abc import Sequence

import numpy as np

from afn_jax.viz import error_pictures, fit, flow_legend, flow_pictures, flow_scale, png_data_uri
from afn_jax.viz.clip_figure import HATCH_DARK, HATCH_LIGHT, HEAT
from afn_jax.viz.page import write_page

SHOWN = 30  # rows of the tables of pairs and of skipped files
MAX_HEIGHT = 220  # of a picture, in px
GROUPS = {
    "visible": "visible in the next frame",
    "occluded": "occluded in the next frame",
    "s0_10": "0 to 10 px per frame",
    "s10_40": "10 to 40 px per frame",
    "s40": "40 px per frame and more",
}
LABELS = {
    "epe": "endpoint error",
    "fl_all": "Fl: error above 3 px and 5 %",
    "px1": "error above 1 px",
    "px3": "error above 3 px",
    "px5": "error above 5 px",
    "epe_per_pair": "endpoint error, mean over pairs",
    "zero_flow_epe": "endpoint error of zero flow",
    "share": "share of pixels",
}
COLUMNS = ("share", "epe", "fl_all", "px1", "px3", "px5")
STYLE = (
    ".pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); "
    "gap: 0.6rem; } .pictures figure { margin: 0; }\n"
    ".pictures img { display: block; width: 100%; height: auto; border-radius: 3px; }\n"
    ".pictures figcaption { font-size: 0.8rem; color: var(--faint); }\n"
    ".numbers td, .numbers th { padding: 0.25rem 1.2rem 0.25rem 0; text-align: right; "
    "border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }\n"
    ".numbers td:first-child, .numbers th:first-child { text-align: left; }\n"
)


@dataclasses.dataclass(frozen=True)
class FlowExample:
    """A pair to show.

    Attributes:
        name: name of the pair.
        frames: `[2, H, W, 3]` uint8 RGB.
        flow: predicted flow, `[H, W, 2]`, (x, y) in pixels.
        target: true flow, likewise.
        known: `[H, W]` bool, True where the target counts.
        epe: mean endpoint error in px.
        fl_all: share of outliers.
    """

    name: str
    frames: np.ndarray
    flow: np.ndarray
    target: np.ndarray
    known: np.ndarray
    epe: float
    fl_all: float


def write_flow_report(
    path: str | os.PathLike,
    *,
    title: str,
    summary: dict[str, float],
    groups: dict[str, dict[str, float]],
    pairs: Sequence[tuple[str, float, float]],
    worst: Sequence[FlowExample],
    best: Sequence[FlowExample],
    skipped: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    command: str = "",
) -> None:
    """Writes the report; an older one at `path` stays until the new one is complete.

    Args:
        path: the HTML file.
        title: heading of the page.
        summary: the numbers at the top, with the names of `LABELS`.
        groups: numbers of groups of pixels, with the names of `GROUPS`.
        pairs: (name, endpoint error, Fl) of each pair, worst first.
        worst: pairs to show, worst first.
        best: pairs to show, best first.
        skipped: (file, reason) of each skipped file.
        notes: sentences below the numbers.
        command: the command that reproduces the result.
    """
    sections = [
        f"<style>\n{STYLE}</style>",
        _summary(summary, notes, command),
        _groups(groups),
        _examples("Worst pairs", worst, legend=True),
        _examples("Best pairs", best, legend=not worst),
        _pairs(pairs),
        _skipped(skipped),
    ]
    write_page(
        path,
        title,
        sections,
        footer="The endpoint error is the mean distance in pixels between predicted and true flow, "
        "over all pixels whose true flow is known. Fl is the share of pixels with an error of more "
        "than 3 px and more than 5 % of the true length.",
    )


def _summary(summary: dict[str, float], notes: Sequence[str], command: str) -> str:
    tiles = "".join(
        f'<div class="tile"><dt>{html.escape(LABELS[name])}</dt><dd>{_text(name, value)}</dd></div>'
        for name, value in summary.items()
    )
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return (
        f'<section><dl class="tiles">{tiles}</dl><pre><code>{html.escape(command)}</code></pre>'
        f'<ul class="notes">{items}</ul></section>\n'
    )


def _groups(groups: dict[str, dict[str, float]]) -> str:
    rows = [
        [html.escape(GROUPS[name]), *(_text(column, values[column]) for column in COLUMNS)]
        for name, values in groups.items()
    ]
    heads = ["pixels", *(html.escape(LABELS[column]) for column in COLUMNS)]
    return f"<section><h2>Errors by occlusion and speed</h2>{_table(heads, rows)}</section>\n"


def _pairs(pairs: Sequence[tuple[str, float, float]]) -> str:
    rows = [
        [html.escape(name), _text("epe", epe), _text("fl_all", outliers)]
        for name, epe, outliers in pairs[:SHOWN]
    ]
    table = _table(["pair", LABELS["epe"], LABELS["fl_all"]], rows)
    return f"<section><h2>All pairs, worst first</h2>{table}{_more(pairs)}</section>\n"


def _skipped(skipped: Sequence[tuple[str, str]]) -> str:
    if not skipped:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(str(file))}</td><td>{html.escape(str(reason))}</td></tr>"
        for file, reason in skipped[:SHOWN]
    )
    return (
        f'<section><h2>Skipped ({len(skipped)})</h2><table class="files"><tbody>{rows}</tbody>'
        f"</table>{_more(skipped)}</section>\n"
    )


def _more(items: Sequence) -> str:
    more = len(items) - SHOWN
    return f'<p class="faint">… and {more} more, in flow.json.</p>' if more > 0 else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(name: str, value: float) -> str:
    if not np.isfinite(value):
        return "not finite"
    return f"{value:.3g} px" if "epe" in name else f"{100 * value:.1f} %"


def _examples(title: str, examples: Sequence[FlowExample], *, legend: bool) -> str:
    if not examples:
        return ""
    articles = "".join(_example(example) for example in examples)
    return f"<section><h2>{title}</h2>{_legend() if legend else ''}{articles}</section>\n"


def _example(example: FlowExample) -> str:
    size = {"min_height": 96, "max_height": MAX_HEIGHT}
    flow, target, known = example.flow[None], example.target[None], example.known[None]
    scale = flow_scale(flow, target, known)
    first, second = fit(example.frames, **size)
    full = f"full color: {scale:.3g} px"
    pictures = [
        ("first frame", first),
        ("second frame", second),
        (
            f"endpoint error, 0 to {scale:.3g} px",
            error_pictures(flow, target, max_error=scale, mask=known, **size)[0],
        ),
        (f"predicted flow, {full}", flow_pictures(flow, max_magnitude=scale, **size)[0]),
        (f"true flow, {full}", flow_pictures(target, max_magnitude=scale, mask=known, **size)[0]),
    ]
    figures = "".join(
        f'<figure><img src="{png_data_uri(picture)}" width="{picture.shape[1]}" '
        f'height="{picture.shape[0]}" alt="{caption} of {html.escape(example.name)}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for caption, picture in pictures
    )
    return (
        f'<article class="clip"><header><h3>{html.escape(example.name)}</h3><span>endpoint error '
        f"<strong>{_text('epe', example.epe)}</strong></span><span>Fl "
        f"{_text('fl_all', example.fl_all)}</span></header>"
        f'<div class="pictures">{figures}</div></article>\n'
    )


def _legend() -> str:
    ramp = ", ".join(f"rgb({red},{green},{blue})" for red, green, blue in HEAT)
    dark, light = (f"rgb({gray},{gray},{gray})" for gray in (HATCH_DARK, HATCH_LIGHT))
    stripes = f"repeating-linear-gradient(135deg,{light} 0 2px,{dark} 2px 6px)"
    return (
        f'<div class="legend">{flow_legend()}<ul><li>Hue: direction; saturation: speed. '
        "Predicted and true flow of a pair have the same scale: the fastest true motion has full "
        "color.</li>"
        f'<li><span class="key" style="background:linear-gradient(90deg,{ramp})"></span> Endpoint '
        "error from 0 px (dark) to the length of the fastest true motion (light).</li>"
        f'<li><span class="key" style="background:{stripes}"></span> Unknown or '
        "non-finite flow.</li></ul></div>"
    )
