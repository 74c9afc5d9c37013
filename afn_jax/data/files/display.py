"""The picture as players show it: upright, not mirrored, with square pixels."""

import dataclasses

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

# One thread per clip converts colors. From PyAV 17 on, the default would start one thread per core
# for every frame.
ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}

# Guessed: the widest pixels in use are 2:1, in pictures squeezed for 3D. Beyond 4:1, the header is
# wrong. Below 1 %, encoders have rounded the aspect ratio of a picture with square pixels.
_WIDEST_PIXEL = 4.0
_SAME_ASPECT = 0.01

_NAMES = {
    (False, False, False): "",
    (False, True, True): "turned by 180 degrees",
    (True, True, False): "turned clockwise",
    (True, False, True): "turned counterclockwise",
    (False, True, False): "mirrored left to right",
    (False, False, True): "mirrored top to bottom",
    (True, False, False): "turned clockwise and mirrored left to right",
    (True, True, True): "turned counterclockwise and mirrored left to right",
}


@dataclasses.dataclass(frozen=True)
class Orientation:
    """One of the eight ways to show a picture. The steps are taken in the order of the attributes.

    Attributes:
        transposed: exchange rows and columns.
        flip_x: then mirror left to right.
        flip_y: then mirror top to bottom.
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def __str__(self) -> str:
        return _NAMES[dataclasses.astuple(self)]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns the decoded `image` `[H, W, 3]` as it is shown, `[H', W', 3]`."""
        if self.transposed:
            image = image.transpose(1, 0, 2)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Returns the orientation closest to the display matrix of a decoded frame."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a kind that PyAV does not know
        return _TURNS[round(frame.rotation / 90) % 4]
    if data is None:
        return Orientation()
    # x' = a x + c y, y' = b x + d y, with y pointing down; AVFrame stores a, b, u, c, d, ...
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)


# By counterclockwise quarter turns.
_TURNS = (
    Orientation(),
    Orientation(True, False, True),
    Orientation(False, True, True),
    Orientation(True, True, False),
)


def pixel_aspect(stream: VideoStream) -> float:
    """Returns the width of a pixel divided by its height.

    1 if the file does not report it, reports more than 4:1, or differs by less than 1 % from 1.
    Call it after the first frame is decoded: some codecs report it only then.
    """
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    aspect = float(ratio) if ratio else 1.0
    if not 1 / _WIDEST_PIXEL <= aspect <= _WIDEST_PIXEL or abs(aspect - 1) < _SAME_ASPECT:
        return 1.0
    return aspect


def shown_size(frame: av.VideoFrame, aspect: float) -> tuple[int, int]:
    """Returns (height, width) of a frame as it is shown.

    Pixels become square by changing the width, before the picture is turned.
    """
    height, width = frame.height, max(1, round(frame.width * aspect))
    return (width, height) if orientation_of(frame).transposed else (height, width)


def display_notes(frame: av.VideoFrame, aspect: float) -> list[str]:
    """Describes what is done to show a frame, e.g. ["shown turned clockwise"]."""
    notes = []
    if str(orientation_of(frame)):
        notes.append(f"shown {orientation_of(frame)}, as its header says")
    if aspect != 1:
        height, width = frame.height, max(1, round(frame.width * aspect))
        notes.append(
            f"its pixels are not square: {frame.width} x {frame.height} is shown as "
            f"{width} x {height}"
        )
    return notes


class ShownRGB:
    """Writes frames of one clip into `[H, W, 3]` uint8 arrays, resized, as players show them.

    One object per clip, because setting up a conversion costs as much as converting a small frame.
    """

    def __init__(self, height: int, width: int):
        """Takes the size of the first frame of the video as it is shown."""
        self._size = height, width
        self._reformatter = VideoReformatter()
        self._known: tuple[int, Orientation] | None = None  # rotation and orientation

    def _orientation_of(self, frame: av.VideoFrame) -> Orientation:
        """Returns the orientation; reads the display matrix only if the rotation has changed.

        Reading it makes PyAV keep the frame, of 12 MB in 4K, until Python's cyclic garbage
        collection.
        """
        rotation = frame.rotation
        if self._known is None or self._known[0] != rotation:
            self._known = rotation, orientation_of(frame)
        return self._known[1]

    def __call__(self, frame: av.VideoFrame, target: np.ndarray) -> None:
        orientation = self._orientation_of(frame)
        # A stream may change its size: all frames get the size of the first.
        height, width = self._size[::-1] if orientation.transposed else self._size
        converted = self._reformatter.reformat(frame, width, height, "rgb24", **ONE_THREAD)
        image = converted.to_ndarray()
        if orientation != Orientation():
            image = orientation(image)
        if image.shape == target.shape:
            target[:] = image
            return
        shrinks = target.shape[0] < image.shape[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(image, target.shape[1::-1], target, interpolation=interpolation)


def resized(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Returns (height, width) scaled to a shorter side of `short_side`."""
    if short_side is None:
        return height, width
    scale = short_side / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
