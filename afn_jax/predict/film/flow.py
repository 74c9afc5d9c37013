"""Flow as color pictures for a video: a scale that changes slowly, and the wheel as its legend."""

import functools

import cv2
import jax
import numpy as np

from afn_jax.ops.flow_color import flow_to_rgb
from afn_jax.viz.flow_legend import flow_wheel

STILL = 0.5  # px: full saturation never means less than this, or noise would look like motion
_PERCENTILE = 99  # of the speeds; the fastest percent may be outliers
_HALF_LIFE = 4.0  # seconds in which the scale falls by half once motion is slower; guessed
_OPACITY = 0.85  # of the color of the fastest motion over a picture


@jax.jit
def _colors(flow, scale):
    return flow_to_rgb(flow / scale, max_magnitude=1.0)


def flow_colors(flow: np.ndarray, scale: float) -> np.ndarray:
    """Colors flow `[h, w, 2]`, `scale` px at full saturation: `[h, w, 3]` uint8 RGB.

    Unknown flow (NaN, or above 1e9) is black.
    """
    known = (np.abs(flow) <= 1e9).all(-1, keepdims=True)
    return np.asarray(_colors(np.where(known, flow, np.nan).astype(np.float32), np.float32(scale)))


def largest_usual_speed(flow: np.ndarray) -> float:
    """Returns the 99th percentile of the speeds of known flow, in px; 0 if none is known."""
    speed = np.sqrt(np.square(np.asarray(flow, np.float32)).sum(-1))
    speed = speed[speed <= 1e9]  # False for NaN
    return float(np.percentile(speed, _PERCENTILE)) if speed.size else 0.0


class FlowColors:
    """Colors the flow of one video.

    The scale follows faster motion at once and slower motion with a half-life of 4 s, so that
    colors of neighboring frames are comparable.
    """

    scale: float

    def __init__(self, max_magnitude: float | None = None):
        """Takes the speed in px at full saturation; None: from the flow."""
        self._fixed = max_magnitude
        self.scale = max_magnitude or STILL
        self._time: float | None = None

    def __call__(self, flow: np.ndarray, time: float) -> np.ndarray:
        """Colors flow `[h, w, 2]` shown at `time`: `[h, w, 3]` uint8 RGB."""
        return flow_colors(flow, self.follow(flow, time))

    def follow(self, flow: np.ndarray, time: float) -> float:
        """Returns the scale for this flow: the speed in px at full saturation."""
        if not self._fixed:
            passed = 0.0 if self._time is None else max(0.0, time - self._time)
            self._time = time
            slower = self.scale * 0.5 ** (passed / _HALF_LIFE)
            self.scale = max(STILL, slower, largest_usual_speed(flow))
        return self.scale


@functools.lru_cache(maxsize=4)
def _wheel(diameter: int) -> np.ndarray:
    return flow_wheel(diameter).astype(np.float32)


def over_picture(picture: np.ndarray, colors: np.ndarray) -> None:
    """Draws flow colors over a picture `[H, W, 3]` in place; still pixels keep the picture.

    Args:
        picture: uint8 RGB.
        colors: `[h, w, 3]` uint8 RGB of any size; white is no motion, and black unknown flow.
    """
    red, green, blue = cv2.split(colors)
    # The wheel is white where nothing moves: the darkest channel tells the saturation.
    darkest, brightest = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    weight = (255 - darkest).astype(np.float32) * np.float32(_OPACITY / 255)
    weight[brightest == 0] = 0
    size = picture.shape[1::-1]
    colors, weight = (cv2.resize(x, size, interpolation=cv2.INTER_LINEAR) for x in (colors, weight))
    # In place, `blendLinear` would read what it has written.
    picture[:] = cv2.blendLinear(colors, picture, weight, 1 - weight)


def draw_wheel(image: np.ndarray, right: int, top: int, diameter: int) -> None:
    """Draws the color wheel in place, with its right end and top at (right, top)."""
    wheel = _wheel(diameter)
    place = image[top : top + diameter, right - diameter : right]
    if place.shape[:2] != wheel.shape[:2]:
        return  # no room
    alpha = wheel[..., 3:] / 255
    place[:] = np.rint(place * (1 - alpha) + wheel[..., :3] * alpha).astype(np.uint8)
