"""Line charts as SVG text, to be pasted into an HTML page.

Colors are CSS variables with defaults (`--series-1` ...), and text and axes have the page's text
color, so charts also suit dark pages.
"""

import dataclasses
import html
import math
from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT = 540, 300
LEFT, RIGHT, BOTTOM = 58, 20, 42
COLORS = ("#2563c9", "#d9622b", "#1b8a6b", "#8a4fbf", "#b08900", "#c2397a")
GRAY = "var(--faint, #8a8f98)"


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        label: text in the legend.
        x: `[N]`, ascending.
        y: `[N]`; values that are not finite leave a gap.
        smooth: draw a moving average over the raw values, which are faint.
        reference: draw it gray and dashed, for the others to be compared with.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    smooth: bool = False
    reference: bool = False


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """Computes the mean of the finite values at most `window // 2` positions away.

    Args:
        values: `[N]`.
        window: number of values in a mean (an even number counts as the next odd one); fewer at
            the ends.

    Returns:
        `[N]` float64, NaN where no value in the window is finite.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    reach = window // 2
    total = np.concatenate([[0], np.cumsum(np.where(finite, values, 0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    start = np.maximum(np.arange(len(values)) - reach, 0)
    stop = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    number = count[stop] - count[start]
    mean = (total[stop] - total[start]) / np.maximum(number, 1)
    return np.where(number > 0, mean, np.nan)


def round_ticks(low: float, high: float, count: int = 5) -> np.ndarray:
    """Returns about `count` round numbers from `low` to `high`, 1, 2 or 5 * 10**n apart."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999) * power
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return np.array([step * multiple for multiple in range(first, last + 1)])


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    log_y: bool = False,
) -> str:
    """Draws lines with axes, ticks, labels and a legend.

    Args:
        series: at least one.
        title: above the chart.
        x_label: below it.
        y_label: beside it.
        y_range: limits of the y axis; None fits the lines, starting at zero if nothing is negative.
            Individual raw values of a smoothed line may lie outside.
        log_y: use a logarithmic y axis; values that are not positive leave a gap.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: if there are no series, or x and y of a series differ in length.
    """
    if not series:
        raise ValueError("series: got none, but a chart needs at least one line.")
    for line in series:
        if len(line.x) != len(line.y):
            raise ValueError(
                f"series {line.label!r}: got {len(line.x)} x and {len(line.y)} y values, "
                "but each point needs both."
            )
    lines = [_Line(line, log_y) for line in series]
    missing = sum(int((~np.isfinite(np.asarray(line.y, np.float64))).sum()) for line in series)
    legend, legend_height = _legend(series)
    top = 30 + legend_height
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - top - BOTTOM

    x_low, x_high = _x_limits(lines)
    y_low, y_high = _y_limits(lines, y_range, log_y)

    def place(x, y):
        return (
            (np.asarray(x) - x_low) / (x_high - x_low) * plot_width,
            (y_high - np.asarray(y)) / (y_high - y_low) * plot_height,
        )

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}" font-size="12" fill="currentColor">',
        f'<text x="{LEFT}" y="16" font-size="14" font-weight="600">{html.escape(title)}</text>',
        legend,
    ]
    for tick, text in _y_ticks(y_low, y_high, log_y):
        y = top + float(place(x_low, tick)[1])
        parts.append(
            f'<path d="M{LEFT} {y:.1f}h{plot_width}" stroke="currentColor" stroke-opacity="0.12"/>'
            f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    base = top + plot_height
    for tick in round_ticks(x_low, x_high):
        x = LEFT + float(place(tick, y_low)[0])
        parts.append(
            f'<path d="M{x:.1f} {base}v4" stroke="currentColor" stroke-opacity="0.5"/>'
            f'<text x="{x:.1f}" y="{base + 17}" text-anchor="middle">{tick_text(tick)}</text>'
        )
    parts.append(
        f'<path d="M{LEFT} {top}V{base}H{LEFT + plot_width}" fill="none" stroke="currentColor" '
        'stroke-opacity="0.5"/>'
        f'<text x="{LEFT + plot_width / 2:g}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{html.escape(x_label)}</text>"
        f'<text transform="translate(14 {top + plot_height / 2:g}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(y_label)}</text>'
    )
    # The inner svg clips the lines to the plot area.
    parts.append(
        f'<svg x="{LEFT}" y="{top}" width="{plot_width}" height="{plot_height}" fill="none" '
        'stroke-linejoin="round">'
    )
    colors = _colors(series)
    for faint in (True, False):
        for line, color in zip(lines, colors, strict=True):
            parts.append(_draw(line, color, place, faint=faint))
    parts.append("</svg>")
    if missing:
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="16" text-anchor="end" font-size="11" '
            f'style="fill:var(--wrong, #b3261e)">not finite, not drawn: {missing}</text>'
        )
    return "".join(parts) + "</svg>"


