"""Videos as folders of numbered pictures, with or without pictures of their flow.

Two layouts of flow are supported. TSN puts it beside the frames, in the same folder:

    Class/video/img_00001.jpg  Class/video/flow_x_00001.jpg  Class/video/flow_y_00001.jpg

(or `x_00001.jpg` and `y_00001.jpg`). Feichtenhofer's layout has separate folders with equal names:

    jpegs_256/video/frame000001.jpg   tvl1_flow/u/video/frame000001.jpg   tvl1_flow/v/video/...

Flow picture n holds the flow from frame n to frame n + 1. If the numbers of the flow pictures start
one lower than those of the frames (OpenMMLab's denseflow: flow from 0, frames from 1), it is flow
picture n - 1.

A gray level g stands for `(2 g / 255 - 1) * bound` pixels; the usual bound is 20. Displacements
beyond it were clipped, so the levels 0 and 255 mean "at least that much": the flow mask is False
there.
"""

import dataclasses
import os
from collections import defaultdict

import cv2
import numpy as np

from afn_jax.data.source import Clip, Video, VideoReadError, checked_indices
from afn_jax.data.sources.catalog import NUMBERED_PICTURE
from afn_jax.data.transforms.crops import SpatialTransform

_FLOW_X = ("flow_x_", "flow_x", "x_", "x")
_FLOW_Y = ("flow_y_", "flow_y", "y_", "y")


@dataclasses.dataclass(frozen=True, eq=False)
class NumberedPictures:
    """The pictures of one folder with names `{prefix}{number}{extension}`.

    Attributes:
        folder: path of the folder.
        prefix: start of the names.
        digits: least number of digits.
        extension: with its dot.
        numbers: `[N]` int32, increasing.
    """

    folder: str
    prefix: str
    digits: int
    extension: str
    numbers: np.ndarray

    def path(self, number: int) -> str:
        """Returns the path of the picture with this number."""
        return os.path.join(self.folder, f"{self.prefix}{number:0{self.digits}d}{self.extension}")


