"""The report of `python -m eval probe`: bars, occlusion maps, and clips with future flow."""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from afn_jax.viz import fit, heat_colors, line_chart, png_data_uri
from afn_jax.viz.curves import Series
from afn_jax.viz.page import write_page
from eval.report_clips import ReportExample, clip_section

SHOWN_CLASSES = 20  # largest gains, and as many largest losses


def write_probe_report(
    path: Path,
    run: str,
    values: dict,
    class_names: Sequence[str],
    clips: Sequence[ReportExample],
    maps: Sequence[np.ndarray],
    strips: Sequence[ReportExample],
) -> None:
    """Writes the page, completely or not at all.

    Args:
        path: the HTML file.
        run: folder of the run.
        values: the numbers, as in `probe.json`.
        class_names: by label.
        clips: the clips that `maps` belong to.
        maps: relative loss of confidence `[H, W]`, one map per clip; may be empty.
        strips: clips to show with their future flow.
    """
    sections = [
        _motion(values.get("motion")),
        _occlusion(clips, maps, class_names, values.get("occlusion", {})),
        _future(values.get("future"), strips, class_names),
        _gains(values.get("class_gains")),
        _runs(values.get("runs")),
    ]
    write_page(path, f"Probes of {run}, step {values['step']}", sections)


def _motion(found: dict | None) -> str:
    if not found:
        return ""
    rows = "".join(
        f'<li><span class="name">{kind}</span>{_bar(one["top1"])}<span class="number">'
        f"{_percent(one['top1'])} ({_percent(one['interval'][0])} to "
        f"{_percent(one['interval'][1])})</span></li>"
        for kind, one in found.items()
    )
    return (
        "<section><h2>Motion or appearance?</h2><p>Accuracy on the test clips as they are, frozen "
        "(the middle frame repeated), shuffled (frames in random order) and reversed. Accuracy on "
        "frozen clips comes from appearance alone. The loss on reversed clips shows how much the "
        "network uses the direction of motion. In parentheses: 95 % intervals (bootstrap over "
        f'videos).</p><ul class="classes">{rows}</ul></section>'
    )


def _occlusion(clips, maps, class_names, settings: dict) -> str:
    if not maps:
        return ""
    figures = []
    for clip, values in zip(clips, maps, strict=True):
        middle = clip.frames[len(clip.frames) // 2][None]
        heat = heat_colors(values)[None]
        pictures = (fit(middle)[0], fit(heat)[0], fit(middle // 2 + heat // 2)[0])
        images = "".join(
            f'<td><img src="{png_data_uri(picture)}" alt="{what} of {html.escape(clip.name)}"></td>'
            for picture, what in zip(pictures, ("frame", "occlusion map", "both"), strict=True)
        )
        right = int(np.argmax(clip.scores)) == clip.label
        mark = '<span class="right">✓</span>' if right else '<span class="wrong">✗</span>'
        figures.append(
            f'<tr><th scope="row"><strong>{html.escape(class_names[clip.label])}</strong>'
            f"{mark} {_percent(float(clip.scores[clip.label]))}, largest loss {values.max():.2f}"
            f"</th>{images}</tr>"
        )
    return (
        "<section><h2>Where does it look?</h2><p>Relative loss of confidence in the true class "
        f"when a black square of {settings['square']} x {settings['square']} pixels hides part of "
        "all frames, at the same position in each. Dark: no loss; light: all confidence is lost. "
        f"The square moves by at most {settings['stride']} pixels. Beside each clip: confidence in "
        'the true class without the square.</p><div class="scroll"><table class="strip"><tbody>'
        f"{''.join(figures)}</tbody></table></div></section>"
    )


def _future(errors: dict | None, strips, class_names) -> str:
    if not errors:
        return ""
    names = {
        "between": "flow between frames of the clip",
        "future": "future flow, to the frame after the clip",
        "persistence": "predicted flow of the last two frames, used as future flow",
        "zero": "zero flow, used as future flow",
    }
    rows = "".join(
        f"<tr><td>{names[name]}</td><td>{error:.3f} px</td></tr>" for name, error in errors.items()
    )
    clips = "".join(clip_section(clip, class_names) for clip in strips)
    return (
        "<section><h2>Future flow</h2><p>Endpoint error over all pixels of the test clips whose "
        "true flow is known. A network that anticipates motion has a lower error for the future "
        "flow than for the flow of the last two frames.</p>"
        f'<table class="files"><tbody>{rows}</tbody></table>{clips}</section>'
    )


def _gains(gains: dict[str, float] | None) -> str:
    if gains is None:
        return ""
    names = list(gains)
    if len(names) > 2 * SHOWN_CLASSES:
        names = names[:SHOWN_CLASSES] + names[-SHOWN_CLASSES:]
    rows = "".join(
        f'<li><span class="name" title="{html.escape(name)}">{html.escape(name)}</span>'
        f"{_bar(abs(gains[name]), 'is-right' if gains[name] >= 0 else 'is-wrong')}"
        f'<span class="number">{100 * gains[name]:+.1f}</span></li>'
        for name in names
    )
    return (
        "<section><h2>Gains per class</h2><p>Accuracy of this run minus that of the other run, in "
        "percentage points.</p>"
        f'<ul class="classes">{rows}</ul></section>'
    )


def _runs(found: dict | None) -> str:
    if not found:
        return ""
    rows = sorted(found["rows"], key=lambda row: row["epe"])
    chart = line_chart(
        [Series("runs", [row["epe"] for row in rows], [row["top1"] for row in rows])],
        title="Endpoint error against accuracy",
        x_label="endpoint error, px",
        y_label="top-1 accuracy",
    )
    correlation = found["rank_correlation"]
    shown = f"{correlation:.2f}" if np.isfinite(correlation) else "undefined for these runs"
    listed = "".join(
        f"<tr><td>{html.escape(row['run'])}</td><td>{row['epe']:.3f} px</td>"
        f"<td>{_percent(row['top1'])}</td></tr>"
        for row in rows
    )
    return (
        f"<section><h2>Does better flow mean better accuracy?</h2>{chart}"
        f"<p>Spearman's rank correlation: {shown}. At -1, a lower endpoint error always means a "
        "higher accuracy.</p>"
        f'<table class="files"><tbody>{listed}</tbody></table></section>'
    )


def _bar(share: float, kind: str = "") -> str:
    width = 100 * min(max(share, 0), 1)
    return f'<span class="bar {kind}"><span style="width:{width:.1f}%"></span></span>'


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
