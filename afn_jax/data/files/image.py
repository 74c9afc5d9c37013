"""Picture files (`.png`, `.ppm` and all else that OpenCV reads) as arrays."""

from pathlib import Path

import cv2
import numpy as np

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB\x60\x82"


def decode_picture(path: str | Path, flags: int) -> np.ndarray:
    """What `cv2.imdecode` makes of a file, with its `flags`.

    Raises:
        ValueError: the file is no picture, or is cut off.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    # OpenCV may take a png that is cut off, and leave the rest of it black.
    whole = not data.startswith(_PNG_START) or _PNG_END in data[-64:]
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data and whole else None
    if picture is None:
        problem = "no picture that OpenCV reads" if whole else "a png that is cut off"
        raise ValueError(f"{path}: {problem} ({len(data)} bytes); fetch the file again")
    return picture


def read_picture(path: str | Path) -> np.ndarray:
    """`[H, W, 3]` uint8, RGB. Raises as `decode_picture`."""
    return cv2.cvtColor(decode_picture(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_mask(path: str | Path) -> np.ndarray:
    """`[H, W]` bool, True where the picture is not black. Raises as `decode_picture`."""
    return decode_picture(path, cv2.IMREAD_GRAYSCALE) > 0
