"""The annotated video: pictures with their label, flow in color, and a timeline under them.

`film_layout.py` says where things are, `film_timeline.py` draws the timeline, `film_flow.py` colors
the flow and `mp4.py` writes the file.
"""

import math
import os
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from afn_jax.data.sources.mark import MARK
from afn_jax.predict.film.flow import FlowColors, draw_wheel, over_picture
from afn_jax.predict.film.layout import Box, layout, text_height
from afn_jax.predict.film.mp4 import Mp4Writer, check_frame
from afn_jax.predict.film.text import draw_text, drawable_name, shortened, text_width
from afn_jax.predict.film.timeline import FAINT, GROUND, TEXT, Timeline, legend_rows
from afn_jax.viz.class_colors import class_colors

FlowPlace = Literal["none", "beside", "over"]
_SHADE = 0.42  # of the picture's brightness under the label
_NO_FLOW = (40, 43, 50)  # the flow panel of a frame without flow


class FilmWriter:
    """Writes an annotated video frame by frame.

    The file appears when `close` is called. A `with` statement calls it, unless an error is raised
    inside: then nothing is left.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        height: int,
        width: int,
        class_names: Sequence[str] = (),
        duration: float | None = None,
        flow: FlowPlace = "none",
        max_magnitude: float | None = None,
    ):
        """Opens the file.

        Args:
            path: the MP4 file; its folder must exist. An older file is replaced by `close`.
            height: of the pictures. Pictures of less than 240 px are enlarged by an integer factor,
                those beyond 1080 x 1920 are reduced.
            width: of the pictures.
            class_names: by label; () if nothing is classified.
            duration: of the video in seconds, which the timeline spans; None: the timeline shows
                the last 60 s.
            flow: where the flow is shown.
            max_magnitude: speed in px shown at full saturation; None: from the flow, slowly
                changing.

        Raises:
            ValueError: a size below 1, an unknown place, or a max_magnitude that is not positive.
            OSError: the file cannot be written.
        """
        if height < 1 or width < 1:
            raise ValueError(f"size: got {height} x {width}; both sides must be 1 or more")
        if flow not in ("none", "beside", "over"):
            raise ValueError(f"flow: got {flow!r}; allowed: none, beside, over")
        if max_magnitude is not None and not 0 < max_magnitude < math.inf:
            raise ValueError(f"max_magnitude: got {max_magnitude}; it must be above 0 px, or None")
        names = [drawable_name(name, label) for label, name in enumerate(class_names)]
        beside, labeled = flow == "beside", bool(names)
        one_row = layout((height, width), beside=beside, labeled=labeled, legend_rows=1)
        rows = legend_rows(names, one_row.legend.width, one_row.text, one_row.row)
        place = layout((height, width), beside=beside, labeled=labeled, legend_rows=rows)
        self._place, self._names, self._flow = place, names, flow
        self._size = height, width
        self._colors = class_colors(len(names))
        self._flow_colors = FlowColors(max_magnitude)
        self._timeline = Timeline(place, names, duration)
        self._image = np.empty((place.height, place.width, 3), np.uint8)
        self._image[:] = GROUND
        self._video = Mp4Writer(path, height=place.height, width=place.width, comment=MARK)

    def add(
        self,
        picture: np.ndarray,
        time: float,
        probabilities: np.ndarray | None = None,
        flow: np.ndarray | None = None,
    ) -> None:
        """Adds a frame.

        Args:
            picture: `[height, width, 3]` uint8 RGB.
            time: at which it is shown, in seconds.
            probabilities: `[classes]`; None or any NaN: the class is unknown.
            flow: `[fh, fw, 2]` of any resolution, in px of that resolution; None: unknown.

        Raises:
            ValueError: another shape or type, or a time that is not finite or negative.
            OSError: the disk is full.
        """
        check_frame(picture, time, self._size)
        label, probability = self._most_probable(probabilities)
        place, image = self._place, self._image
        shown = place.picture.of(image)
        if place.label is not None and place.label.width > place.picture.width:
            image[: place.strip.y] = GROUND  # the bar is wider than the picture
        _resize_into(picture, shown)
        colors = None
        if flow is not None and self._flow != "none":
            colors = self._flow_colors(_checked_flow(flow), time)
        if self._flow == "over" and colors is not None:
            over_picture(shown, colors)
        if place.flow is not None:
            panel = place.flow.of(image)
            size = panel.shape[1::-1]
            panel[:] = (
                _NO_FLOW
                if colors is None
                else cv2.resize(colors, size, interpolation=cv2.INTER_LINEAR)
            )
        if self._flow != "none":
            self._draw_flow_legend(place.flow or place.picture, colors is not None)
        if place.label is not None:
            self._draw_label(label, probability)
        self._timeline.draw(image, time, label)
        self._video.add(image, time)

    def close(self) -> None:
        """Completes the file. A film without frames leaves none."""
        self._video.close()

    def abort(self) -> None:
        """Removes what was written; an older file stays."""
        self._video.abort()

    def __enter__(self) -> "FilmWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._video.__exit__(kind, *error)

    def _most_probable(self, probabilities) -> tuple[int, float]:
        """Returns the most probable class and its probability, or -1 and NaN."""
        if probabilities is None or not self._names:
            return -1, math.nan
        probabilities = np.asarray(probabilities)
        if probabilities.shape != (len(self._names),):
            raise ValueError(
                f"probabilities: got shape {probabilities.shape}; the video has "
                f"{len(self._names)} classes"
            )
        if not np.isfinite(probabilities).all():
            return -1, math.nan
        label = int(probabilities.argmax())
        return label, float(probabilities[label])

    def _draw_label(self, label: int, probability: float) -> None:
        box, text = self._place.label, self._place.text + 1
        bar = box.of(self._image)
        np.copyto(bar, cv2.convertScaleAbs(bar, alpha=_SHADE))
        margin, base = text, (box.height + text) // 2 - 1
        if label < 0:
            draw_text(bar, "no label", margin, base, text, FAINT)
            return
        color = self._colors[label]
        bar[base - text : base, margin : margin + text] = color
        percent = f"{100 * probability:.0f} %"
        right = box.width - margin - text_width(percent, text)
        left = margin + round(1.7 * text)
        name = shortened(self._names[label], text, max(0, right - left - text))
        draw_text(bar, name, left, base, text, TEXT)
        draw_text(bar, percent, right, base, text, TEXT)
        filled = round(box.width * min(1.0, max(0.0, probability)))
        bar[-max(2, text // 4) :, :filled] = color

    def _draw_flow_legend(self, box: Box, known: bool) -> None:
        text = text_height(box.height)
        panel = box.of(self._image)
        if not known:
            if box is self._place.flow:
                words = shortened("no flow", text, box.width - 2 * text)
                draw_text(panel, words, text, 2 * text, text, FAINT)
            return
        diameter = min(4 * text, box.width // 3, box.height // 3)
        if diameter >= 8:
            margin = text // 2
            draw_wheel(panel, box.width - margin, margin, diameter)


def _resize_into(picture: np.ndarray, target: np.ndarray) -> None:
    if picture.shape == target.shape:
        target[:] = picture
        return
    shrinks = target.shape[0] < picture.shape[0] or target.shape[1] < picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    target[:] = cv2.resize(picture, target.shape[1::-1], interpolation=interpolation)


def _checked_flow(flow: np.ndarray) -> np.ndarray:
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[-1] != 2 or not flow.size:
        raise ValueError(f"flow: got shape {flow.shape}; it must be [h, w, 2]")
    return flow
