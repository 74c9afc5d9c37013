"""One clip of a report: frames, predicted and true flow, endpoint error and scores."""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np

from afn_jax.viz import (
    error_pictures,
    fit,
    flow_pictures,
    flow_scale,
    mean_endpoint_error,
    png_data_uri,
)

MOST_COLUMNS = 16  # frames shown of a longer clip
TOP = 3  # classes shown


@dataclasses.dataclass(frozen=True)
class ReportExample:
    """A clip to show.

    Attributes:
        name: name of the video.
        label: true class, 0-based.
        scores: `[classes]` probabilities.
        frames: `[T, H, W, 3]` uint8 RGB.
        flow: predicted flow, `[T, H, W, 2]`, (x, y) in pixels of the frames, the last one to the
            frame after the clip; or `[T - 1, H, W, 2]` without the last one; or None.
        target: true flow, like `flow`.
        flow_mask: `[T, H, W]` bool, as long as `target`: True where the target is valid; None:
            everywhere.
        times: `[T]` numbers of these frames in a longer clip; then the last flow does not lead to
            the frame after the clip. Empty: the frames are the whole clip.
    """

    name: str
    label: int
    scores: np.ndarray
    frames: np.ndarray
    flow: np.ndarray | None = None
    target: np.ndarray | None = None
    flow_mask: np.ndarray | None = None
    times: tuple[int, ...] = ()


def clip_section(example: ReportExample, class_names: Sequence[str]) -> str:
    """Returns the HTML of one clip: name, label, most probable classes, and a table of images.

    Args:
        example: the clip.
        class_names: by label.
    """
    scores = np.asarray(example.scores, np.float64)
    # NaN scores come last.
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:TOP]
    is_right = bool(order[0] == example.label) and not np.isnan(scores[order[0]])
    verdict = (
        '<span class="right">✓ right</span>' if is_right else '<span class="wrong">✗ wrong</span>'
    )
    return (
        f'<article class="clip"><header><h3>{html.escape(example.name)}</h3>'
        f"<span>true class: <strong>{html.escape(class_names[example.label])}</strong></span>"
        f"{verdict}</header>{_guesses(example.label, scores, order, class_names)}"
        f'<div class="scroll">{_strip(example)}</div></article>\n'
    )


def _guesses(label: int, scores: np.ndarray, order: np.ndarray, class_names) -> str:
    items = []
    for guess in order:
        score = scores[guess]
        text = f"{100 * score:.1f} %" if np.isfinite(score) else f"{score} (not finite)"
        width = 100 * float(np.clip(np.nan_to_num(score), 0, 1))
        kind, mark = ("is-right", " ✓") if guess == label else ("is-wrong", "")
        items.append(
            f'<li>{html.escape(class_names[guess])}{mark}<span class="bar {kind}">'
            f'<span style="width:{width:.1f}%"></span></span>{text}</li>'
        )
    return f'<ul class="guesses">{"".join(items)}</ul>'


def _strip(example: ReportExample) -> str:
    """Returns the table of images: one column per time, one row per kind of image."""
    num_frames = len(example.frames)
    times = np.unique(np.linspace(0, num_frames - 1, min(num_frames, MOST_COLUMNS)).round())
    times = times.astype(int)
    size = {"min_height": 96} if len(times) <= 8 else {}
    flow, target, mask = example.flow, example.target, example.flow_mask
    lengths = [len(value) for value in (flow, target) if value is not None]
    whole = lengths and max(lengths) == num_frames and not example.times
    future = num_frames - 1 if whole else None

    rows = [_row("frame", "", example.name, times, fit(example.frames, **size))]
    scale = flow_scale(flow, target, mask)
    full = f"full color: {scale:.3g} px"
    if flow is not None:
        pictures = flow_pictures(flow, max_magnitude=scale, **size)
        rows.append(_row("predicted flow", full, example.name, times, pictures, future))
    if target is not None:
        pictures = flow_pictures(target, max_magnitude=scale, mask=mask, **size)
        rows.append(_row("true flow", full, example.name, times, pictures, future))
    if flow is not None and target is not None:
        pairs = min(len(flow), len(target))
        both = (flow[:pairs], target[:pairs])
        known = None if mask is None else mask[:pairs]
        pictures = error_pictures(*both, max_error=scale, mask=known, **size)
        errors = [_pixels(error) for error in mean_endpoint_error(*both, known)]
        scale_text = f"0 to {scale:.3g} px"
        rows.append(
            _row("endpoint error", scale_text, example.name, times, pictures, future, errors)
        )
    heads = "".join(
        f'<th scope="col" class="future">{time} → future</th>'
        if time == future
        else f'<th scope="col">{example.times[time] if example.times else time}</th>'
        for time in times
    )
    return (
        f'<table class="strip"><thead><tr><th scope="row">time</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _row(title, detail, name, times, pictures, future=None, captions=None) -> str:
    """Returns one row of the table: images `[T or fewer, h, w, 3]`, one for each of `times`."""
    height, width = pictures.shape[1:3]
    cells = []
    for time in times:
        kind = ' class="future"' if time == future else ""
        if time >= len(pictures):
            cells.append(f"<td{kind}></td>")
            continue
        alt = html.escape(f"{title} at time {time} of {name}")
        caption = captions[time] if captions else ""
        cells.append(
            f'<td{kind}><img src="{png_data_uri(pictures[time])}" width="{width}" '
            f'height="{height}" alt="{alt}">{caption}</td>'
        )
    group = "frames" if title == "frame" else "flow"
    head = f'<th scope="row"><strong>{title}</strong>{detail}</th>'
    return f'<tr class="{group}">{head}{"".join(cells)}</tr>'


def _pixels(error: float) -> str:
    if np.isnan(error):
        return "–"  # no pixel with valid true flow
    return f"{error:.2f} px" if np.isfinite(error) else "not finite"
