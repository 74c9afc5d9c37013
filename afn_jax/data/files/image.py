"""Reading of image files (`.png`, `.ppm` and whatever else OpenCV supports)."""

from pathlib import Path

import cv2
import numpy as np

from afn_jax.data.files.picture_size import check_claimed_size


def decode_picture(path: str | Path, flags: int) -> np.ndarray:
    """Decodes a file with `cv2.imdecode` and its `flags`.

    Raises:
        ValueError: the file is not an image, is truncated, or claims a size that it cannot have.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        check_claimed_size(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:  # the header claims more than OpenCV accepts
        picture = None
    if picture is None:
        raise ValueError(
            f"{path}: not an image that OpenCV can read ({len(data)} bytes); download the file "
            "again"
        )
    return picture


def read_picture(path: str | Path) -> np.ndarray:
    """Reads an image, `[H, W, 3]` uint8, RGB. Raises the errors of `decode_picture`."""
    return cv2.cvtColor(decode_picture(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask, `[H, W]` bool, True where the image is not black; errors as above."""
    return decode_picture(path, cv2.IMREAD_GRAYSCALE) > 0
