"""Colors of classes: the same color for the same label in every picture, page and video.

The first seven are those of Okabe and Ito, "Color Universal Design" (2008), chosen to differ for
every kind of color vision. Black and white are not used: they are the background and the text.
Larger labels repeat them lighter, darker and in between.
"""

import numpy as np

# Orange, sky blue, bluish green, yellow, blue, vermilion, reddish purple.
OKABE_ITO = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ],
    np.uint8,
)
UNKNOWN = (128, 128, 128)  # where there is no class
# How far each round of the palette is moved to white (above 0) or to black (below 0); guessed.
_ROUNDS = (0.0, 0.5, -0.4, 0.25, -0.2, 0.7, -0.55)


def class_colors(num_classes: int) -> np.ndarray:
    """Returns the colors of classes by label, `[num_classes, 3]` uint8 RGB.

    The color of a label does not depend on the number of classes. The first 49 differ.
    """
    labels = np.arange(num_classes)
    move = np.array(_ROUNDS)[labels // len(OKABE_ITO) % len(_ROUNDS)][:, None]
    base = OKABE_ITO[labels % len(OKABE_ITO)].astype(float)
    return np.rint(base + np.abs(move) * (np.where(move > 0, 255, 0) - base)).astype(np.uint8)


def css_color(color: np.ndarray | tuple[int, int, int]) -> str:
    """Returns a color `[3]` in 0..255 as CSS, such as "#e69f00"."""
    return "#" + "".join(f"{int(channel):02x}" for channel in color)