def tick_text(value: float) -> str:
    """Formats a round number briefly: 0.25, 500, 20k, 1.5M."""
    value = float(f"{value:.6g}")
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):g}{letter}"
    return f"{value:g}"


class _Line:
    """A series and the values to draw: on the scale of the axis, and smoothed if asked."""

    def __init__(self, series: Series, log_y: bool):
        self.series = series
        self.x = np.asarray(series.x, np.float64)
        raw = np.asarray(series.y, np.float64)
        raw = np.where(np.isfinite(raw), raw, np.nan)
        if log_y:
            raw = np.log10(raw, where=raw > 0, out=np.full_like(raw, np.nan))
        self.raw = raw
        # A window of 1/25 of the points shows a trend without hiding instabilities.
        self.y = moving_average(raw, max(3, len(raw) // 25)) if series.smooth else raw


def _x_limits(lines: list[_Line]) -> tuple[float, float]:
    values = np.concatenate([line.x for line in lines])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if high == low:
        return low - 0.5, low + 0.5
    return low, high + 0.015 * (high - low)  # room for the marker of the last point


def _y_limits(lines: list[_Line], y_range, log_y: bool) -> tuple[float, float]:
    if y_range is not None:
        return tuple(np.log10(y_range)) if log_y else y_range
    values = np.concatenate([line.y for line in lines])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if not log_y and low >= 0:
        low = 0.0
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    space = 0.06 * (high - low)
    return (low if low == 0 and not log_y else low - space), high + space


def _y_ticks(low: float, high: float, log_y: bool) -> list[tuple[float, str]]:
    if not log_y:
        return [(tick, tick_text(tick)) for tick in round_ticks(low, high)]
    powers = range(math.floor(low), math.ceil(high) + 1)
    factors = (1,) if high - low > 3 else (1, 2, 5)
    ticks = [
        (power + math.log10(factor), factor * 10.0**power) for power in powers for factor in factors
    ]
    return [(tick, tick_text(value)) for tick, value in ticks if low <= tick <= high]


def _colors(series: Sequence[Series]) -> list[str]:
    colors, used = [], 0
    for line in series:
        if line.reference:
            colors.append(GRAY)
        else:
            number = used % len(COLORS)
            colors.append(f"var(--series-{number + 1}, {COLORS[number]})")
            used += 1
    return colors


def _draw(line: _Line, color: str, place, *, faint: bool) -> str:
    if faint and not line.series.smooth:
        return ""
    x, y = place(line.x, line.raw if faint else line.y)
    drawn = np.isfinite(x) & np.isfinite(y)
    # Missing points split the line into pieces.
    pieces = np.split(np.flatnonzero(drawn), np.flatnonzero(np.diff(np.flatnonzero(drawn)) > 1) + 1)
    path = "".join(
        "M" + "L".join(f"{x[index]:.1f} {y[index]:.1f}" for index in piece)
        for piece in pieces
        if len(piece)
    )
    if not path:
        return ""
    if faint:
        look = "stroke-width:1;stroke-opacity:0.22"
    elif line.series.reference:
        look = "stroke-width:1.5;stroke-dasharray:6 4"
    else:
        look = "stroke-width:2"
    drawing = f'<path d="{path}" style="stroke:{color};{look}"/>'
    if not (faint or line.series.smooth or line.series.reference) or (
        not faint and drawn.sum() == 1
    ):
        drawing += "".join(
            f'<circle cx="{x[index]:.1f}" cy="{y[index]:.1f}" r="3" style="fill:{color}"/>'
            for index in np.flatnonzero(drawn)
        )
    return drawing


def _legend(series: Sequence[Series]) -> tuple[str, int]:
    """Returns the legend, which goes below the title, and its height in px."""
    x, y, parts = LEFT, 34, []
    for line, color in zip(series, _colors(series), strict=True):
        width = 30 + text_width(line.label, 12)
        if x > LEFT and x + width > WIDTH - RIGHT:
            x, y = LEFT, y + 17
        dash = ";stroke-dasharray:5 3" if line.reference else ""
        parts.append(
            f'<path d="M{x:.0f} {y - 4}h18" style="stroke:{color};stroke-width:2.5{dash}"/>'
            f'<text x="{x + 23:.0f}" y="{y}">{html.escape(line.label)}</text>'
        )
        x += width + 10
    return "".join(parts), y - 17


def text_width(text: str, font_size: float) -> float:
    """Estimates the width of `text` in px, which SVG cannot measure."""
    return sum(1.0 if ord(letter) > 0x2E80 else 0.62 for letter in text) * font_size
