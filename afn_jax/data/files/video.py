"""Exact random access to the frames of a video file, by number in display order.

Frame numbers are those of a full sequential decode, and `read_frames` never returns a neighbor of
the requested frame. In containers with reliable timestamps (MP4, Matroska, WebM, and AVI without
B-frames), indexing takes one pass over the packets, and reading seeks to the closest keyframe at or
before the frame. In other files the demuxer guesses the timestamps: in AVI with B-frames, such as
HMDB51's, they are swapped and some packets give no frame; MPEG program streams have few. Such files
are decoded once to count their frames and always read from the beginning. This is correct, and fast
enough for the short videos of action recognition. Convert long ones to MP4.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from afn_jax.data.source import VideoReadError, checked_indices

# Accept files with titles and comments in any encoding. This is the default from PyAV 19 on, where
# the argument does not exist.
_PYAV = int(av.__version__.split(".")[0])
LENIENT = {"metadata_errors": "ignore"} if _PYAV < 19 else {}

# One thread per clip converts colors. From PyAV 17 on, the default would start one thread per core
# for every frame.
ONE_THREAD = {"threads": 1} if _PYAV >= 17 else {}

# Containers that store a presentation time with each frame, and codecs in which every packet is a
# displayed frame. Not VP8: its alternate reference frames are never displayed.
_TIMED_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
_ONE_FRAME_PER_PACKET = {"h264", "hevc", "av1", "vp9", "mjpeg", "ffv1"}

_VOP_START = b"\x00\x00\x01\xb6"  # MPEG-4 part 2: a video object plane, which is a coded picture
_MIN_CODED_VOP = 9  # bytes; guessed: smaller pictures are "not coded" or packed-B placeholders


@dataclasses.dataclass(frozen=True, eq=False)
class VideoIndex:
    """Positions of the frames in a video file.

    Attributes:
        num_frames: number of frames of a full decode.
        pts: `[num_frames]` int64, timestamps in display order; strictly increasing if `seekable`.
        keyframes: `[K]` int64, increasing: frame numbers at which decoding can start.
        seekable: whether `pts` identify frames after a seek. If not, reading starts at frame 0.
        fps: average frames per second; 0 if the file does not report it.
        height: of displayed frames, after rotation.
        width: of displayed frames, after rotation.
    """

    num_frames: int
    pts: np.ndarray
    keyframes: np.ndarray
    seekable: bool
    fps: float
    height: int
    width: int


def index_video(path: str | Path) -> VideoIndex:
    """Finds all frames of a video file.

    Raises:
        VideoReadError: the file is missing, is not a video, or none of its frames can be decoded.
    """
    with _open(path) as (container, stream):
        first = None
        packets = []
        codec = stream.codec_context.name
        is_avi = container.format.name == "avi"
        trusted = is_avi or container.format.name in _TIMED_CONTAINERS
        for packet in _packets(container, stream):
            if first is None:
                first = next(iter(_decode(packet)), None)
            if packet.size == 0:
                continue
            packets.append((packet.pts, packet.is_keyframe, packet.is_discard))
            trusted = trusted and _one_packet_one_frame(packet, codec, is_avi)
        if first is None:
            raise VideoReadError(f"{path}: no frame can be decoded")
        fps = float(stream.average_rate or stream.guessed_rate or 0)
    height, width = first.height, first.width
    if _quarter_turns(first) % 2:
        height, width = width, height

    # Frames before the first keyframe, in time or in the file, may fail to decode.
    all_pts = [pts for pts, _, _ in packets]
    trusted = trusted and None not in all_pts and len(set(all_pts)) == len(all_pts)
    trusted = trusted and packets[0][1] and all_pts[0] == min(all_pts)
    shown = [(pts, key) for pts, key, discard in packets if not discard]
    if trusted and shown:
        pts = np.sort(np.array([pts for pts, _ in shown], np.int64))
        key_pts = [pts for pts, key in shown if key]
        keyframes = np.searchsorted(pts, np.sort(np.array(key_pts, np.int64)))
        return VideoIndex(len(pts), pts, keyframes, True, fps, height, width)

    with _open(path) as (container, stream):
        counted = [
            (-1 if frame.pts is None else frame.pts, frame.key_frame)
            for frame in _all_frames(container, stream)
        ]
    pts = np.array([pts for pts, _ in counted], np.int64)
    keyframes = np.flatnonzero([key for _, key in counted])
    return VideoIndex(len(pts), pts, keyframes, False, fps, height, width)


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
        `[T, H, W, 3]` uint8, RGB.

    Raises:
        ValueError: an index is outside the video.
        VideoReadError: one of the frames cannot be decoded.
    """
    indices = checked_indices(indices, index.num_frames, path)
    wanted, place = np.unique(indices, return_inverse=True)
    size = _resized(index.height, index.width, short_side)
    frames = np.empty((len(wanted), *size, 3), np.uint8)
    # Not seekable, or a seek went past its target, which happens with broken file indexes.
    if not (index.seekable and _read_seeking(path, index, wanted.tolist(), frames)):
        _read_from_start(path, index, wanted.tolist(), frames)
    return frames if np.array_equal(wanted, indices) else frames[place]


