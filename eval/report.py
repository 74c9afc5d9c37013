"""The report of a run: one self-contained HTML file, including its images.

`write_report` takes numbers and arrays, independent of models, datasets and run folders. The page
has no scripts and loads nothing.
"""

import html
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from afn_jax.viz import check_confusion, confusion_matrix, flow_legend
from afn_jax.viz.clip_figure import HATCH_DARK, HATCH_LIGHT, HEAT
from afn_jax.viz.page import write_page
from eval.report_clips import ReportExample, clip_section
from eval.report_curves import history_charts

FOOTER = (
    "Accuracy is the share of videos whose most probable class is the true one; chance is one over "
    "the number of classes. The endpoint error is the mean distance, in pixels, between predicted "
    "and true flow, over pixels with valid true flow; that of zero flow is the error of predicting "
    "no motion."
)
SHOWN_SKIPPED = 200  # rows of the table of skipped files
LABELS = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "chance": "chance accuracy",
    "epe": "endpoint error of the flow",
    "zero_flow_epe": "endpoint error of zero flow",
    "cross_entropy": "cross-entropy",
}


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    summary: dict[str, float | int | str],
    history: Sequence[dict],
    class_names: Sequence[str],
    confusion: np.ndarray,
    examples: Sequence[ReportExample],
    skipped: Sequence[tuple[str, str]] = (),
    command: str = "",
    notes: Sequence[str] = (),
) -> Path:
    """Writes the report; an older one at `path` stays until the new one is complete.

    Args:
        path: the HTML file; its folder is created.
        title: heading of the page.
        summary: the numbers at the top, in this order. `top1`, `top5`, `chance` and names that end
            in `accuracy` are shares, shown in percent; names with `epe` are shown in px.
        history: rows of `metrics.jsonl`, with `step`, `split` ("train" or the evaluated split) and
            numbers; empty leaves out the curves.
        class_names: by label.
        confusion: `[classes, classes]` counts, [true, predicted].
        examples: clips to show.
        skipped: (file, reason) of each skipped file.
        command: the command that reproduces the result.
        notes: sentences below the numbers.

    Returns:
        `path`.
    """
    path = Path(path)
    class_names = [str(name) for name in class_names]
    counts = check_confusion(confusion, class_names)
    sections = [
        _summary_section(summary, command, notes),
        _history_section(history, len(class_names)),
        _classes_section(counts, class_names),
        _examples_section(examples, class_names),
        _skipped_section(skipped),
    ]
    write_page(path, title, sections, footer=FOOTER)
    return path


def _summary_section(summary: dict, command: str, notes: Sequence[str]) -> str:
    tiles = []
    for name, value in summary.items():
        text = _summary_value(name, value)
        size = ' class="long"' if len(text) > 10 else ""
        label = html.escape(LABELS.get(name, name.replace("_", " ")))
        tiles.append(f'<div class="tile"><dt>{label}</dt><dd{size}>{html.escape(text)}</dd></div>')
    parts = [f'<dl class="tiles">{"".join(tiles)}</dl>'] if tiles else []
    if command:
        parts.append(f"<pre><code>{html.escape(command)}</code></pre>")
    if notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        parts.append(f'<ul class="notes">{items}</ul>')
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _summary_value(name: str, value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    number = float(value)
    if not np.isfinite(number):
        return f"{number} (not finite)"
    if name in ("top1", "top5", "chance") or name.endswith("accuracy"):
        return f"{100 * number:.1f} %"
    if "epe" in name.split("_"):
        return f"{number:.3g} px"
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}".replace(",", "\u202f")  # a narrow no-break space
    return f"{number:.4g}"


def _history_section(history: Sequence[dict], num_classes: int) -> str:
    charts = history_charts(history, num_classes=num_classes)
    if not charts:
        return ""
    return (
        "<section><h2>Training</h2>"
        '<p class="faint">Bold: moving average; faint: single values.</p>'
        f'<div class="charts">{"".join(f"<div>{chart}</div>" for chart in charts)}</div></section>'
    )


def _classes_section(counts: np.ndarray, class_names: Sequence[str]) -> str:
    totals, right = counts.sum(1), counts.diagonal()
    # A class without clips has no accuracy and comes last.
    accuracy = np.where(totals > 0, right / np.maximum(totals, 1), -1)
    rows = []
    for label in np.argsort(-accuracy, kind="stable"):
        name = html.escape(class_names[label])
        if totals[label]:
            number = f"{right[label]}/{totals[label]} = {100 * accuracy[label]:.0f} %"
        else:
            number = "no videos"
        width = 100 * max(0.0, accuracy[label])
        rows.append(
            f'<li><span class="name" title="{name}">{name}</span>'
            f'<span class="bar"><span style="width:{width:.1f}%"></span></span>'
            f'<span class="number">{number}</span></li>'
        )
    matrix = confusion_matrix(counts, class_names)
    return (
        "<section><h2>Confusion matrix</h2>"
        '<p class="faint">Rows: true class; columns: predicted class. Color: share of the row, '
        "blue if right, orange if wrong.</p>"
        f'<div class="classification"><div class="scroll">{matrix}</div>'
        f'<div><h3>Accuracy per class</h3><ul class="classes">{"".join(rows)}</ul></div>'
        "</div></section>"
    )


def _examples_section(examples: Sequence[ReportExample], class_names: Sequence[str]) -> str:
    if not examples:
        return ""
    clips = "".join(clip_section(example, class_names) for example in examples)
    has_flow = any(clip.flow is not None or clip.target is not None for clip in examples)
    return f"<section><h2>Test clips</h2>{_flow_key() if has_flow else ''}{clips}</section>"


def _flow_key() -> str:
    ramp = ", ".join(f"rgb({red},{green},{blue})" for red, green, blue in HEAT)
    dark, light = (f"rgb({gray},{gray},{gray})" for gray in (HATCH_DARK, HATCH_LIGHT))
    stripes = f"repeating-linear-gradient(135deg,{light} 0 2px,{dark} 2px 6px)"
    return (
        f'<div class="legend">{flow_legend()}<ul>'
        "<li>Flow is the displacement of each pixel from a frame to the next. Hue: direction; "
        "saturation: speed, with full color at the number of px given beside each clip; white: no "
        "motion. Predicted and true flow have the same scale.</li>"
        f'<li><span class="key" style="background:linear-gradient(90deg,{ramp})"></span> Endpoint '
        "error from 0 px (dark) to the same number of px (light); the mean is below each image."
        "</li>"
        f'<li><span class="key" style="background:{stripes}"></span> Non-finite flow, or pixels '
        "without valid true flow, which do not count.</li>"
        "<li><strong>Future</strong> (framed): the flow to the frame after the clip, which is not "
        "an input of the model.</li></ul></div>"
    )


def _skipped_section(skipped: Sequence[tuple[str, str]]) -> str:
    if not skipped:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(str(file))}</td><td>{html.escape(str(reason))}</td></tr>"
        for file, reason in skipped[:SHOWN_SKIPPED]
    )
    more = len(skipped) - SHOWN_SKIPPED
    rest = f'<p class="faint">… and {more} more.</p>' if more > 0 else ""
    return (
        f"<section><h2>Skipped files ({len(skipped)})</h2>"
        '<table class="files"><thead><tr><th scope="col">file</th><th scope="col">reason</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>{rest}</section>"
    )
