"""The page of `python -m eval segments`: numbers, and timelines of a few videos."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afn_jax.metrics.segments import frame_labels
from afn_jax.predict.page.strip import Classes, exact_clock, strip_svg
from afn_jax.predict.segments import Segment
from afn_jax.viz.page import write_page
from eval.timelines import Timelines

SHOWN = 8  # videos
BINS = 1000  # of a timeline
COLUMNS = {
    "f1_10": "F1 .1",
    "f1_25": "F1 .25",
    "f1_50": "F1 .5",
    "map_50": "mAP .5",
    "map_activitynet": "mAP mean",
    "frame_accuracy": "frames",
    "action_frame_accuracy": "action frames",
    "segments": "count",
}
EXPLANATION = (
    '<p class="faint">F1 .1: F1 score of segments at an intersection over union (IoU) of .1 or '
    "more. mAP: mean average precision; mAP mean: over IoU .5, .55, ..., .95. frames: share of "
    "frames with the right label, where no action is a label too; action frames: of those with an "
    "action.</p>"
)
STYLE = (
    ".numbers td, .numbers th { padding: .3rem 1.1rem .3rem 0; text-align: right; "
    "border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; "
    "white-space: nowrap; }\n"
    ".legend-line span.name { white-space: nowrap; margin-right: 1.2em; }\n"
    ".numbers td:first-child, .numbers th:first-child { text-align: left; }\n"
    ".lines { display: grid; grid-template-columns: max-content 1fr; gap: .3rem .8rem; "
    "align-items: center; margin: .4rem 0 1.6rem; font-size: .85rem; }\n"
    ".lines svg { width: 100%; display: block; background: var(--panel); border-radius: 3px; }\n"
    ".swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; "
    "margin-right: .35em; }\n"
    "@media (max-width: 560px) { .lines { grid-template-columns: 1fr; gap: .1rem; } }\n"
)


def write_segments_page(
    path: Path,
    values: dict[str, Any],
    videos: Sequence[tuple[Timelines, Sequence[Sequence[Segment]]]],
) -> None:
    """Writes the page.

    Args:
        path: the HTML file.
        values: contents of `segments.json`.
        videos: each with the segments that each method found in it.
    """
    classes = Classes(values["class_names"])
    count, own = values["num_videos"], values["videos"] != "embedded"
    videos_of = f" of {html.escape(values['videos'])}" if own else ""
    notes = (
        f"<p>{count} {'' if own else 'embedded '}video{'s' * (count != 1)}{videos_of}, "
        f"{exact_clock(values['seconds'])} in total; step "
        f"{values['step']}. Thresholds of predict, {html.escape(values['thresholds'])}: "
        f"<code>{option_line(values)}</code>.</p>"
    )
    legend = " ".join(
        f'<span class="name">{classes.key(label)}</span>'
        for label, name in enumerate(values["class_names"])
        if name != values["background"]
    )
    sections = [
        notes + _table(values["methods"]) + EXPLANATION,
        f'<h2>Over time</h2>\n<p class="legend-line">{legend}</p>',
        *(
            _video(video, found, list(values["methods"]), classes)
            for video, found in videos[:SHOWN]
        ),
        _listed("Skipped videos", values["skipped"]),
        _listed("Notes", values["notes"]),
    ]
    write_page(path, "Segments of untrimmed videos", sections, css=STYLE)


def option_line(values: dict[str, Any]) -> str:
    """Returns the thresholds as options of `afn-jax predict`."""
    return " ".join(f"--{name} {values[name]:g}" for name in ("threshold", "low", "least"))


def _table(methods: dict[str, dict[str, float]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in COLUMNS.values())
    rows = "\n".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(
            f"<td>{numbers[column]}</td>" if column == "segments" else f"<td>{numbers[column]:.3f}"
            for column in COLUMNS
        )
        + "</tr>"
        for name, numbers in methods.items()
    )
    return (
        f'<div class="scroll"><table class="numbers">\n<tr><th></th>{head}</tr>\n{rows}\n</table>'
        "</div>"
    )


def _video(
    timelines: Timelines,
    found: Sequence[Sequence[Segment]],
    names: Sequence[str],
    classes: Classes,
) -> str:
    times = (np.arange(BINS) + 0.5) * timelines.duration / BINS
    rows = [("true", timelines.true), *zip(names, found, strict=True)]
    lines = "\n".join(
        f"<span>{html.escape(name)}</span>"
        + strip_svg(frame_labels(segments, times), timelines.duration, classes, height=16)
        for name, segments in rows
    )
    return (
        f"<h3>{html.escape(timelines.name)}, {exact_clock(timelines.duration)}</h3>\n"
        f'<div class="lines">\n{lines}\n</div>'
    )


def _listed(title: str, items: Sequence[tuple[str, str]]) -> str:
    if not items:
        return ""
    rows = "".join(f"<li>{html.escape(path)}: {html.escape(text)}</li>" for path, text in items)
    return f"<h2>{title}</h2>\n<ul>{rows}</ul>"