def _read_seeking(
    path: str | Path, index: VideoIndex, wanted: list[int], frames: np.ndarray
) -> bool:
    """Decodes the wanted (increasing) frames; returns False if a seek misses one."""
    to_rgb = _RGB(index)
    with _open(path) as (container, stream):
        decoded = None
        position = -1  # number of the last frame found
        # With 0 prepended, decoding starts at the first frame if no keyframe comes before.
        keyframes = np.concatenate([[0], index.keyframes])
        starts = keyframes[np.searchsorted(index.keyframes, wanted, side="right")].tolist()
        for want, start, pts, target in zip(
            wanted, starts, index.pts[wanted].tolist(), frames, strict=True
        ):
            if decoded is None or start > position + 1:
                try:
                    container.seek(int(index.pts[start]), stream=stream, backward=True)
                except av.error.FFmpegError:
                    return False
                decoded = _all_frames(container, stream)
            # Frames displayed before the keyframe may lack their references: skip them.
            frame = next((f for f in decoded if f.pts is not None and f.pts >= pts), None)
            if frame is None or frame.pts != pts:
                return False
            to_rgb(frame, target)
            position = want
    return True


def _read_from_start(
    path: str | Path, index: VideoIndex, wanted: list[int], frames: np.ndarray
) -> None:
    """Decodes the wanted (increasing) frames and all frames before them."""
    key = index.pts if index.seekable else np.arange(index.num_frames)
    missing = {int(key[want]): target for want, target in zip(wanted, frames, strict=True)}
    to_rgb = _RGB(index)
    with _open(path) as (container, stream):
        for count, frame in enumerate(_all_frames(container, stream)):
            if not missing:
                return
            target = missing.pop(frame.pts if index.seekable else count, None)
            if target is not None:
                to_rgb(frame, target)
    if missing:
        number = int(np.flatnonzero(key == min(missing))[0])
        raise VideoReadError(
            f"{path}: frame {number} of {index.num_frames} cannot be decoded; the file is damaged "
            "or has changed since it was indexed"
        )


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Result of decoding a whole file.

    Attributes:
        frames: number of decoded frames.
        damaged: number of frames that the decoder rejected or concealed.
        promised: number of frames according to the header; 0 if it does not report it.
    """

    frames: int
    damaged: int
    promised: int


def decode_all(path: str | Path) -> Decoded:
    """Decodes a whole file to check it for damage.

    Raises:
        VideoReadError: the file is missing or is not a video.
    """
    corrupt, refused, flushed = [], 0, False
    with _open(path) as (container, stream):
        for packet in _packets(container, stream):
            flushed = flushed or _flushes(packet)
            try:
                corrupt += [frame.is_corrupt for frame in packet.decode()]
            except av.error.FFmpegError:
                refused += 1
        if not flushed:
            corrupt += [frame.is_corrupt for frame in _held_back(stream)]
        return Decoded(len(corrupt), sum(corrupt) + refused, stream.frames)


@contextlib.contextmanager
def _open(path: str | Path):
    """Opens (container, video stream); converts decoding errors to `VideoReadError`."""
    try:
        # HMDB51 has titles in Latin-1, which strict decoding of metadata rejects.
        with av.open(str(path), **LENIENT) as container:
            if not container.streams.video:
                raise VideoReadError(f"{path}: no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoReadError(f"{path}: its codec is unknown, or its header is damaged")
            # Loaders decode many files at once; more threads per decoder would only compete.
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.error.FFmpegError, OSError) as error:
        raise VideoReadError(f"{path}: {error.strerror or error}") from error


def _packets(container, stream) -> Iterator[av.Packet]:
    """Yields the stream's packets and the flushing one; a read error ends the file."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            packet = None
        if packet is None:
            return
        yield packet


