"""Flow teachers: classical methods that estimate target flow for datasets without it.

Flow is (x, y) in pixels: the flow of frame t leads from each of its pixels to frame t + 1.
"""

import dataclasses
import importlib
import threading
from typing import ClassVar, Protocol

import cv2
import numpy as np

from afn_jax.near_names import unknown_name

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_MIN_SIDE = 12  # pixels; DIS rejects smaller images
# For small frames DIS chooses its scales by their width alone. Where the height is then too small
# for a patch, it reads beyond its arrays and crashes (OpenCV 4.11 and 5.0). Such frames are
# transposed.
_LOW, _WIDE = 32, 2  # height in pixels, width / height

# One solver per thread, because it owns buffers; kept outside the teacher, which gets pickled. With
# the size of the frames: for small ones, OpenCV changes the scales of a solver, and it keeps them.
_solvers = threading.local()


class FlowTeacher(Protocol):
    """Estimates the flow between neighboring frames.

    Attributes:
        name: its key in `TEACHERS`.
    """

    name: str

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """`[N, H, W, 3]` uint8 RGB -> `[N - 1, H, W, 2]` float32, in pixels."""
        ...


@dataclasses.dataclass(frozen=True)
class DISTeacher:
    """OpenCV's dense inverse search (Kroeger et al., "Fast Optical Flow using DIS", 2016).

    Frames with a side under 12 pixels are enlarged first and their flow is scaled back. OpenCV is
    set to one thread, so that the flow is the same on every machine.

    Attributes:
        preset: "ultrafast", "fast" or "medium", fastest first.
    """

    preset: str = "fast"
    name: ClassVar[str] = "dis"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """`[N, H, W, 3]` uint8 RGB -> `[N - 1, H, W, 2]` float32, in pixels."""
        num_frames, height, width, _ = frames.shape
        flows = np.empty((max(num_frames - 1, 0), height, width, 2), np.float32)
        enlarge = -(-_MIN_SIDE // min(height, width))  # rounded up
        gray = [self._gray(frame, enlarge) for frame in frames]
        transposed = height * enlarge < _LOW and width > _WIDE * height
        if transposed:
            gray = [np.ascontiguousarray(frame.T) for frame in gray]
        for t in range(len(flows)):
            flow = self._solver(gray[t].shape).calc(gray[t], gray[t + 1], None)
            if transposed:
                flow = np.ascontiguousarray(flow.transpose(1, 0, 2)[..., ::-1])
            if enlarge > 1:
                flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / enlarge
            flows[t] = flow
        return flows

    def _gray(self, frame: np.ndarray, enlarge: int) -> np.ndarray:
        gray = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        if enlarge == 1:
            return gray
        return cv2.resize(gray, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)

    def _solver(self, size: tuple[int, ...]):
        known, solver = _solvers.__dict__.get(self.preset, (None, None))
        if known != size:
            # The flow depends slightly on the number of threads, which varies between machines.
            cv2.setNumThreads(1)
            solver = cv2.DISOpticalFlow_create(_PRESETS[self.preset])
            _solvers.__dict__[self.preset] = size, solver
        return solver


# The training step estimates the flow; the pipeline has no teacher then.
ON_DEVICE = "device-tvl1"
# Name -> (module, class). Imported on demand: a process that only loads data never starts JAX.
TEACHERS = {
    "dis": ("afn_jax.data.teacher", "DISTeacher"),
    "tvl1": ("afn_jax.tvl1_teacher", "TVL1Teacher"),
}


def create_teacher(name: str) -> FlowTeacher:
    """Creates a teacher by name.

    Raises:
        ValueError: unknown name.
    """
    if name not in TEACHERS:
        raise ValueError(unknown_name("teacher", name, sorted(TEACHERS)))
    module, class_name = TEACHERS[name]
    return getattr(importlib.import_module(module), class_name)()
