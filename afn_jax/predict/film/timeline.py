"""The timeline under an annotated video: a strip of class colors, the time, and a legend."""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from afn_jax.predict.film.layout import Layout
from afn_jax.predict.film.text import clock, draw_text, shortened, text_width
from afn_jax.viz.class_colors import UNKNOWN, class_colors

GROUND = (24, 26, 31)
EMPTY = (58, 62, 71)  # the part of the strip that is still to come
TEXT, FAINT = (238, 240, 243), (160, 166, 176)
WINDOW = 60.0  # seconds shown if the duration is unknown
_LONGEST_NAME = 14  # in heights of the text, in the legend
_NOT_YET = -2  # -1 is an unknown class


def legend_rows(names: Sequence[str], width: int, text: int, row: int) -> int:
    """Returns how many rows the time and the names of all classes take, at most 2."""
    gap = round(1.2 * text)
    total = 13 * text + sum(min(text_width(n, text), _LONGEST_NAME * text) for n in names)
    return 1 if total + len(names) * (2 * text + gap) <= width - 2 * text else 2


class Timeline:
    """Draws the timeline; remembers what was shown, at most 60 s if the duration is unknown."""

    def __init__(self, place: Layout, names: Sequence[str], duration: float | None):
        """Takes the drawable names of the classes, and the duration in seconds or None."""
        self._place, self._names = place, names
        known = duration is not None and math.isfinite(duration) and duration > 0
        self._duration = float(duration) if known else None
        colors = class_colors(len(names)).reshape(-1, 3)
        # By label; the last two are for -2 and -1. Without classes, the strip shows the progress.
        past = UNKNOWN if names else FAINT
        self._colors = np.concatenate([colors, [EMPTY, past]]).astype(np.uint8)
        self._labels = np.full(place.strip.width, _NOT_YET)
        self._recent: deque[tuple[float, int]] = deque()
        self._reached = -1
        self._occurred: list[int] = []
        self._legend_start = 0

    def draw(self, image: np.ndarray, time: float, label: int) -> None:
        """Draws the timeline at `time`, from which on the class is `label`; -1: unknown."""
        if self._duration is None:
            start, end = self._show_recent(time, label)
        else:
            start, end = 0.0, self._duration
            self._fill(time, label)
        place, text = self._place, self._place.text
        reach = max(2, text // 4)  # of the playhead, above and below the strip
        strip = place.strip
        image[strip.y - reach : strip.y + strip.height + reach] = GROUND
        strip.of(image)[:] = self._colors[self._labels]
        x = strip.x + min(strip.width - 1, int((time - start) / (end - start) * strip.width))
        half = max(1, text // 9)
        head = image[strip.y - reach : strip.y + strip.height + reach]
        head[:, max(0, x - half - 1) : x + half + 2] = 0
        head[1:-1, max(0, x - half) : x + half + 1] = 255
        self._draw_time(image, time)
        if label >= 0 and label not in self._occurred:
            self._occurred.append(label)
            self._draw_legend(image)

    def _fill(self, time: float, label: int) -> None:
        width = len(self._labels)
        column = min(width - 1, int(time / self._duration * width))
        self._labels[min(self._reached + 1, column) : column + 1] = label
        self._reached = max(self._reached, column)

    def _show_recent(self, time: float, label: int) -> tuple[float, float]:
        recent = self._recent
        if not recent or recent[-1][1] != label:
            recent.append((time, label))
        start = max(0.0, time - WINDOW)
        while len(recent) > 1 and recent[1][0] <= start:
            recent.popleft()
        end = start + WINDOW
        width = len(self._labels)
        edges = [max(0, math.floor((t - start) / WINDOW * width)) for t, _ in recent]
        now = min(width, math.floor((time - start) / WINDOW * width) + 1)
        self._labels[:] = _NOT_YET
        for (_, one), first, last in zip(recent, edges, [*edges[1:], now], strict=True):
            self._labels[first:last] = one
        return start, end

    def _draw_time(self, image: np.ndarray, time: float) -> None:
        place, text = self._place, self._place.text
        words = clock(time)
        total = "" if self._duration is None else f" / {clock(self._duration)}"
        width = text_width(words, text)
        box = place.legend
        end = box.x + text_width("0" * len(words) + total, text) + text
        moved = end > self._legend_start  # the first time, and when the hours begin
        if moved:
            self._legend_start = end + text
        image[box.y : box.y + place.row, box.x : self._legend_start] = GROUND
        base = box.y + place.row - text // 2
        draw_text(image, words, box.x, base, text, TEXT)
        if total:
            draw_text(image, total, box.x + width, base, text, FAINT)
        if moved:
            self._draw_legend(image)

    def _draw_legend(self, image: np.ndarray) -> None:
        place, text = self._place, self._place.text
        box, gap = place.legend, round(1.2 * text)
        image[box.y : box.y + box.height, self._legend_start :] = GROUND
        image[box.y + place.row : box.y + box.height] = GROUND
        x, y, end = self._legend_start, box.y, box.x + box.width
        for position, label in enumerate(self._occurred):
            name = shortened(self._names[label], text, min(_LONGEST_NAME * text, box.width // 2))
            width = round(1.6 * text) + text_width(name, text)
            rest = len(self._occurred) - position - 1
            last_row = y + 2 * place.row > box.y + box.height
            more = f"+{rest + 1}"
            room = text_width(more, text) + gap if rest and last_row else 0
            if x + width + room > end:
                if last_row:
                    draw_text(image, more, x, y + place.row - text // 2, text, FAINT)
                    return
                x, y = box.x, y + place.row
            base = y + place.row - text // 2
            image[base - text : base, x : x + text] = self._colors[label]
            draw_text(image, name, x + round(1.6 * text), base, text, TEXT)
            x += width + gap
