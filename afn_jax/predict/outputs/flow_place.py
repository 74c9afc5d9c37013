"""Places the flow of windows on the frames of a video."""

from collections.abc import Iterator

import cv2
import numpy as np

from afn_jax.data.transforms.crops import SpatialTransform
from afn_jax.predict.predictor import Predicted


class FlowPlace:
    """Returns one flow per frame from those of overlapping windows.

    If several windows have a flow that starts at a frame, the last window counts: a window's last
    flow may be one into the unseen future. In a window that repeats a short video, flows from a
    frame back to an earlier one are left out.
    """

    def __init__(self, size: tuple[int, int], crop: SpatialTransform, flow_starts: tuple[int, ...]):
        """Takes what is needed to place a flow.

        Args:
            size: (height, width) of the frames.
            crop: the box of them that the network sees.
            flow_starts: frame of the window at which each flow starts.
        """
        self._size, self._crop, self._flow_starts = size, crop, flow_starts
        self._waiting: dict[int, np.ndarray] = {}

    def add(self, result: Predicted) -> Iterator[tuple[int, np.ndarray]]:
        """Takes the next result; yields (frame, flow) for the frames before its window."""
        yield from self._before(result.window.first)
        if result.flow is None:
            return
        numbers = result.window.indices.tolist()
        repeats, found = len(set(numbers)) < len(numbers), {}
        for start, flow in zip(self._flow_starts, result.flow, strict=True):
            following = numbers[start + 1] if start + 1 < len(numbers) else None
            if repeats and (following is None or following <= numbers[start]):
                continue
            found.setdefault(numbers[start], flow)
        self._waiting |= found

    def rest(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields what remains."""
        yield from self._before(None)

    def _before(self, frame: int | None) -> Iterator[tuple[int, np.ndarray]]:
        for number in sorted(self._waiting):
            if frame is not None and number >= frame:
                break
            yield number, self.placed(self._waiting.pop(number))

    def placed(self, flow: np.ndarray) -> np.ndarray:
        """Returns a flow on the whole frame, `[H, W, 2]` in its pixels; NaN outside the crop."""
        crop = self._crop
        scale = np.array([crop.width / flow.shape[1], crop.height / flow.shape[0]], np.float32)
        if flow.shape[:2] != (crop.height, crop.width):
            size = crop.width, crop.height
            flow = cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR)
        flow = flow * scale
        if flow.shape[:2] == tuple(self._size):
            return flow
        whole = np.full((*self._size, 2), np.nan, np.float32)
        whole[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] = flow
        return whole
