"""Reading of image files (`.png`, `.ppm` and whatever else OpenCV supports)."""

from pathlib import Path

import cv2
import numpy as np

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB\x60\x82"


def decode_picture(path: str | Path, flags: int) -> np.ndarray:
    """Decodes a file with `cv2.imdecode` and its `flags`.

    Raises:
        ValueError: the file is not an image, or is truncated.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    # OpenCV can accept a truncated PNG and leave the rest of it black.
    whole = not data.startswith(_PNG_START) or _PNG_END in data[-64:]
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data and whole else None
    if picture is None:
        problem = "not an image that OpenCV can read" if whole else "a truncated PNG"
        raise ValueError(f"{path}: {problem} ({len(data)} bytes); download the file again")
    return picture


def read_picture(path: str | Path) -> np.ndarray:
    """Reads an image, `[H, W, 3]` uint8, RGB. Raises the errors of `decode_picture`."""
    return cv2.cvtColor(decode_picture(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask, `[H, W]` bool, True where the image is not black; errors as above."""
    return decode_picture(path, cv2.IMREAD_GRAYSCALE) > 0
