"""Flow files: Middlebury's `.flo`, KITTI's 16-bit `.png` and FlyingThings3D's `.pfm`.

`read_flow` and `write_flow` choose the format by the file extension. In every format a flow is
`[H, W, 2]`, (x, y) = (right, down) in pixels, with a mask of the pixels where it is known.

`.flo`: the number 202021.25, width and height as 32-bit integers, then (x, y) as 32-bit floats row
by row, all little-endian. Components above 1e9 mean unknown.

KITTI's `.png`: three channels of 16 bits: x * 64 + 32768, y * 64 + 32768, and 1 where the flow is
known, else 0. So x and y are in [-512, 512), in steps of 1/64.

`.pfm`: three channels: x, y and an unused one.
"""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from afn_jax.data.files.image import decode_picture
from afn_jax.data.files.pfm import read_pfm, write_pfm
from afn_jax.data.files.picture_size import MOST_PIXELS

_MAGIC = np.float32(202021.25)
_LARGEST_KNOWN = 1e9
_UNKNOWN = np.float32(1e10)
_KITTI_SCALE, _KITTI_ZERO, _KITTI_MOST = 64, 2**15, 2**16 - 1


def read_flow(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads a `.flo`, a KITTI `.png` or a `.pfm` file.

    Returns:
        The flow, `[H, W, 2]` float32, (x, y) = (right, down) in pixels, 0 where it is unknown; and
        a mask, `[H, W]` bool, True where it is known.

    Raises:
        ValueError: unknown extension, or the file is damaged or has a different format.
        OSError: it cannot be read.
    """
    return _format(path)[0](path)


def write_flow(path: str | Path, flow: np.ndarray, known: np.ndarray | None = None) -> None:
    """Writes a `.flo`, a KITTI `.png` or a `.pfm` file.

    Args:
        path: the file.
        flow: `[H, W, 2]`, (x, y) in pixels.
        known: `[H, W]` bool, False where the flow is unknown; None: all known.

    Raises:
        ValueError: unknown extension, wrong shapes, or values that the format cannot hold.
        OSError: it cannot be written.
    """
    _format(path)[1](path, flow, known)


def read_flo(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads a `.flo` file; result and errors as in `read_flow`."""
    with open(path, "rb") as file:
        header, size = file.read(12), os.fstat(file.fileno()).st_size
        if len(header) < 12 or np.frombuffer(header, "<f4", 1)[0] != _MAGIC:
            raise ValueError(
                f"{path}: not a .flo file: it does not start with the number 202021.25"
            )
        width, height = (int(side) for side in np.frombuffer(header, "<i4", 2, offset=4))
        if width <= 0 or height <= 0 or width * height > MOST_PIXELS:
            raise ValueError(
                f"{path}: the header says {width} x {height} pixels; the file is damaged"
            )
        expected = 12 + 8 * width * height
        if size != expected:
            raise ValueError(
                f"{path}: {size} bytes, but a flow of {width} x {height} pixels has {expected}; "
                "the file is truncated or its header is wrong"
            )
        data = file.read()
    return _masked(np.frombuffer(data, "<f4").reshape(height, width, 2))


def write_flo(path: str | Path, flow: np.ndarray, known: np.ndarray | None = None) -> None:
    """Writes a `.flo` file; arguments and errors as in `write_flow`."""
    flow = _marked(flow, known)
    height, width = flow.shape[:2]
    with open(path, "wb") as file:
        file.write(_MAGIC.astype("<f4").tobytes())
        file.write(np.array([width, height], "<i4").tobytes())
        file.write(flow.astype("<f4").tobytes())


def read_kitti_png(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads KITTI's 16-bit PNG; result and errors as in `read_flow`."""
    picture = decode_picture(path, cv2.IMREAD_UNCHANGED)
    if picture.dtype != np.uint16 or picture.ndim != 3 or picture.shape[-1] != 3:
        channels = picture.shape[-1] if picture.ndim == 3 else 1
        raise ValueError(
            f"{path}: an image of {8 * picture.itemsize} bits and {channels} channel(s), but "
            "KITTI's flow has 16 bits and 3 channels; give a file from flow_occ or flow_noc"
        )
    blue, green, red = np.moveaxis(picture, -1, 0)  # OpenCV's order
    known = blue > 0
    flow = np.empty((*known.shape, 2), np.float32)
    flow[..., 0], flow[..., 1] = red, green
    flow -= _KITTI_ZERO  # in place: a large flow takes a gigabyte
    flow /= _KITTI_SCALE
    flow[~known] = 0
    return flow, known


def write_kitti_png(path: str | Path, flow: np.ndarray, known: np.ndarray | None = None) -> None:
    """Writes KITTI's 16-bit PNG, rounded to 1/64 px; arguments and errors as in `write_flow`."""
    flow = _marked(flow, known)
    known = np.ones(flow.shape[:2], bool) if known is None else np.asarray(known, bool)
    values = np.rint(np.where(known[..., None], flow, 0) * _KITTI_SCALE) + _KITTI_ZERO
    if not ((values >= 0) & (values <= _KITTI_MOST)).all():
        raise ValueError(
            f"flow: from {flow[known].min():g} to {flow[known].max():g} px, but KITTI's PNG holds "
            "-512 to 511.98; mark larger ones as unknown, or write .flo"
        )
    values *= known[..., None]
    picture = np.stack([known, values[..., 1], values[..., 0]], -1).astype(np.uint16)
    _, encoded = cv2.imencode(".png", picture)
    Path(path).write_bytes(encoded.tobytes())


def _read_pfm(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    values = read_pfm(path)
    if values.ndim != 3:
        raise ValueError(
            f"{path}: one channel, but flow has three (x, y and an unused one); this may be a "
            "disparity map or a weight map"
        )
    return _masked(values[..., :2])


def _write_pfm(path: str | Path, flow: np.ndarray, known: np.ndarray | None = None) -> None:
    write_pfm(path, np.pad(_marked(flow, known), ((0, 0), (0, 0), (0, 1))))


def _masked(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = (np.abs(flow) <= _LARGEST_KNOWN).all(-1)  # False for NaN too
    return np.where(known[..., None], flow, np.float32(0)).astype(np.float32), known


def _marked(flow: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Returns the flow as float32, with `_UNKNOWN` where it is not known."""
    flow = np.asarray(flow, np.float32)
    if flow.ndim != 3 or flow.shape[-1] != 2 or not flow.size:
        raise ValueError(f"flow has shape {flow.shape}; a flow file holds [H, W, 2]")
    if known is None:
        return flow
    if np.shape(known) != flow.shape[:2]:
        raise ValueError(f"known has shape {np.shape(known)}; it must be {flow.shape[:2]}")
    return np.where(np.asarray(known)[..., None], flow, _UNKNOWN)


_FORMATS: dict[str, tuple[Callable, Callable]] = {
    ".flo": (read_flo, write_flo),
    ".png": (read_kitti_png, write_kitti_png),
    ".pfm": (_read_pfm, _write_pfm),
}


def _format(path: str | Path) -> tuple[Callable, Callable]:
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"path: {str(path)!r} ends in {suffix!r}; allowed: {[*_FORMATS]}")
    return _FORMATS[suffix]
