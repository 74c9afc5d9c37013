"""Crop, resize and flip of frames, flows and masks together.

A policy (`CenterCrop`, `RandomCrop`) draws once and returns a `SpatialTransform`, which does the
same to every frame and treats each kind of data in its own way: values of a flow are displacements,
so they scale with the picture and change sign with its direction; a mask stays True only where
nothing untrusted was mixed in. Sizes are (height, width), in pixels. All resizing uses half-pixel
centres: pixel i covers [i, i + 1).
"""

import dataclasses

import cv2
import numpy as np

from afn_jax.data.clip import Clip


@dataclasses.dataclass(frozen=True)
class SpatialTransform:
    """Cuts a box out of the picture, resizes it to `size`, then mirrors it if `flip`.

    Attributes:
        top: first row of the box.
        left: first column of the box.
        height: rows of the box.
        width: columns of the box.
        size: (height, width) of the result.
        flip: whether left and right change places.
    """

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    flip: bool = False

    def frames(self, frames: np.ndarray) -> np.ndarray:
        """`[..., H, W, 3]` uint8 -> `[..., *size, 3]` uint8."""
        return self._mirrored(self._resized(self._cropped(frames)))

    def flows(self, flows: np.ndarray) -> np.ndarray:
        """`[..., H, W, 2]` float32 -> `[..., *size, 2]`, in pixels of the result."""
        out = self._mirrored(self._resized(self._cropped(flows)))
        x_scale = self.size[1] / self.width * (-1 if self.flip else 1)
        y_scale = self.size[0] / self.height
        if (x_scale, y_scale) == (1, 1):
            return out
        return out * np.array([x_scale, y_scale], np.float32)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """`[..., H, W]` bool -> `[..., *size]`; False where any pixel mixed in was False."""
        mask = self._cropped(mask[..., None])
        if mask.shape[-3:-1] != tuple(self.size):
            mask = self._resized((~mask).astype(np.float32)) == 0
        return self._mirrored(mask)[..., 0]

    def apply(self, clip: Clip) -> Clip:
        """Transforms all that the clip has."""
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
                f"inside a picture of (height, width) = {(height, width)}; draw the transform for "
                "the size that it is applied to"
            )
        return array[..., self.top : bottom, self.left : right, :]

    def _resized(self, array: np.ndarray) -> np.ndarray:
        if array.shape[-3:-1] == tuple(self.size):
            return array
        # Averaging over areas keeps fine texture from aliasing, but is made for shrinking only.
        shrinks = self.size[0] <= self.height and self.size[1] <= self.width
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pictures = array.reshape(-1, *array.shape[-3:])
        out = np.empty((len(pictures), *self.size, array.shape[-1]), array.dtype)
        for picture, target in zip(pictures, out, strict=True):
            resized = cv2.resize(
                np.ascontiguousarray(picture), self.size[::-1], interpolation=interpolation
            )
            target[...] = resized.reshape(target.shape)
        return out.reshape(*array.shape[:-3], *out.shape[1:])

    def _mirrored(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[..., ::-1, :]) if self.flip else array


@dataclasses.dataclass(frozen=True)
class CenterCrop:
    """The largest centred box of the aspect of `size`, resized to it: what evaluation uses.

    Attributes:
        size: (height, width) of the result.
    """

    size: tuple[int, int]

    def __post_init__(self):
        _check_size(self.size)

    def draw(
        self, height: int, width: int, rng: np.random.Generator | None = None
    ) -> SpatialTransform:
        """The transform for pictures of that size; nothing is random about it."""
        box_height, box_width = _largest_box(height, width, self.size)
        top, left = (height - box_height) // 2, (width - box_width) // 2
        return SpatialTransform(top, left, box_height, box_width, tuple(self.size))


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Multi-scale cropping: a box of random scale at a random place, and a random flip.

    After Wang et al., "Towards Good Practices for Very Deep Two-Stream ConvNets" (2015), section 3,
    but with the aspect kept and any place allowed instead of five.

    Attributes:
        size: (height, width) of the result.
        scales: sides of the box, relative to the largest box of the same aspect; one is drawn.
        flip_probability: of mirroring left and right.
    """

    size: tuple[int, int]
    scales: tuple[float, ...] = (1.0, 0.875, 0.75)
    flip_probability: float = 0.5

    def __post_init__(self):
        _check_size(self.size)
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(
                f"scales: got {self.scales}; give one or more numbers above 0 and up to 1"
            )
        if not 0 <= self.flip_probability <= 1:
            raise ValueError(
                f"flip_probability: got {self.flip_probability}; give a number from 0 to 1"
            )

    def draw(self, height: int, width: int, rng: np.random.Generator) -> SpatialTransform:
        """Draws a transform for pictures of that size."""
        scale = self.scales[rng.integers(len(self.scales))]
        largest = _largest_box(height, width, self.size)
        box_height, box_width = (max(1, round(scale * side)) for side in largest)
        top = int(rng.integers(height - box_height + 1))
        left = int(rng.integers(width - box_width + 1))
        flip = bool(rng.random() < self.flip_probability)
        return SpatialTransform(top, left, box_height, box_width, tuple(self.size), flip)


def _largest_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) of the largest box inside a picture that has the aspect of `size`."""
    scale = min(height / size[0], width / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _check_size(size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size: got {size}; give (height, width), each 1 or more")
