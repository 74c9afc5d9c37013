"""Where things are on the frames of an annotated video."""

import dataclasses

import numpy as np

SMALLEST_HEIGHT = 240  # px; smaller pictures are enlarged by an integer factor
LARGEST = (1080, 1920)  # (height, width); larger pictures are reduced
_ENLARGED_WIDTH = 1280  # px; wide pictures are not enlarged beyond this
_NARROWEST, _LOWEST = 320, 96  # px; room for the texts
_NARROWEST_LABEL = 200  # px
_GAP = 4  # px between the picture and the flow


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle: its top left corner and its size, in px."""

    y: int
    x: int
    height: int
    width: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """Returns this part of an image, as a view."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places on a frame.

    Attributes:
        height: of the frame, even.
        width: of the frame, even.
        picture: the picture.
        flow: the flow beside it; None: there is none.
        label: the bar with the label, over the lower end of the picture; None without classes.
        strip: the timeline.
        legend: the rows below it, with the time and the names of the classes.
        row: height of a row of the legend.
        text: height of capitals.
    """

    height: int
    width: int
    picture: Box
    flow: Box | None
    label: Box | None
    strip: Box
    legend: Box
    row: int
    text: int


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Returns the size at which a picture of (height, width) is shown."""
    if height < SMALLEST_HEIGHT:
        factor = max(1, min(-(-SMALLEST_HEIGHT // height), _ENLARGED_WIDTH // width))
        height, width = height * factor, width * factor
    scale = min(1.0, LARGEST[0] / height, LARGEST[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def text_height(panel_height: int) -> int:
    """Returns the height of capitals for pictures of this height."""
    return min(24, max(9, round(4 + panel_height / 40)))


def layout(size: tuple[int, int], *, beside: bool, labeled: bool, legend_rows: int) -> Layout:
    """Arranges a frame.

    Args:
        size: (height, width) of the pictures of the video.
        beside: whether flow is shown beside the picture.
        labeled: whether there are classes.
        legend_rows: rows of the legend, 1 or more.
    """
    height, width = shown_size(*size)
    panel = max(height, _LOWEST)
    text = text_height(panel)
    margin, row = round(0.8 * text), round(2 * text)
    panels = 2 * width + _GAP if beside else width
    whole = max(panels, _NARROWEST)
    whole += whole % 2
    top, left = (panel - height) // 2, (whole - panels) // 2
    picture = Box(top, left, height, width)
    flow = Box(top, left + width + _GAP, height, width) if beside else None
    label = None
    if labeled:
        bar = round(2.4 * text)
        # A narrow picture has a bar as wide as the frame.
        place = picture if width >= _NARROWEST_LABEL else Box(0, 0, panel, whole)
        label = Box(panel - bar - (panel - height) // 2, place.x, bar, place.width)
    strip = Box(panel + margin, margin, round(1.1 * text), whole - 2 * margin)
    rows = Box(strip.y + strip.height + margin // 2, margin, legend_rows * row, strip.width)
    total = rows.y + rows.height + margin // 2
    return Layout(total + total % 2, whole, picture, flow, label, strip, rows, row, text)
