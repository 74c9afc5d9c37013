"""Compression of the frames of a prepared video: JPEG images, or short H.264 or VP9 streams.

Frames are coded in independent groups of a fixed length, so that reading a clip decodes only the
groups that it overlaps. JPEG decodes only the requested frames; the video codecs need less space,
but decode a group from its first frame to the last one requested.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Annotated, Literal

import av
import cv2
import numpy as np

from afn_jax.limits import Limits, check_limits

Codec = Literal["jpeg", "h264", "vp9"]
# Default, best and worst quality. For video codecs this is the constant rate factor: low is good.
QUALITIES = {"jpeg": (95, 100, 1), "h264": (20, 0, 51), "vp9": (28, 0, 63)}
# Encoding happens once, so it may be slow; "cpu-used" 4 is a guess between speed and size.
_ENCODERS = {
    "h264": ("libx264", {"preset": "medium"}),
    "vp9": ("libvpx-vp9", {"deadline": "good", "cpu-used": "4", "b": "0"}),
}


@dataclasses.dataclass(frozen=True)
class FrameFormat:
    """Format of stored frames.

    Attributes:
        codec: "jpeg", "h264" or "vp9".
        quality: JPEG: 1 to 100, high is good; h264 (0 to 51) and vp9 (0 to 63): the constant rate
            factor, low is good.
        group: frames that are compressed together.
    """

    codec: Codec = "jpeg"
    quality: int = 95
    group: Annotated[int, Limits(1, 256)] = 16

    def __post_init__(self) -> None:
        check_limits(self)
        lowest, highest = sorted(QUALITIES[self.codec][1:])
        if not lowest <= self.quality <= highest:
            raise ValueError(
                f"quality: got {self.quality}; {self.codec} takes {lowest} to {highest}"
            )


def encode_frames(frames: np.ndarray, form: FrameFormat) -> list[bytes]:
    """Compresses one group.

    Args:
        frames: `[N, H, W, 3]` uint8 RGB, N at most `form.group`.
        form: codec and quality.

    Returns:
        JPEG: one image per frame; otherwise the packets of one stream.
    """
    if form.codec == "jpeg":
        # Huffman tables optimized for the image: 6 % smaller, 4 % faster to decode.
        settings = [cv2.IMWRITE_JPEG_QUALITY, form.quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        pictures = (cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames)
        return [cv2.imencode(".jpg", bgr, settings)[1].tobytes() for bgr in pictures]
    name, options = _ENCODERS[form.codec]
    height, width = frames.shape[1:3]
    # Color has half the resolution: sides must be even.
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "edge")
    encoder = av.CodecContext.create(name, "w")
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", 25, Fraction(1, 25)
    encoder.gop_size = form.group
    encoder.thread_count = 1  # one core per worker process, and reproducible results
    encoder.options = options | {"crf": str(form.quality)}
    packets = []
    for frame in frames:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        packets += encoder.encode(picture.reformat(format="yuv420p"))
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def decode_frames(
    parts: Sequence[bytes | memoryview], wanted: Sequence[int], form: FrameFormat, out: np.ndarray
) -> None:
    """Decodes some frames of one group.

    Args:
        parts: the result of `encode_frames`.
        wanted: `[K]` frame numbers within the group, increasing.
        form: the format in which the group was encoded.
        out: `[K, H, W, 3]` uint8, receives the frames, RGB.

    Raises:
        ValueError: a frame cannot be decoded, or its size differs from that of `out`.
    """
    if form.codec == "jpeg":
        for target, number in zip(out, wanted, strict=True):
            data = np.frombuffer(parts[number], np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
            _fill(target, picture, number)
        return
    targets = dict(zip(wanted, out, strict=True))
    number = -1
    for number, frame in enumerate(_decoded(parts, form.codec)):
        if number in targets:
            picture = cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2RGB_I420)
            _fill(targets[number], picture[: out.shape[1], : out.shape[2]], number)
        if number == wanted[-1]:
            return
    raise ValueError(f"frame {wanted[-1]} of a group is missing; {number + 1} can be decoded")


def _decoded(parts: Sequence[bytes | memoryview], codec: str) -> Iterator[av.VideoFrame]:
    decoder = av.CodecContext.create(codec, "r")
    decoder.thread_count = 1  # more threads would only add latency for so few frames
    try:
        for part in parts:
            yield from decoder.decode(av.Packet(part))
        yield from decoder.decode(None)
    except av.error.FFmpegError as error:
        raise ValueError(f"the {codec} stream of a group is damaged: {error.strerror}") from error


def _fill(target: np.ndarray, picture: np.ndarray | None, number: int) -> None:
    if picture is None or picture.shape != target.shape:
        found = "no image" if picture is None else f"an image of shape {picture.shape}"
        raise ValueError(f"frame {number} of a group: found {found}, expected {target.shape}")
    target[...] = picture
