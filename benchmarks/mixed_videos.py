"""Makes a folder of tiny videos in several codecs and containers."""

import functools
from pathlib import Path

import av
import numpy as np

# (encoder, extension, pixel format, options): those that seek, and those read from the start.
KINDS = (
    ("mpeg4", "avi", "yuv420p", {"bf": "2"}),
    ("libx264", "mp4", "yuv420p", {"g": "8"}),
    ("mjpeg", "avi", "yuvj420p", {}),
    ("libvpx-vp9", "webm", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    ("mpeg4", "mp4", "yuv420p", {}),
    ("libx264", "mkv", "yuv420p", {"bf": "3"}),
    ("mpeg1video", "mpg", "yuv420p", {}),
    ("flv", "flv", "yuv420p", {}),
    ("libvpx", "webm", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    ("libx264", "ts", "yuv420p", {}),
    ("ffv1", "mkv", "yuv420p", {}),
    ("wmv2", "wmv", "yuv420p", {}),
)


@functools.cache
def usable_kinds() -> tuple[tuple, ...]:
    """Returns those of `KINDS` that this build of PyAV encodes."""
    return tuple(kind for kind in KINDS if _encodes(kind[0]))


def _encodes(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except Exception:  # the type of the error differs between versions of PyAV
        return False
    return True


def make_videos(
    folder: Path,
    count: int,
    *,
    classes: int = 3,
    num_frames: int = 12,
    size: tuple[int, int] = (48, 64),
    damaged: bool = True,
) -> Path:
    """Writes `count` videos of moving waves in `classes` subfolders, and returns the folder.

    Args:
        folder: the folder; created.
        count: number of videos; their kinds take turns.
        classes: number of subfolders.
        num_frames: frames per video, and up to six more.
        size: (height, width) in pixels.
        damaged: also write one video whose second half does not decode.
    """
    kinds = usable_kinds()
    for number in range(count):
        name, extension, pixels, options = kinds[number % len(kinds)]
        path = folder / f"class{number % classes}" / f"video{number:03d}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = waves(num_frames + number % 7, size, number)
        _encode(path, name, pixels, options, frames)
    if damaged:
        path = folder / "class0" / "damaged.avi"
        _encode(path, "mjpeg", "yuvj420p", {}, waves(num_frames, size, count))
        _erase_packets(path, first=num_frames // 2)
    return folder


def waves(num_frames: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Returns `[N, H, W, 3]` uint8: waves that move at a speed of their own for each seed."""
    t, y, x, channel = np.ogrid[:num_frames, : size[0], : size[1], :3]
    speed = 0.3 + 0.1 * (seed % 9)
    picture = np.sin(x / 7 + speed * t + channel + seed) + np.cos(y / 5 - 0.4 * t)
    return (127 + 60 * picture).astype(np.uint8)


def _erase_packets(path: Path, first: int) -> None:
    """Sets the packets of an AVI file to zero from number `first` on; they are still counted."""
    data = bytearray(path.read_bytes())
    position = data.index(b"movi") + 4
    number = 0
    while data[position : position + 4] == b"00dc":
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if number >= first:
            data[position + 8 : position + 8 + size] = bytes(size)
        position += 8 + size + size % 2
        number += 1
    path.write_bytes(data)


def _encode(path: Path, name: str, pixels: str, options: dict, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        for image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
