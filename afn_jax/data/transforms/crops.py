"""Crop, resize and flip of frames, flows and masks together.

A policy (`CenterCrop`, `RandomCrop`, `CornerCrop`) draws once and returns a `SpatialTransform`,
which is the same for every frame. It handles each kind of data correctly: flow values are
displacements, so they scale with the image and change sign under mirroring; a mask is True only
where all pixels mixed in were True. Sizes are (height, width), in pixels. All resizing uses
half-pixel centers: pixel i covers [i, i + 1).
"""

import dataclasses

import cv2
import numpy as np

from afn_jax.data.source import Clip

# Positions of a box, (down, right), in quarters of the range of possible positions.
CORNERS = ((0, 0), (0, 4), (4, 0), (4, 4))
CENTER = (2, 2)
BETWEEN = ((0, 2), (2, 0), (2, 4), (4, 2), (1, 1), (1, 3), (3, 1), (3, 3))


@dataclasses.dataclass(frozen=True)
class SpatialTransform:
    """Crops a box, resizes it to `size`, then mirrors it if `flip`.

    Attributes:
        top: first row of the box.
        left: first column of the box.
        height: rows of the box.
        width: columns of the box.
        size: (height, width) of the result.
        flip: whether left and right are swapped.
    """

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    flip: bool = False

    def frames(self, frames: np.ndarray) -> np.ndarray:
        """Transforms frames, `[..., H, W, 3]` uint8 -> `[..., *size, 3]` uint8."""
        return self._mirrored(self._resized(self._cropped(frames)))

    def flows(self, flows: np.ndarray) -> np.ndarray:
        """Transforms flow, `[..., H, W, 2]` float32 -> `[..., *size, 2]`, in result pixels."""
        out = self._mirrored(self._resized(self._cropped(flows)))
        x_scale = self.size[1] / self.width * (-1 if self.flip else 1)
        y_scale = self.size[0] / self.height
        if (x_scale, y_scale) == (1, 1):
            return out
        return out * np.array([x_scale, y_scale], np.float32)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Transforms a mask, `[..., H, W]` bool -> `[..., *size]`.

        The result is False where any pixel mixed in was False.
        """
        mask = self._cropped(mask[..., None])
        if mask.shape[-3:-1] != tuple(self.size):
            mask = self._resized((~mask).astype(np.float32)) == 0
        return self._mirrored(mask)[..., 0]

    def apply(self, clip: Clip) -> Clip:
        """Transforms the frames of a clip and its flow and mask, if any."""
        return Clip(
            frames=self.frames(clip.frames),
            flows=None if clip.flows is None else self.flows(clip.flows),
            flow_mask=None if clip.flow_mask is None else self.mask(clip.flow_mask),
        )

    def _cropped(self, array: np.ndarray) -> np.ndarray:
        height, width = array.shape[-3:-1]
        bottom, right = self.top + self.height, self.left + self.width
        if min(self.top, self.left) < 0 or bottom > height or right > width:
            raise ValueError(
                f"the box of rows {self.top} to {bottom} and columns {self.left} to {right} is not "
                f"inside an image of (height, width) = {(height, width)}; draw the transform for "
                "the size that it is applied to"
            )
        return array[..., self.top : bottom, self.left : right, :]

    def _resized(self, array: np.ndarray) -> np.ndarray:
        if array.shape[-3:-1] == tuple(self.size):
            return array
        # Area averaging prevents aliasing of fine texture, but works only for shrinking.
        shrinks = self.size[0] <= self.height and self.size[1] <= self.width
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pictures = array.reshape(-1, *array.shape[-3:])
        out = np.empty((len(pictures), *self.size, array.shape[-1]), array.dtype)
        for picture, target in zip(pictures, out, strict=True):
            cv2.resize(picture, self.size[::-1], target, interpolation=interpolation)
        return out.reshape(*array.shape[:-3], *out.shape[1:])

    def _mirrored(self, array: np.ndarray) -> np.ndarray:
        if not self.flip:
            return array
        out = np.empty(array.shape, array.dtype)
        bytewise = array.dtype == bool  # a type that OpenCV does not support
        for picture, target in zip(
            array.reshape(-1, *array.shape[-3:]), out.reshape(-1, *array.shape[-3:]), strict=True
        ):
            if bytewise:
                picture, target = picture.view(np.uint8), target.view(np.uint8)
            cv2.flip(picture, 1, target)
        return out


@dataclasses.dataclass(frozen=True)
class CenterCrop:
    """A centered box with the aspect ratio of `size`, for evaluation.

    Attributes:
        size: (height, width) of the result.
        scale: sides of the box relative to the largest one; .875 is 224 of 256 pixels.
    """

    size: tuple[int, int]
    scale: float = 1.0

    def draw(
        self, height: int, width: int, rng: np.random.Generator | None = None
    ) -> SpatialTransform:
        """Returns the transform for images of that size; `rng` is not used."""
        box = _box(height, width, self.size, self.scale, self.scale)
        return _placed(box, (height, width), CENTER, self.size)


def ten_crops(
    height: int, width: int, size: tuple[int, int], scale: float = 1.0
) -> tuple[SpatialTransform, ...]:
    """Returns the ten crops of Krizhevsky et al. 2012.

    These are the four corners and the center, then the same five mirrored.

    Args:
        height: of the images.
        width: of the images.
        size: (height, width) of the results.
        scale: sides of the boxes relative to the largest one; .875 is 224 of 256 pixels.
    """
    box = _box(height, width, size, scale, scale)
    return tuple(
        _placed(box, (height, width), place, size, flip)
        for flip in (False, True)
        for place in (*CORNERS, CENTER)
    )


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Multi-scale cropping: a box of random scale at a random position, and a random flip.

    After Wang et al., "Towards Good Practices for Very Deep Two-Stream ConvNets" (2015), section 3,
    but with the aspect ratio kept and any position allowed instead of five.

    Attributes:
        size: (height, width) of the result.
        scales: sides of the box relative to the largest one of the same aspect ratio; one is drawn.
        flip_probability: probability of mirroring left and right.
    """

    size: tuple[int, int]
    scales: tuple[float, ...] = (1.0, 0.875, 0.75)
    flip_probability: float = 0.5

    def draw(self, height: int, width: int, rng: np.random.Generator) -> SpatialTransform:
        """Draws a transform for images of that size."""
        scale = self.scales[rng.integers(len(self.scales))]
        box_height, box_width = _box(height, width, self.size, scale, scale)
        top = int(rng.integers(height - box_height + 1))
        left = int(rng.integers(width - box_width + 1))
        flip = bool(rng.random() < self.flip_probability)
        return SpatialTransform(top, left, box_height, box_width, tuple(self.size), flip)


