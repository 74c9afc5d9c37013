"""Exact random access to the frames of a video file, by number in display order.

Frame numbers are those of a full sequential decode, and `read_frames` never returns a neighbour in
place of the frame asked for. Where the container keeps trustworthy timestamps (MP4, Matroska, WebM,
and AVI without B-frames) the index costs one pass over the packets, and reading seeks to the
keyframe at or before. Elsewhere timestamps are made up by the demuxer (AVI with B-frames, as in
HMDB51, has swapped ones and placeholder packets that give no frame at all; MPEG program streams
have few), so the file is decoded once to count its frames and always read from its beginning:
right, and for the short clips of action recognition still fast. Convert long ones to MP4.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from afn_jax.data.source import VideoReadError

# Titles and comments in other encodings are no reason to refuse a file. From PyAV 19 on that is how
# files are opened anyway, and the argument is gone.
_PYAV = int(av.__version__.split(".")[0])
LENIENT = {"metadata_errors": "ignore"} if _PYAV < 19 else {}

# Colours are converted by one thread a clip. From PyAV 17 on the default is one for each core of
# the machine, started anew for each frame.
ONE_THREAD = {"threads": 1} if _PYAV >= 17 else {}

# Containers that store a presentation time with each frame, and the codecs in which one packet is
# one shown frame. VP8 is absent: its alternate reference frames are packets that are never shown.
_TIMED_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
_ONE_FRAME_PER_PACKET = {"h264", "hevc", "av1", "vp9", "mjpeg", "ffv1"}

_VOP_START = b"\x00\x00\x01\xb6"  # MPEG-4 part 2: a video object plane, that is a coded picture
_MIN_CODED_VOP = 9  # bytes; guessed: smaller pictures are "not coded" or packed-B placeholders


@dataclasses.dataclass(frozen=True, eq=False)
class VideoIndex:
    """Where the frames of one video file are.

    Attributes:
        num_frames: frames of a full decode.
        pts: `[num_frames]` int64, timestamps in display order; strictly increasing if `seekable`.
        keyframes: `[K]` int64, increasing: numbers of the frames where decoding can start.
        seekable: whether `pts` identify frames after a seek. If not, reading starts at frame 0.
        fps: frames a second, on average; 0 where the file does not say.
        height: of a frame as shown, after rotation.
        width: of a frame as shown, after rotation.
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
        VideoReadError: the file is missing, is no video, or not one of its frames can be decoded.
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

    # Pictures before the first keyframe, in time or in the file, may not decode at all.
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
    """Decodes the frames at `indices`, each needed group of pictures once.

    Args:
        path: the file.
        index: of this file, from `index_video`.
        indices: `[T]` frame numbers in `[0, num_frames)`; repeats and any order are fine.
        short_side: resize so that the shorter side has this many pixels, keeping the aspect.

    Returns:
        `[T, H, W, 3]` uint8, RGB.

    Raises:
        ValueError: an index is outside the video.
        VideoReadError: one of the frames cannot be decoded.
    """
    indices = np.asarray(indices, np.int64).reshape(-1)
    outside = indices[(indices < 0) | (indices >= index.num_frames)]
    if outside.size:
        raise ValueError(
            f"indices: {outside[0]} is outside {path}, which has {index.num_frames} frames; "
            f"allowed are 0 to {index.num_frames - 1}"
        )
    wanted, place = np.unique(indices, return_inverse=True)
    size = _resized(index.height, index.width, short_side)
    frames = np.empty((len(wanted), *size, 3), np.uint8)
    # Not seekable, or a seek landed behind its target, as happens with broken file indexes.
    if not (index.seekable and _read_seeking(path, index, wanted.tolist(), frames)):
        _read_from_start(path, index, wanted.tolist(), frames)
    return frames if np.array_equal(wanted, indices) else frames[place]


def _read_seeking(
    path: str | Path, index: VideoIndex, wanted: list[int], frames: np.ndarray
) -> bool:
    """Fills in the wanted (increasing) frames; False if one was not where it belongs."""
    to_rgb = _RGB(index)
    with _open(path) as (container, stream):
        decoded = None
        position = -1  # the number of the frame that was found last
        # With a 0 in front, decoding starts at the first frame where no keyframe comes before.
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
            # Pictures shown before the keyframe may lack what they refer to: all are passed over.
            frame = next((f for f in decoded if f.pts is not None and f.pts >= pts), None)
            if frame is None or frame.pts != pts:
                return False
            to_rgb(frame, target)
            position = want
    return True


def _read_from_start(
    path: str | Path, index: VideoIndex, wanted: list[int], frames: np.ndarray
) -> None:
    """Fills in the wanted (increasing) frames, decoding all that come before."""
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
    """What a decode of a whole file gave.

    Attributes:
        frames: that came out.
        damaged: pictures that the decoder refused, or repaired by guessing.
        promised: frames by the header of the file; 0 if it does not say.
    """

    frames: int
    damaged: int
    promised: int


def decode_all(path: str | Path) -> Decoded:
    """Decodes a file from its beginning to its end, to see whether it is sound.

    Raises:
        VideoReadError: the file is missing or is no video.
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
    """Gives (container, video stream); decoding errors inside become `VideoReadError`."""
    try:
        # HMDB51 has titles in Latin-1, which strict decoding of metadata would refuse.
        with av.open(str(path), **LENIENT) as container:
            if not container.streams.video:
                raise VideoReadError(f"{path}: no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoReadError(f"{path}: its codec is unknown, or its header is damaged")
            # Loaders run many files at once, so threads inside one decoder only get in the way.
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.error.FFmpegError, OSError) as error:
        raise VideoReadError(f"{path}: {error.strerror or error}") from error


def _packets(container, stream) -> Iterator[av.Packet]:
    """The stream's packets, the flushing one included; a read error counts as the file's end."""
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
    """The frames that a packet completes; none if it is damaged (players skip such packets too)."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []


def _flushes(packet: av.Packet) -> bool:
    """Whether this is the packet behind the last, which brings out the frames held back."""
    return packet.size == 0 and packet.dts is None


def _held_back(stream) -> list:
    """The last frames of a file that ended in a read error, so that no flushing packet came."""
    try:
        return stream.codec_context.decode(None)
    except av.error.FFmpegError:
        return []


def _all_frames(container, stream) -> Iterator[av.VideoFrame]:
    """Frames in display order from where the container stands, those held back at the end too."""
    flushed = False
    for packet in _packets(container, stream):
        flushed = flushed or _flushes(packet)
        yield from _decode(packet)
    if not flushed:
        yield from _held_back(stream)


def _one_packet_one_frame(packet: av.Packet, codec: str, is_avi: bool) -> bool:
    """Whether a packet surely gives one frame that carries the packet's timestamp."""
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
    """How often to turn the coded picture by 90 degrees, counter-clockwise, to show it."""
    return round(frame.rotation / 90) % 4


def _resized(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """The (height, width) with the shorter side at `short_side`, aspect kept."""
    if short_side is None:
        return height, width
    if short_side < 1:
        raise ValueError(f"short_side: got {short_side}; give a number of pixels of 1 or more")
    scale = short_side / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


class _RGB:
    """Writes frames of one clip into `[H, W, 3]` uint8 arrays, resized and upright.

    One object a clip, because setting up a conversion costs as much as converting a small frame.
    """

    def __init__(self, index: VideoIndex):
        self._index = index
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, target: np.ndarray) -> None:
        index = self._index
        turns = _quarter_turns(frame)
        # A stream may change its size midway: the first frame's size holds for all.
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
