"""One clip of a report: its frames, predicted and true flow, error and scores, side by side."""

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

MOST_COLUMNS = 16  # of a longer clip, this many frames are shown
TOP = 3


@dataclasses.dataclass(frozen=True)
class ReportExample:
    """A clip to show.

    Attributes:
        name: of the video.
        label: 0-based true class.
        scores: `[classes]` probabilities.
        frames: `[T, H, W, 3]` uint8 RGB.
        flow: predicted, `[T, H, W, 2]`, (x, y) in pixels of the frames, the last one to the frame
            after the clip; or `[T - 1, H, W, 2]` without that one; or None.
        target: true, like `flow`.
        flow_mask: `[T, H, W]` bool, as long as `target`: True where it is to be trusted; None:
            everywhere.
        times: `[T]` which frames of a longer clip these are, from 0; then the last flow is not to
            the frame after the clip. Empty: all of it.

    Raises:
        ValueError: an array of another shape or type.
    """

    name: str
    label: int
    scores: np.ndarray
    frames: np.ndarray
    flow: np.ndarray | None = None
    target: np.ndarray | None = None
    flow_mask: np.ndarray | None = None
    times: tuple[int, ...] = ()

    def __post_init__(self):
        frames = np.asarray(self.frames)
        if frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size or frames.dtype != np.uint8:
            raise ValueError(
                f"frames of example {self.name!r}: got shape {frames.shape} and type "
                f"{frames.dtype}, but a clip is [T, H, W, 3] RGB in uint8."
            )
        time, height, width = frames.shape[:3]
        if self.times and len(self.times) != time:
            raise ValueError(
                f"times of example {self.name!r}: got {len(self.times)} for {time} frames; give "
                "one each, or none."
            )
        for field, end in (("flow", (2,)), ("target", (2,)), ("flow_mask", ())):
            value = getattr(self, field)
            allowed = [(length, height, width, *end) for length in (time, time - 1) if length]
            if value is not None and np.shape(value) not in allowed:
                raise ValueError(
                    f"{field} of example {self.name!r}: got shape {np.shape(value)}, but frames of "
                    f"shape {frames.shape} allow {' or '.join(map(str, allowed))}; resize it to "
                    "the frames."
                )
        lengths = {len(value) for value in (self.target, self.flow_mask) if value is not None}
        if len(lengths) > 1 and self.target is not None:
            raise ValueError(
                f"flow_mask of example {self.name!r}: got {len(self.flow_mask)} times, but target "
                f"has {len(self.target)}; cut both alike."
            )


def clip_section(example: ReportExample, class_names: Sequence[str]) -> str:
    """The HTML of one clip: name, label, best guesses, and a table of pictures.

    Args:
        example: the clip.
        class_names: by label, one for each score.
    """
    scores = np.asarray(example.scores, np.float64)
    # A score that is not a number can't be the best one.
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
    """The table of pictures: a column for each time, a row for each kind."""
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
    full = f"full colour: {scale:.3g} px"
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
    """One kind of picture `[T or fewer, h, w, 3]` at each of `times`."""
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
        return "–"  # no pixel whose true flow is known
    return f"{error:.2f} px" if np.isfinite(error) else "not finite"
