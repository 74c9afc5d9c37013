"""Timelines of videos as SVG: the most probable class over time, and the segments."""

import html
import math
from collections.abc import Sequence

import numpy as np

from afn_jax.predict.segments import Segment
from afn_jax.viz.class_colors import class_colors, css_color

_WIDTH, _STRIP, _LANE = 1000, 26, 8
_MOST_LANES, _MOST_DRAWN = 4, 2000


class Classes:
    """Names and colors of classes, by label."""

    def __init__(self, names: Sequence[str]):
        """Takes the names."""
        self._names, self._colors = names, class_colors(len(names))

    def name(self, label: int) -> str:
        """Returns the name of a class, as HTML."""
        name = self._names[label] if 0 <= label < len(self._names) else ""
        return html.escape(" ".join(name.split()) or f"class {label}")

    def color(self, label: int) -> str:
        """Returns the color of a class, as CSS."""
        known = 0 <= label < len(self._colors)
        return css_color(self._colors[label]) if known else "var(--faint)"

    def key(self, label: int) -> str:
        """Returns a patch of the color and the name, as HTML."""
        return (
            f'<span class="swatch" style="background:{self.color(label)}"></span>{self.name(label)}'
        )


def exact_clock(seconds: float) -> str:
    """Formats a time as m:ss.s, or h:mm:ss.s from one hour on; "unknown" if it is not finite."""
    if not math.isfinite(seconds):
        return "unknown"
    tenths = round(max(0.0, seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    end = f"{rest // 10:02}.{rest % 10}"
    return f"{hours}:{minutes:02}:{end}" if hours else f"{minutes}:{end}"


def strip_svg(
    strip: np.ndarray,
    duration: float,
    classes: Classes,
    segments: Sequence[Segment] = (),
    *,
    height: int = _STRIP,
) -> str:
    """Draws a timeline.

    Args:
        strip: `[bins]` label per bin of equal time; -1: unknown.
        duration: of the video in seconds.
        classes: of the video.
        segments: drawn below, overlapping ones below each other; none: no such rows.
        height: of the strip in px.

    Returns:
        An `<svg>` element as wide as what it is in.
    """
    strip = np.asarray(strip, np.int64).reshape(-1)
    parts = []
    scale = _WIDTH / max(1, len(strip))
    per_bin = duration / max(1, len(strip))
    for start, end, label in _runs(strip):
        if label < 0:
            continue
        when = f"{exact_clock(start * per_bin)} to {exact_clock(end * per_bin)}"
        parts.append(
            f'<rect x="{start * scale:.4g}" width="{(end - start) * scale:.4g}" height="{height}" '
            f'fill="{classes.color(label)}"><title>{classes.name(label)}, {when}</title></rect>'
        )
    lanes: list[float] = []
    if duration > 0:
        for segment in segments[:_MOST_DRAWN]:
            lane = next((k for k, end in enumerate(lanes) if end <= segment.start), len(lanes))
            if lane == _MOST_LANES:
                continue
            lanes[lane : lane + 1] = [segment.end]
            x, end = (
                min(1.0, max(0.0, t / duration)) * _WIDTH for t in (segment.start, segment.end)
            )
            when = f"{exact_clock(segment.start)} to {exact_clock(segment.end)}"
            parts.append(
                f'<rect x="{x:.4g}" y="{height + 3 + lane * (_LANE + 2)}" '
                f'width="{max(1.5, end - x):.4g}" height="{_LANE}" '
                f'fill="{classes.color(segment.label)}">'
                f"<title>{classes.name(segment.label)}, {when}</title></rect>"
            )
    total = height + (3 + len(lanes) * (_LANE + 2) if lanes else 0)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {total}" height="{total}" preserveAspectRatio="none" '
        f'role="img" aria-label="Classes over time">{"".join(parts)}</svg>'
    )


def ticks(duration: float) -> str:
    """Returns the times below a timeline, as HTML."""
    if not (math.isfinite(duration) and duration > 0):
        return ""
    times = "".join(f"<span>{exact_clock(duration * k / 4)}</span>" for k in range(5))
    return f'<div class="ticks">{times}</div>'


def _runs(strip: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns (start, end, label) of the runs of equal labels."""
    if not strip.size:
        return []
    starts = np.flatnonzero(np.r_[True, strip[1:] != strip[:-1]]).tolist()
    ends = [*starts[1:], len(strip)]
    return [(a, b, int(strip[a])) for a, b in zip(starts, ends, strict=True)]
