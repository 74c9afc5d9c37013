"""Videos as folders of numbered pictures, with or without pictures of their flow.

Three layouts of flow are supported. TSN puts it beside the frames, in the same folder:

    Class/video/img_00001.jpg  Class/video/flow_x_00001.jpg  Class/video/flow_y_00001.jpg

(or `x_00001.jpg` and `y_00001.jpg`). Feichtenhofer's layout has separate folders with equal names:

    jpegs_256/video/frame000001.jpg   tvl1_flow/u/video/frame000001.jpg   tvl1_flow/v/video/...

Some datasets have a folder for each kind of pictures of a clip (see `modalities.py`):

    Class/video/img/00001.jpg   Class/video/flow_x/00001.jpg   Class/video/flow_y/00001.jpg

Pictures may have any format that OpenCV decodes to 8 bits; `frame_names.py` describes the names.

Flow picture n holds the flow from frame n to frame n + 1. If the numbers of the flow pictures start
one lower than those of the frames (OpenMMLab's denseflow: flow from 0, frames from 1), it is flow
picture n - 1.

A gray level g stands for `(2 g / 255 - 1) * bound` pixels; the usual bound is 20. Displacements
beyond it were clipped, so the levels 0 and 255 mean "at least that much": the flow mask is False
there.
"""

import dataclasses
import operator
import os
import re
from collections.abc import Mapping

import cv2
import numpy as np

from afn_jax.data.files.image import decode_picture
from afn_jax.data.source import Clip, Unused, Video, VideoReadError, checked_indices
from afn_jax.data.sources.frame_names import (
    NUMBERED_PICTURE,
    AmbiguousNames,
    Group,
    Pictures,
    largest_step,
    matches,
    sort_pictures,
)
from afn_jax.data.sources.kinds import extension_of
from afn_jax.data.sources.mark import is_marked_picture
from afn_jax.data.sources.modalities import flow_folders
from afn_jax.data.sources.unused import Tally
from afn_jax.data.transforms.crops import SpatialTransform


class AmbiguousFrames(VideoReadError):
    """Raised for a folder whose names do not tell which pictures are the frames."""


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class NumberedPictures:
    """The pictures of one folder, in the order of their numbers; compact, as there may be millions.

    Attributes:
        folder: path of the folder.
        numbers: increasing; a range if their steps are equal, else `[N]` int64.
        names: `(prefix, digits, suffix)` if every name is `{prefix}{number:0{digits}d}{suffix}`;
            otherwise the names, joined by "/".
        largest_step: largest difference of the numbers of a picture and the next one; a larger one
            means that pictures are missing between them.
    """

    folder: str
    numbers: range | np.ndarray
    names: tuple[str, int, str] | str
    largest_step: int = 1

    def path(self, number: int) -> str:
        """Returns the path of the picture with this number."""
        if isinstance(self.names, str):
            at = np.searchsorted(self.numbers, number)
            return os.path.join(self.folder, self.names.split("/")[at])
        prefix, digits, suffix = self.names
        return os.path.join(self.folder, f"{prefix}{number:0{digits}d}{suffix}")

    def gaps(self) -> list[int]:
        """Returns the numbers after which pictures are missing: the step to the next one is larger.

        Guessed: larger than 1.5 times the median step.
        """
        steps = np.diff(self.numbers)
        gaps = steps > 1.5 * np.median(steps) if len(steps) else np.zeros(0, bool)
        return np.asarray(self.numbers)[:-1][gaps].tolist()


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
    def path(self) -> str:
        """Folder of its frames."""
        return self.frames.folder

    @property
    def sample_path(self) -> str:
        """Picture of its first frame."""
        return self.frames.path(int(self.frames.numbers[0]))

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
        numbers = np.asarray(self.frames.numbers)[indices]
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
        steps = np.diff(self.frames.numbers)
        there = np.append(steps <= self.frames.largest_step, False)[indices]
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


@dataclasses.dataclass(frozen=True)
class FoundPictures:
    """The pictures of a folder.

    Attributes:
        frames: pictures of the frames.
        flow: pictures of the x and the y component of flow, or None.
        rest: names of files that are neither.
        left: those of `rest` that are numbered pictures and not left out by `frame_names`.
    """

    frames: NumberedPictures
    flow: tuple[NumberedPictures, NumberedPictures] | None
    rest: tuple[str, ...]
    left: tuple[str, ...] = ()


def find_frames(
    root: str | os.PathLike[str], name: str, frame_names: str = ""
) -> tuple[NumberedPictures, tuple[NumberedPictures, NumberedPictures] | None]:
    """Finds the frames of the folder `root/name`, and their flow pictures if there are any.

    Arguments and errors as for `find_video`.
    """
    found = find_video(root, name, frame_names)
    return found.frames, found.flow


