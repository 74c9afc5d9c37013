"""`.pfm` files: portable float maps.

Three lines of text: "PF" (three channels) or "Pf" (one), "width height", and a scale, which is
negative for little-endian data. Then 32-bit floats, the *bottom* row first. Programs do not agree
on the meaning of the scale's magnitude; it is ignored.
"""

import re
from pathlib import Path

import numpy as np

_HEADER = re.compile(
    rb"(P[Ff])\s+([+-]?\d+)\s+([+-]?\d+)\s+([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\r\n|\s)"
)
_LARGEST_SIDE = 100_000  # pixels; a longer side means a damaged header


def read_pfm(path: str | Path) -> np.ndarray:
    """Reads a `.pfm` file.

    Returns:
        `[H, W, 3]` ("PF") or `[H, W]` ("Pf") float32, the top row first.

    Raises:
        ValueError: the file is not a `.pfm` file, or its size contradicts its header.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    header = _HEADER.match(data[:256])
    if not header:
        raise ValueError(
            f"{path}: not a .pfm file: it does not start with PF or Pf, width, height and scale"
        )
    channels = 3 if header[1] == b"PF" else 1
    width, height, scale = int(header[2]), int(header[3]), float(header[4])
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE and scale):
        raise ValueError(
            f"{path}: the header says {width} x {height} pixels, scale {scale:g}; the file is "
            "damaged"
        )
    expected = header.end() + 4 * width * height * channels
    if len(data) != expected:
        raise ValueError(
            f"{path}: {len(data)} bytes, but a map of {width} x {height} pixels with {channels} "
            f"channel(s) has {expected}; the file is truncated or its header is wrong"
        )
    values = np.frombuffer(data, "<f4" if scale < 0 else ">f4", offset=header.end())
    values = values.reshape((height, width, 3) if channels == 3 else (height, width))
    return np.ascontiguousarray(values[::-1], np.float32)


def write_pfm(path: str | Path, values: np.ndarray) -> None:
    """Writes a `.pfm` file, little-endian.

    Args:
        path: the file.
        values: `[H, W, 3]` or `[H, W]`, the top row first; stored as float32.

    Raises:
        ValueError: values of another shape.
        OSError: it cannot be written.
    """
    values = np.asarray(values, "<f4")
    if not values.size or not (values.ndim == 2 or values.ndim == 3 and values.shape[-1] == 3):
        raise ValueError(f"values has shape {values.shape}; a .pfm file holds [H, W, 3] or [H, W]")
    kind = "PF" if values.ndim == 3 else "Pf"
    header = f"{kind}\n{values.shape[1]} {values.shape[0]}\n-1\n"
    Path(path).write_bytes(header.encode() + values[::-1].tobytes())
