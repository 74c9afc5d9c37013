"""Small pictures, flows and videos for seeds, the same ones each time."""

import io
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

# Not libsvtav1: as root it gives the calling thread real-time priority, which starves the machine.
AV1_FILE = Path(__file__).with_name("av1.mp4")
# (container, codec, pixel format); those whose encoder is missing are left out.
VIDEOS = (
    *(("avi", "mpeg4", "yuv420p"), ("mp4", "libx264", "yuv420p"), ("matroska", "ffv1", "yuv420p")),
    *(
        ("webm", "libvpx", "yuv420p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("avi", "mjpeg", "yuvj420p"),
    ),
    *(("mpegts", "mpeg2video", "yuv420p"), ("mpeg", "mpeg1video", "yuv420p")),
    *(("flv", "flv", "yuv420p"), ("ogg", "libtheora", "yuv420p"), ("asf", "wmv2", "yuv420p")),
    *(("gif", "gif", "rgb8"), ("mov", "prores_ks", "yuv422p10le"), ("mp4", "libx265", "yuv420p")),
    *(("mp4", "libaom-av1", "yuv420p"), ("mov", "qtrle", "rgb24"), ("mp4", "mpeg4", "yuv420p")),
)


def frames(count: int = 10, height: int = 48, width: int = 64) -> np.ndarray:
    """A square that moves over a gradient, `[count, height, width, 3]` uint8."""
    y, x = np.mgrid[:height, :width]
    result = np.empty((count, height, width, 3), np.uint8)
    for t in range(count):
        result[t] = np.stack([4 * x + 3 * t, 5 * y, 2 * x + 2 * y], -1)
        result[t, 8 : 8 + height // 3, 2 + 3 * t : 2 + 3 * t + width // 4] = (220, 40, 20 * t)
    return result


def flow(height: int = 6, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A smooth flow `[height, width, 2]` and its mask with a few unknown pixels."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    known = np.ones((height, width), bool)
    known[1, 2:4] = False
    return np.stack([x / 4 - 1, 2 - y / 3], -1), known


def picture(extension: str, values: np.ndarray) -> bytes:
    """A picture file; `values` are in OpenCV's order of channels."""
    return cv2.imencode(extension, values)[1].tobytes()


def video(container: str, codec: str, pixels: str, clip: np.ndarray | None = None) -> bytes | None:
    """A video file; None if this PyAV cannot write it."""
    clip = frames() if clip is None else clip
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=10)
            stream.height, stream.width = clip.shape[1:3]
            stream.pix_fmt = pixels
            stream.codec_context.time_base = Fraction(1, 10)
            stream.codec_context.gop_size = 4
            stream.codec_context.thread_count = 1
            for image in clip:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError, OSError):
        return None
    return file.getvalue()
