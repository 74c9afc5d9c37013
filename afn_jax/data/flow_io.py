"""Flow files.

`.flo` is Middlebury's format: the number 202021.25, width and height as 32-bit integers, then
(x, y) as 32-bit floats row by row, all little-endian. Components above 1e9 mean unknown.
"""

from pathlib import Path

import numpy as np

_MAGIC = np.float32(202021.25)
_UNKNOWN = 1e9
_LARGEST_SIDE = 100_000  # pixels; a longer side is no picture but a damaged header


def read_flo(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads a `.flo` file.

    Returns:
        The flow, `[H, W, 2]` float32, (x, y) = (right, down) in pixels, 0 where it is unknown; and
        a mask, `[H, W]` bool, True where it is known.

    Raises:
        ValueError: the file is no `.flo`, or its size is not what its header says.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != _MAGIC:
        raise ValueError(f"{path}: not a .flo file: it does not start with the number 202021.25")
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, offset=4))
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise ValueError(f"{path}: the header says {width} x {height} pixels; the file is damaged")
    expected = 12 + 8 * width * height
    if len(data) != expected:
        raise ValueError(
            f"{path}: {len(data)} bytes, but a flow of {width} x {height} pixels has {expected}; "
            "the file is cut off or its header is wrong"
        )
    flow = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)
    known = (np.abs(flow) <= _UNKNOWN).all(-1)  # False for NaN too
    return np.where(known[..., None], flow, np.float32(0)), known


def write_flo(path: str | Path, flow: np.ndarray, known: np.ndarray | None = None) -> None:
    """Writes a `.flo` file.

    Args:
        path: of the file.
        flow: `[H, W, 2]`, (x, y) in pixels.
        known: `[H, W]` bool; what is False is marked as unknown. None = all known.

    Raises:
        ValueError: shapes that are no flow.
        OSError: it cannot be written.
    """
    flow = np.asarray(flow, np.float32)
    if flow.ndim != 3 or flow.shape[-1] != 2 or not flow.size:
        raise ValueError(f"flow has shape {flow.shape}; a .flo file holds [H, W, 2]")
    if known is not None:
        if np.shape(known) != flow.shape[:2]:
            raise ValueError(f"known has shape {np.shape(known)}; it must be {flow.shape[:2]}")
        flow = np.where(np.asarray(known)[..., None], flow, np.float32(1e10))
    height, width = flow.shape[:2]
    with open(path, "wb") as file:
        file.write(_MAGIC.astype("<f4").tobytes())
        file.write(np.array([width, height], "<i4").tobytes())
        file.write(flow.astype("<f4").tobytes())