@dataclasses.dataclass(frozen=True, eq=False)
class FrameFolder(Video):
    """One labeled video.

    Attributes:
        name: path of its folder relative to the root, with `/`.
        label: 0-based class.
        frames: pictures of its frames.
        flow: pictures of the x and the y component of its flow, or None.
        flow_bound: displacement in pixels that gray level 255 of a flow picture stands for.
        short_side: frames and flow are resized to this shorter side, in pixels; None: unchanged.
    """

    name: str
    label: int
    frames: NumberedPictures
    flow: tuple[NumberedPictures, NumberedPictures] | None = None
    flow_bound: float = 20.0
    short_side: int | None = None

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.frames.numbers)

    @property
    def has_flow(self) -> bool:
        """Whether there are flow pictures."""
        return self.flow is not None

    def clip(self, indices: np.ndarray) -> Clip:
        """Returns the frames at `indices` and, if `has_flow`, the flow from each to the next frame.

        The flow mask is False where there is no flow picture, e.g. for the last frame.

        Raises:
            VideoReadError: a picture is damaged or missing.
        """
        indices = checked_indices(indices, self.num_frames, self.name)
        numbers = self.frames.numbers[indices]
        frames = _read(self.frames, numbers, cv2.IMREAD_COLOR_RGB)
        height, width = frames.shape[1:3]
        scale = 1.0 if self.short_side is None else self.short_side / min(height, width)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        clip = SpatialTransform(0, 0, height, width, size).apply(Clip(frames))
        if self.flow is None:
            return clip
        flows, known = self._flows(indices, numbers, (height, width))
        # Flow pictures may differ from the frames in size.
        whole = SpatialTransform(0, 0, *flows.shape[1:3], size)
        return Clip(clip.frames, whole.flows(flows), whole.mask(known))

    def _flows(
        self, indices: np.ndarray, numbers: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns flow `[T, H, W, 2]` in pixels of its pictures, and its mask `[T, H, W]`."""
        # The next frame must have number n + 1; if frames were left out, the flow is not to it.
        there = np.append(np.diff(self.frames.numbers) == 1, False)[indices]
        shift = -1 if self.flow[0].numbers[0] == self.frames.numbers[0] - 1 else 0
        for part in self.flow:
            there &= np.isin(numbers + shift, part.numbers)
        if not there.any():
            shape = (len(numbers), *size)
            return np.zeros((*shape, 2), np.float32), np.zeros(shape, bool)
        wanted = numbers[there] + shift
        x, y = (_read(part, wanted, cv2.IMREAD_GRAYSCALE) for part in self.flow)
        if x.shape != y.shape:
            raise VideoReadError(
                f"{self.flow[0].path(int(wanted[0]))}: {x.shape[2]} x {x.shape[1]} pixels, but the "
                f"picture of the other component has {y.shape[2]} x {y.shape[1]}"
            )
        gray = np.stack([x, y], -1)
        flows = np.zeros((len(numbers), *gray.shape[1:]), np.float32)
        known = np.zeros(flows.shape[:-1], bool)
        flows[there] = (gray * np.float32(2 / 255) - 1) * np.float32(self.flow_bound)
        known[there] = ((gray > 0) & (gray < 255)).all(-1)
        return flows, known


def find_frames(
    root: str | os.PathLike, name: str
) -> tuple[NumberedPictures, tuple[NumberedPictures, NumberedPictures] | None]:
    """Finds the frames of the folder `root/name`, and their flow pictures if there are any.

    Raises:
        VideoReadError: there are no numbered pictures.
    """
    folder = os.path.join(root, name)
    groups = _groups(folder)
    flow_x, flow_y = (_first(groups, prefixes) for prefixes in (_FLOW_X, _FLOW_Y))
    frames = [group for prefix, group in groups.items() if prefix.lower() not in _FLOW_X + _FLOW_Y]
    if not frames:
        raise VideoReadError(f"{folder}: no numbered pictures such as img_00001.jpg")
    largest = max(frames, key=lambda group: len(group.numbers))
    if flow_x is not None and flow_y is not None:
        return largest, (flow_x, flow_y)
    # With the frames in videos/Class/clip, flow is in u/Class/clip; or frames in root/clip.
    for base in (os.path.dirname(os.path.abspath(root)), os.fspath(root)):
        for parent in (base, os.path.join(base, "tvl1_flow")):
            for below in (name, name.partition("/")[2]):
                pair = [os.path.join(parent, part, below) for part in ("u", "v")]
                if below and all(os.path.isdir(path) for path in pair):
                    x, y = (list(_groups(path).values()) for path in pair)
                    if len(x) == len(y) == 1:
                        return largest, (x[0], y[0])
    return largest, None


def _groups(folder: str) -> dict[str, NumberedPictures]:
    """Returns the numbered pictures of a folder by prefix; of two extensions, the more frequent."""
    names = defaultdict(list)
    try:
        for name in os.listdir(folder):
            match = NUMBERED_PICTURE.fullmatch(name)
            if match and not name.startswith("."):
                names[match[1], match[3]].append(match[2])
    except OSError as error:
        raise VideoReadError(f"{folder}: {error.strerror or error}") from error
    groups = {}
    for (prefix, extension), digits in sorted(names.items(), key=lambda item: len(item[1])):
        try:
            numbers = np.unique(np.array([int(number) for number in digits], np.int64))
        except OverflowError:
            raise VideoReadError(f"{folder}: numbers of more than 18 digits") from None
        shortest = min(len(number) for number in digits)
        groups[prefix] = NumberedPictures(folder, prefix, shortest, extension, numbers)
    return groups


def _first(groups: dict[str, NumberedPictures], prefixes) -> NumberedPictures | None:
    return next((groups[prefix] for prefix in prefixes if prefix in groups), None)


def _read(pictures: NumberedPictures, numbers: np.ndarray, mode: int) -> np.ndarray:
    """Returns `[T, H, W]` or `[T, H, W, 3]` uint8; reads each picture once."""
    images = {}
    for number in np.unique(numbers):
        path = pictures.path(int(number))
        image = cv2.imread(path, mode)
        if image is None:
            raise VideoReadError(f"{path}: missing, or not a picture that can be decoded")
        images[number] = image
    first = images[numbers[0]]
    for number, image in images.items():
        if image.shape != first.shape:
            raise VideoReadError(
                f"{pictures.path(int(number))}: {image.shape[1]} x {image.shape[0]} pixels, but "
                f"{pictures.path(int(numbers[0]))} has {first.shape[1]} x {first.shape[0]}"
            )
    return np.stack([images[number] for number in numbers])