@dataclasses.dataclass(frozen=True)
class CornerCrop:
    """Multi-scale corner cropping of TSN, and a random flip (Wang et al. 2015, section 3).

    Height and width each draw a scale, and the box is put at one of a few fixed positions, because
    uniform positions would favor the middle of the image.

    Attributes:
        size: (height, width) of the result.
        scales: sides of the box relative to the largest one with the aspect ratio of `size`.
        max_distortion: how far apart in `scales` the scales of height and width may be. TSN: 1,
            which combines 1 with .875 but not with .75.
        places: 5 positions, the corners and the center, or 13, TSN's "more fix crop": also the
            middles of the edges and the points halfway between center and corners.
        flip_probability: probability of mirroring left and right.
    """

    size: tuple[int, int]
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    max_distortion: int = 1
    places: int = 5
    flip_probability: float = 0.5

    def draw(self, height: int, width: int, rng: np.random.Generator) -> SpatialTransform:
        """Draws a transform for images of that size."""
        pairs = [
            (self.scales[i], self.scales[j])
            for i in range(len(self.scales))
            for j in range(len(self.scales))
            if abs(i - j) <= self.max_distortion
        ]
        box = _box(height, width, self.size, *pairs[rng.integers(len(pairs))])
        places = (*CORNERS, CENTER) if self.places == 5 else (*CORNERS, CENTER, *BETWEEN)
        place = places[rng.integers(len(places))]
        flip = bool(rng.random() < self.flip_probability)
        return _placed(box, (height, width), place, self.size, flip)


def _box(
    height: int, width: int, size: tuple[int, int], height_scale: float, width_scale: float
) -> tuple[int, int]:
    """Returns (height, width) of a box scaled from the largest one of the aspect of `size`."""
    largest = min(height / size[0], width / size[1])
    sides = [max(1, round(side * largest)) for side in size]
    return max(1, round(height_scale * sides[0])), max(1, round(width_scale * sides[1]))


def _placed(
    box: tuple[int, int],
    picture: tuple[int, int],
    place: tuple[int, int],
    size: tuple[int, int],
    flip: bool = False,
) -> SpatialTransform:
    """Puts a box at `place`, in quarters of the free rows and columns (see `CORNERS`)."""
    top, left = ((picture[i] - box[i]) * place[i] // 4 for i in (0, 1))
    return SpatialTransform(top, left, *box, tuple(size), flip)
