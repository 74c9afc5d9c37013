"""Exact random access to the frames of a video file, by number in display order.

Frame numbers are those of a full sequential decode, and `read_frames` never returns a neighbor of
the requested frame. In MP4, Matroska, WebM, and AVI without B-frames, indexing takes one pass over
the packets. Other files are decoded once to count their frames. Reading seeks to the closest key
frame at or before the wanted one if a seek finds the packets of key frames by their times: in the
above, FLV, ASF (WMV), MPEG transport streams and Ogg. Other files are always read from the start:
AVI with B-frames, such as HMDB51's, whose timestamps are swapped, and MPEG program streams. This is
correct, and fast enough for the short videos of action recognition. Convert long ones to MP4.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from afn_jax.data.files.display import (
    ONE_THREAD,
    ShownRGB,
    display_notes,
    pixel_aspect,
    resized,
)
from afn_jax.data.files.seeking import decoded_frames
from afn_jax.data.files.video_index import VideoIndex, index_video
from afn_jax.data.files.video_stream import (
    LENIENT,
    flushes,
    held_back,
    open_video,
    stream_notes,
    video_packets,
)
from afn_jax.data.source import VideoReadError, checked_indices

__all__ = [
    "LENIENT",
    "ONE_THREAD",
    "Decoded",
    "VideoIndex",
    "decode_all",
    "decoded_frames",
    "index_video",
    "read_frames",
]


def read_frames(
    path: str | Path,
    index: VideoIndex,
    indices: Sequence[int] | np.ndarray,
    *,
    short_side: int | None = None,
) -> np.ndarray:
    """Decodes the frames at `indices`, each group of pictures at most once.

    Args:
        path: the file.
        index: of this file, from `index_video`.
        indices: `[T]` frame numbers in `[0, num_frames)`, in any order, with repeats.
        short_side: the shorter side in pixels after resizing; None: no resizing.

    Returns:
        `[T, H, W, 3]` uint8, RGB, as players show them: upright, with square pixels.

    Raises:
        ValueError: an index is outside the video.
        VideoReadError: one of the frames cannot be decoded.
    """
    indices = checked_indices(indices, index.num_frames, path)
    wanted, place = np.unique(indices, return_inverse=True)
    size = resized(index.height, index.width, short_side)
    frames = np.empty((len(wanted), *size, 3), np.uint8)
    to_rgb = ShownRGB(index.height, index.width)
    for target, (_, frame) in zip(frames, decoded_frames(path, index, wanted), strict=True):
        try:
            to_rgb(frame, target)
        except av.error.FFmpegError as error:  # a damaged header claims unknown colors
            raise VideoReadError(f"{path}: its colors cannot be converted ({error})") from error
    return frames if np.array_equal(wanted, indices) else frames[place]


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Result of decoding a whole file.

    Attributes:
        frames: number of decoded frames.
        damaged: number of frames that the decoder rejected or concealed.
        promised: number of frames according to the header; 0 if it does not report it.
        notes: what is done to show the frames, if anything, e.g. ("shown turned clockwise",).
    """

    frames: int
    damaged: int
    promised: int
    notes: tuple[str, ...] = ()


def decode_all(path: str | Path) -> Decoded:
    """Decodes a whole file to check it for damage.

    Raises:
        VideoReadError: the file is missing or is not a video.
    """
    corrupt, refused, flushed, notes = [], 0, False, ()
    with open_video(path) as (container, stream):
        for packet in video_packets(container, stream):
            flushed = flushed or flushes(packet)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                refused += packet.size > 0  # an empty packet repeats the frame before it
                continue
            if frames and not corrupt:
                notes = (
                    *stream_notes(container, stream),
                    *display_notes(frames[0], pixel_aspect(stream)),
                )
            corrupt += [frame.is_corrupt for frame in frames]
        if not flushed:
            corrupt += [frame.is_corrupt for frame in held_back(stream)]
        return Decoded(len(corrupt), sum(corrupt) + refused, stream.frames, notes)