def _decode(packet: av.Packet) -> list:
    """Returns the frames that a packet completes; none if it is damaged, as in video players."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []


def _flushes(packet: av.Packet) -> bool:
    """Returns whether this packet ends the stream and flushes the frames still buffered."""
    return packet.size == 0 and packet.dts is None


def _held_back(stream) -> list:
    """Returns the buffered frames of a file that ended in a read error, without a flush."""
    try:
        return stream.codec_context.decode(None)
    except av.error.FFmpegError:
        return []


def _all_frames(container, stream) -> Iterator[av.VideoFrame]:
    """Yields frames in display order from the current position of the container."""
    flushed = False
    for packet in _packets(container, stream):
        flushed = flushed or _flushes(packet)
        yield from _decode(packet)
    if not flushed:
        yield from _held_back(stream)


def _one_packet_one_frame(packet: av.Packet, codec: str, is_avi: bool) -> bool:
    """Returns whether a packet is certain to give one frame with the packet's timestamp."""
    if codec == "mpeg4":
        data = bytes(packet)
        start = data.find(_VOP_START)
        if start < 0 or len(data) < start + _MIN_CODED_VOP:
            return False
        # vop_coding_type, ISO/IEC 14496-2 section 6.2.5: 0 intra, 1 predicted, 2 bidirectional.
        # More than one picture in a packet is a packed bitstream.
        is_b_frame = data[start + 4] >> 6 == 2
        return data.find(_VOP_START, start + 4) < 0 and not (is_avi and is_b_frame)
    return codec in ({"mjpeg", "ffv1"} if is_avi else _ONE_FRAME_PER_PACKET)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Returns the counterclockwise quarter turns from the coded to the displayed frame."""
    return round(frame.rotation / 90) % 4


def _resized(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Returns (height, width) scaled to a shorter side of `short_side`."""
    if short_side is None:
        return height, width
    scale = short_side / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


class _RGB:
    """Writes frames of one clip into `[H, W, 3]` uint8 arrays, resized and upright.

    One object per clip, because setting up a conversion costs as much as converting a small frame.
    """

    def __init__(self, index: VideoIndex):
        self._index = index
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, target: np.ndarray) -> None:
        index = self._index
        turns = _quarter_turns(frame)
        # A stream may change its size: all frames get the size of the first.
        height, width = (index.width, index.height) if turns % 2 else (index.height, index.width)
        converted = self._reformatter.reformat(frame, width, height, "rgb24", **ONE_THREAD)
        image = converted.to_ndarray()
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
        if image.shape == target.shape:
            target[:] = image
            return
        shrinks = target.shape[0] < image.shape[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(image, target.shape[1::-1], target, interpolation=interpolation)
