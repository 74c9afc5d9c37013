"""Geometric augmentation of FlowNet, with a small additional motion between the frames.

Dosovitskiy et al., "FlowNet" (2015), section 4.3, which ActionFlowNet follows for FlyingChairs
(section 4.2): multi-scale crop, flip, translation and rotation. "In order to increase the variety
of flow fields", the second frame gets a small additional transform.

Pixel q in frame t of the result shows the point `A_t q` in frame t of the clip, where
`A_t = view . step^t`. The point p in frame t moves to `p + f(p)` in frame t + 1, so the new flow is

    F(q) = A_{t+1}^{-1} (A_t q + f(A_t q)) - q

computed from the matrices, not from the images. The mask is False where `A_t q` is outside the
frame or its flow is unknown. (x, y) = (right, down); integer coordinates are pixel centers.
"""

import dataclasses

import cv2
import numpy as np

from afn_jax.data.source import Clip

_TRIES = 50  # draws before giving up, as in FlowNet's code


@dataclasses.dataclass(frozen=True, eq=False)
class MovingView:
    """A crop window that is rotated, scaled, mirrored, and moves over time.

    Attributes:
        view: `[3, 3]`, maps (x, y, 1) of a pixel of the result to the clip's first frame.
        step: `[3, 3]`, motion of the window per frame, in pixels of the result.
        size: (height, width) of the result.
    """

    view: np.ndarray
    step: np.ndarray
    size: tuple[int, int]

    def matrix(self, time: int) -> np.ndarray:
        """Returns `A_t`, `[3, 3]`, which maps pixels of the result to frame `time` of the clip."""
        return self.view @ np.linalg.matrix_power(self.step, time)

    def apply(self, clip: Clip) -> Clip:
        """Transforms the frames of a clip and its flow and mask; a clip with flow gets a mask.

        A mask without flow belongs to flow that is estimated later; each segment of such a clip has
        one more frame than flows.
        """
        frames = np.stack([self._frame(frame, t) for t, frame in enumerate(clip.frames)])
        known = clip.flow_mask
        if clip.flows is None:
            return Clip(frames, None, None if known is None else self._masks(known, len(frames)))
        if known is None:
            known = np.ones(clip.flows.shape[:-1], bool)
        flows = [self._flow(*pair, t) for t, pair in enumerate(zip(clip.flows, known, strict=True))]
        return Clip(frames, np.stack([f for f, _ in flows]), np.stack([m for _, m in flows]))

    def _masks(self, known: np.ndarray, num_frames: int) -> np.ndarray:
        length = len(known) // max(num_frames - len(known), 1)  # flows per segment
        places = [self._places(t + t // length) for t in range(len(known))]
        return np.stack([self._known(*pair) for pair in zip(known, places, strict=True)])

    def _known(self, known: np.ndarray, places: np.ndarray) -> np.ndarray:
        unknown = _sampled((~known).astype(np.float32), places)
        return (unknown == 0) & _inside(places, *known.shape)

    def _places(self, time: int) -> np.ndarray:
        """Returns `A_t q` for every pixel q of the result, `[h, w, 2]` float64."""
        return _moved(self.matrix(time), _grid(self.size))

    def _frame(self, frame: np.ndarray, time: int) -> np.ndarray:
        places = self._places(time)
        height, width = frame.shape[:2]
        # Side in frame pixels of one result pixel: averaging over it prevents aliasing.
        covers = np.sqrt(abs(np.linalg.det(self.matrix(time))))
        if covers > 1:
            small = (max(1, round(width / covers)), max(1, round(height / covers)))
            frame = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
            places = (places + 0.5) * (np.array(small) / (width, height)) - 0.5
        return _sampled(frame, places)

    def _flow(self, flow: np.ndarray, known: np.ndarray, time: int):
        places = self._places(time)
        ends = places + _sampled(flow, places)
        new = _moved(np.linalg.inv(self.matrix(time + 1)), ends) - _grid(self.size)
        mask = self._known(known, places)
        return np.where(mask[..., None], new, 0).astype(np.float32), mask


@dataclasses.dataclass(frozen=True)
class FlowNetAugmentation:
    """Policy that draws a `MovingView`; replaces `RandomCrop` for data with true flow.

    Draws are repeated until the window is inside the image for the first two frames. If no draw
    fits, the window is a centered crop that does not move.

    Attributes:
        size: (height, width) of the result.
        scales: range of the sides of the window relative to the largest one with the aspect ratio
            of `size`. FlowNet zooms by 0.9 to 2; below 1 the window would not fit.
        rotation: largest angle in degrees; FlowNet: 17.
        translation: largest offset of the window from the center, relative to the sides of the
            image; FlowNet: 0.2.
        step_rotation: largest angle between two frames in degrees. This and the other settings of
            the motion between frames are guessed: the paper does not report them.
        step_zoom: largest logarithm of the zoom between two frames.
        step_translation: largest shift between two frames, relative to the sides of `size`.
        flip_probability: probability of mirroring left and right.
    """

    size: tuple[int, int]
    scales: tuple[float, float] = (0.5, 1.0)
    rotation: float = 17.0
    translation: float = 0.2
    step_rotation: float = 1.7  # guessed
    step_zoom: float = 0.03  # guessed
    step_translation: float = 0.03  # guessed
    flip_probability: float = 0.5

    def draw(self, height: int, width: int, rng: np.random.Generator) -> MovingView:
        """Draws a view for images of that size."""
        flip = bool(rng.random() < self.flip_probability)
        corners = _grid(self.size)[:: max(1, self.size[0] - 1), :: max(1, self.size[1] - 1)]
        for _ in range(_TRIES):
            shift = self.translation * rng.uniform(-1, 1, 2) * (width, height)
            view = self._view(
                height,
                width,
                scale=rng.uniform(*self.scales),
                angle=self.rotation * rng.uniform(-1, 1),
                shift=shift,
                flip=flip,
            )
            step_shift = self.step_translation * rng.uniform(-1, 1, 2) * self.size[::-1]
            step = _similarity(
                _center(self.size),
                _center(self.size) + step_shift,
                np.exp(self.step_zoom * rng.uniform(-1, 1)),
                self.step_rotation * rng.uniform(-1, 1),
            )
            found = MovingView(view, step, tuple(self.size))
            if all(_inside(_moved(found.matrix(t), corners), height, width).all() for t in (0, 1)):
                return found
        view = self._view(
            height, width, scale=self.scales[0], angle=0, shift=np.zeros(2), flip=flip
        )
        return MovingView(view, np.eye(3), tuple(self.size))

    def _view(self, height, width, *, scale, angle, shift, flip) -> np.ndarray:
        """Returns the matrix of a window at `shift` px from the center of the image."""
        to_picture = scale * min(height / self.size[0], width / self.size[1])
        center = _center((height, width)) + shift
        view = _similarity(_center(self.size), center, to_picture, angle)
        mirror = np.array([[-1, 0, self.size[1] - 1], [0, 1, 0], [0, 0, 1]], np.float64)
        return view @ mirror if flip else view


def _similarity(source: np.ndarray, target: np.ndarray, scale: float, angle: float) -> np.ndarray:
    """Returns the `[3, 3]` map of `source` to `target`; `angle` in degrees, clockwise."""
    cos, sin = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    matrix[:2, 2] = target - matrix[:2, :2] @ source
    return matrix


def _center(size: tuple[int, int]) -> np.ndarray:
    """Returns (x, y) of the center of an image of (height, width)."""
    return (np.array(size[::-1], np.float64) - 1) / 2


def _grid(size: tuple[int, int]) -> np.ndarray:
    """Returns (x, y) of each pixel, `[h, w, 2]` float64."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    return np.stack([columns, rows], -1)


def _moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies an affine `[3, 3]` matrix to `[..., 2]` points."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def _inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns whether points are inside an image; pixels extend 0.5 px around their centers."""
    return (
        (points >= -0.5 - 1e-9) & (points <= np.array([width, height], np.float64) - 0.5 + 1e-9)
    ).all(-1)


def _sampled(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Samples `[H, W]` or `[H, W, C]` bilinearly at (x, y) `[h, w, 2]`; border values outside."""
    x, y = np.moveaxis(points.astype(np.float32), -1, 0)
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