def find_video(root: str | os.PathLike[str], name: str, frame_names: str = "") -> FoundPictures:
    """Finds the pictures of the folder `root/name`, and those of its flow in any layout.

    Args:
        root: the folder of the dataset.
        name: the folder of the video, relative to it.
        frame_names: as `pattern` of `sort_pictures`.

    Raises:
        AmbiguousFrames: the names do not tell which pictures are the frames.
        VideoReadError: there are no numbered pictures.
    """
    found = find_pictures(os.path.join(root, name), frame_names)
    if found.flow is not None:
        return found
    # With the frames in videos/Class/clip, flow is in u/Class/clip; or frames in root/clip.
    for base in (os.path.dirname(os.path.abspath(root)), os.fspath(root)):
        for parent in (base, os.path.join(base, "tvl1_flow")):
            for below in (name, name.partition("/")[2]):
                pair = [os.path.join(parent, part, below) for part in ("u", "v")]
                if below and all(os.path.isdir(path) for path in pair):
                    x, y = (_component(path) for path in pair)
                    if x is not None and y is not None:
                        return dataclasses.replace(found, flow=(x, y))
    for places in flow_folders(name):
        pair = [os.path.join(root, place) for place in places]
        if all(os.path.isdir(path) for path in pair):
            x, y = (_component(path) for path in pair)
            if x is not None and y is not None:
                return dataclasses.replace(found, flow=(x, y))
    return found


def left_over(folders: Mapping[str, object]) -> tuple[Unused, ...]:
    """Counts the pictures that are neither frames nor flow, in those of the folders found."""
    rest = Tally()
    for folder, found in folders.items():
        for name in found.left if isinstance(found, FoundPictures) else ():
            what = "picture in a folder of frames whose name has another form"
            rest.add(extension_of(name), f"{folder}/{name}", what)
    return rest.items()


def find_pictures(folder: str, frame_names: str = "") -> FoundPictures:
    """Finds the pictures of a folder; arguments and errors as for `find_video`."""
    names = _names(folder)
    try:
        pictures = _sorted(folder, names, frame_names)
    except AmbiguousNames as error:
        raise AmbiguousFrames(f"{folder}: {error}") from None
    except ValueError as error:
        raise VideoReadError(f"{folder}: {error}") from None
    if pictures.frames is None:
        some = [name for name in names if NUMBERED_PICTURE.fullmatch(name)]
        if frame_names and some:
            raise AmbiguousFrames(
                f"{folder}: no name of its {len(some)} numbered pictures is like {frame_names!r}; "
                f"the first is {min(some)}"
            )
        raise VideoReadError(f"{folder}: no numbered pictures such as img_00001.jpg")
    flow = pictures.flow and tuple(_compact(folder, group) for group in pictures.flow)
    used = {*pictures.frames.names, *(n for group in pictures.flow or () for n in group.names)}
    rest = tuple(sorted(name for name in names if name not in used))
    left = tuple(name for name in pictures.rest if matches(name, frame_names))
    return FoundPictures(_compact(folder, pictures.frames), flow, rest, left)


def _sorted(folder: str, names: list[str], frame_names: str) -> Pictures:
    """Sorts pictures; leaves flow that this package wrote out if it makes them ambiguous."""
    try:
        return sort_pictures(names, frame_names)
    except AmbiguousNames:
        others = [name for name in names if not is_marked_picture(os.path.join(folder, name))]
        if len(others) == len(names):
            raise
        return sort_pictures(others, frame_names)


def _component(folder: str) -> NumberedPictures | None:
    """Returns the pictures of a folder that holds one component of flow, or None."""
    try:
        group = sort_pictures(_names(folder), with_flow=False).frames
    except AmbiguousNames as error:
        raise AmbiguousFrames(f"{folder}: {error}") from None
    except ValueError as error:
        raise VideoReadError(f"{folder}: {error}") from None
    return None if group is None else _compact(folder, group)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise VideoReadError(f"{folder}: {error.strerror or error}") from error


def _compact(folder: str, group: Group) -> NumberedPictures:
    """Returns the pictures with a range and a pattern where these say the same."""
    numbers, values = group.numbers, group.numbers.tolist()
    steps = set(np.diff(numbers).tolist()) or {1}
    if len(steps) == 1:
        numbers = range(values[0], values[-1] + 1, steps.pop())
    first = group.names[0]
    for match in re.finditer(r"\d+", first):
        prefix, digits, suffix = first[: match.start()], len(match[0]), first[match.end() :]
        pattern = (f"{prefix}{value:0{digits}d}{suffix}" for value in values)
        if all(map(operator.eq, group.names, pattern)):
            return NumberedPictures(folder, numbers, (prefix, digits, suffix))
    return NumberedPictures(folder, numbers, "/".join(group.names), largest_step(group))


def _read(pictures: NumberedPictures, numbers: np.ndarray, mode: int) -> np.ndarray:
    """Returns `[T, H, W]` or `[T, H, W, 3]` uint8; reads each picture once."""
    images = {}
    for number in np.unique(numbers):
        try:
            images[number] = decode_picture(pictures.path(int(number)), mode)
        except (ValueError, OSError) as error:
            path = pictures.path(int(number))
            reason = str(error).removeprefix(f"{path}: ")
            raise VideoReadError(f"{path}: {getattr(error, 'strerror', reason)}") from error
    first = images[numbers[0]]
    for number, image in images.items():
        if image.shape != first.shape:
            raise VideoReadError(
                f"{pictures.path(int(number))}: {image.shape[1]} x {image.shape[0]} pixels, but "
                f"{pictures.path(int(numbers[0]))} has {first.shape[1]} x {first.shape[0]}"
            )
    return np.stack([images[number] for number in numbers])
