"""`.pfm` files: portable float maps.

Three lines of text: "PF" (three channels) or "Pf" (one), "width height", and a scale, which is
negative for little-endian data. Then 32-bit floats, the *bottom* row first. Programs do not agree
on the meaning of the scale's magnitude; it is ignored. Before the width, the height and the scale,
there may be comments, from # to the end of the line.
"""

import os
import re
from pathlib import Path

import numpy as np

from afn_jax.data.files.picture_size import MOST_PIXELS

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])++"  # comments run to the end of their line
# "++" and "*+" never try a shorter match again, which would take seconds for long digits.
_NUMBER = rb"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d{1,3})?"
_HEADER = re.compile(
    rb"(P[Ff])%b([+-]?\d{1,18})%b([+-]?\d{1,18})%b(%b)(?:\r\n|\s)" % (_GAP, _GAP, _GAP, _NUMBER)
)
_LONGEST_HEADER = 10_000  # bytes; guessed: room for comments


def read_pfm(path: str | Path) -> np.ndarray:
    """Reads a `.pfm` file.

    Returns:
        `[H, W, 3]` ("PF") or `[H, W]` ("Pf") float32, the top row first.

    Raises:
        ValueError: the file is not a `.pfm` file, or its size contradicts its header.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        start, size = file.read(_LONGEST_HEADER), os.fstat(file.fileno()).st_size
        header = _HEADER.match(start)
        width, height = _checked_size(path, header, size)
        data = start[header.end() :] + file.read()
    values = np.frombuffer(data, "<f4" if float(header[4]) < 0 else ">f4")
    values = values.reshape((height, width, 3) if header[1] == b"PF" else (height, width))
    return np.ascontiguousarray(values[::-1], np.float32)


def _checked_size(path: str | Path, header: re.Match | None, size: int) -> tuple[int, int]:
    """Returns width and height; raises ValueError unless a file of `size` bytes holds them."""
    if not header:
        raise ValueError(
            f"{path}: not a .pfm file: it does not start with PF or Pf, width, height and scale"
        )
    channels = 3 if header[1] == b"PF" else 1
    width, height, scale = int(header[2]), int(header[3]), float(header[4])
    if width <= 0 or height <= 0 or width * height > MOST_PIXELS or not scale:
        raise ValueError(
            f"{path}: the header says {width} x {height} pixels, scale {scale:g}; the file is "
            "damaged"
        )
    expected = header.end() + 4 * width * height * channels
    if size != expected:
        raise ValueError(
            f"{path}: {size} bytes, but a map of {width} x {height} pixels with {channels} "
            f"channel(s) has {expected}; the file is truncated or its header is wrong"
        )
    return width, height


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
