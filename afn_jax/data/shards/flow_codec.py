"""Flow as a small byte string: lossy, bounded, with a mask.

What the two-stream papers store is two grey JPEG pictures, x and y, each mapped from +-20 px to
0..255. Here x stands above y in one grey JPEG picture, and the mapping is from +-r, the range that
the picture really has: for slow motion 8 bits are far finer than 40 px / 255. The quality of the
JPEG falls with the range such that the error in *pixels of motion* stays what a picture of the full
range would have; so a slow picture costs few bytes. Zero is stored exactly.

Layout, little-endian: float32 r; uint32 length of the picture; the JPEG picture `[2H, W]`, level
128 + flow * 127 / r; then, unless all is known, the zlib-compressed bits of the mask, by rows. A
flow that is zero everywhere has r = 0 and no picture.
"""

import dataclasses
import struct
import zlib

import cv2
import numpy as np

_HEADER = struct.Struct("<fI")
_ZERO, _LEVELS = 128, 127


@dataclasses.dataclass(frozen=True)
class FlowFormat:
    """How flow is stored.

    Attributes:
        bound: largest component in px. What moves more is clipped to it, and marked as unknown.
        quality: of the JPEG picture of a flow that uses the whole range, 1 to 100.
    """

    bound: float = 20.0
    quality: int = 95

    def __post_init__(self):
        if not 0 < self.bound < 1e4:
            raise ValueError(f"bound: got {self.bound}; give a number of pixels, such as 20")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality: got {self.quality}; give 1 to 100, such as 95")


def encode_flow(flow: np.ndarray, known: np.ndarray | None, form: FlowFormat) -> bytes:
    """Compresses one flow field.

    Args:
        flow: `[H, W, 2]`, (x, y) in pixels.
        known: `[H, W]` bool, False where `flow` means nothing; None: all known. Where flow is not
            finite or beyond the bound it is unknown anyway.
        form: the bound, and the quality.
    """
    flow = np.asarray(flow, np.float32)
    if flow.ndim != 3 or flow.shape[-1] != 2 or not flow.size:
        raise ValueError(f"flow: got shape {flow.shape}; give [H, W, 2]")
    usable = (np.abs(flow) <= form.bound).all(-1)  # False for NaN too
    if known is not None:
        usable &= known
    # Clipped, not zeroed: a hole would cost bytes and spoil its neighbours.
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
    """Gives back the flow that `encode_flow` compressed.

    Args:
        data: the byte string.
        size: (height, width) of the flow.

    Returns:
        `[H, W, 2]` float32 in pixels, and `[H, W]` bool, True where it is known.

    Raises:
        ValueError: the bytes are damaged, or of another size.
    """
    try:
        reach, length = _HEADER.unpack_from(data)
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
        raise ValueError(f"this is no stored flow of (height, width) = {size}: {error}") from error
    return flow, known


def _quality(reach: float, form: FlowFormat) -> int:
    """The JPEG quality at which the quantisation is as coarse, in pixels, as asked for.

    libjpeg multiplies its tables by 2 - quality / 50, below 50 by 50 / quality.
    """
    scale = 2 - form.quality / 50 if form.quality >= 50 else 50 / form.quality
    scale *= form.bound / reach
    quality = 100 - 50 * scale if scale <= 1 else 50 / scale
    return int(np.clip(round(quality), 1, 100))
