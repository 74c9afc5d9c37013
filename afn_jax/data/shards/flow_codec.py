"""Compression of flow: lossy, bounded, with a mask.

The two-stream papers store two gray JPEG images, x and y, each mapped from +-20 px to 0..255. Here
x is above y in one gray JPEG image, and the mapping is from +-r, the actual range of the flow: for
slow motion, 8 bits are then much finer than 40 px / 255. The JPEG quality decreases with the range,
such that the JPEG quantization in *pixels of motion* equals that of an image of the full range, so
slow motion takes few bytes. Zero is stored exactly.

Layout, little-endian: float32 r; uint32 length of the image; the JPEG image `[2H, W]`, level
128 + flow * 127 / r; then, unless everything is known, the zlib-compressed bits of the mask by
rows. A flow that is zero everywhere has r = 0 and no image.
"""

import dataclasses
import struct
import zlib
from typing import Annotated

import cv2
import numpy as np

from afn_jax.limits import Limits, check_limits

_HEADER = struct.Struct("<fI")
_ZERO, _LEVELS = 128, 127
_LARGEST_BOUND = 1e4  # px


@dataclasses.dataclass(frozen=True)
class FlowFormat:
    """Format of stored flow.

    Attributes:
        bound: largest component in px. Larger motion is clipped and marked as unknown.
        quality: JPEG quality for flow that uses the whole range, 1 to 100.
    """

    bound: Annotated[float, Limits(above=0, below=_LARGEST_BOUND)] = 20.0
    quality: Annotated[int, Limits(1, 100)] = 95

    def __post_init__(self) -> None:
        check_limits(self)


def encode_flow(flow: np.ndarray, known: np.ndarray | None, form: FlowFormat) -> bytes:
    """Compresses one flow field.

    Args:
        flow: `[H, W, 2]`, (x, y) in pixels.
        known: `[H, W]` bool, False where the flow is unknown; None: all known. Flow that is not
            finite or exceeds the bound is always unknown.
        form: the bound and the quality.
    """
    flow = np.asarray(flow, np.float32)
    usable = (np.abs(flow) <= form.bound).all(-1)  # False for NaN too
    if known is not None:
        usable &= known
    # Clipped, not zeroed: a hole would take more bytes and distort neighboring pixels.
    flow = np.clip(np.nan_to_num(flow, posinf=np.inf, neginf=-np.inf), -form.bound, form.bound)
    reach = float(np.abs(flow).max())
    picture = b""
    if reach > 0:
        levels = np.rint(flow.transpose(2, 0, 1) * (_LEVELS / reach)) + _ZERO
        gray = levels.astype(np.uint8).reshape(-1, flow.shape[1])
        quality = _quality(reach, form)
        settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        picture = cv2.imencode(".jpg", gray, settings)[1].tobytes()
    mask = b"" if usable.all() else zlib.compress(np.packbits(usable).tobytes())
    return _HEADER.pack(reach, len(picture)) + picture + mask


def decode_flow(data: bytes | memoryview, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Decompresses the result of `encode_flow`.

    Args:
        data: the byte string.
        size: (height, width) of the flow.

    Returns:
        `[H, W, 2]` float32 in pixels, and `[H, W]` bool, True where it is known.

    Raises:
        ValueError: the bytes are damaged, or the flow has another size.
    """
    try:
        reach, length = _HEADER.unpack_from(data)
        if not 0 <= reach <= _LARGEST_BOUND:  # False for NaN too
            raise ValueError(f"its range is {reach} px")
        start, end = _HEADER.size, _HEADER.size + length
        flow = np.zeros((*size, 2), np.float32)
        if length:
            gray = cv2.imdecode(np.frombuffer(data[start:end], np.uint8), cv2.IMREAD_GRAYSCALE)
            x, y = np.maximum(gray, _ZERO - _LEVELS, out=gray).reshape(2, *size)
            step = np.float32(reach / _LEVELS)
            np.multiply(cv2.merge([x, y]), step, out=flow)
            flow -= _ZERO * step
        known = np.ones(size, bool)
        if len(data) > end:
            bits = np.frombuffer(zlib.decompress(data[end:]), np.uint8)
            known = np.unpackbits(bits, count=known.size).astype(bool).reshape(size)
    except (struct.error, cv2.error, zlib.error, TypeError, ValueError) as error:
        raise ValueError(f"not a stored flow of (height, width) = {size}: {error}") from error
    return flow, known


def _quality(reach: float, form: FlowFormat) -> int:
    """Returns the JPEG quality whose quantization in pixels equals that of the full range.

    libjpeg multiplies its tables by 2 - quality / 50, or by 50 / quality below 50.
    """
    scale = 2 - form.quality / 50 if form.quality >= 50 else 50 / form.quality
    scale *= form.bound / reach
    quality = 100 - 50 * scale if scale <= 1 else 50 / scale
    return int(np.clip(round(quality), 1, 100))
