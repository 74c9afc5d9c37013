"""The frames of a video file: their number, their times, and where decoding can start."""

import dataclasses
from pathlib import Path

import numpy as np

from afn_jax.data.files.display import pixel_aspect, shown_size
from afn_jax.data.files.frames_in_packet import frames_in_packet
from afn_jax.data.files.presentation_times import presentation_times
from afn_jax.data.files.seeking import seek_frames
from afn_jax.data.files.video_stream import decode, decoded, open_video, video_packets
from afn_jax.data.source import VideoReadError

_AVI = "avi"
# Containers that store a presentation time with each frame. Their packets are trusted as they are.
_TIMED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
# Containers in which a seek finds packets by time. Not MPEG program streams, which store few times,
# and not AVI, where the times of reordered frames are wrong.
_FINDS_PACKETS = _TIMED | {"flv", "asf", "mpegts", "ogg"}

_UNKNOWN = 2**62  # later than any timestamp


@dataclasses.dataclass(frozen=True, eq=False)
class VideoIndex:
    """Positions and times of the frames in a video file.

    `seekable` and `timed` are independent: the frames of a file that has to be decoded from its
    start may well have real times.

    Attributes:
        num_frames: number of frames of a full decode.
        pts: `[num_frames]` int64, when each frame is shown, in units of `time_base`; strictly
            increasing if `seekable`. 0, 1, 2, ... if not `timed`.
        keyframes: `[K]` int64, increasing: frame numbers at which decoding can start.
        seekable: whether `pts` identify frames after a seek. If not, reading starts at frame 0.
        fps: average frames per second, from the times if the header has none; 0 if unknown.
        height: of displayed frames: upright, with square pixels.
        width: of displayed frames.
        time_base: seconds per unit of `pts`; 0 if unknown.
        start: what players call time 0, in units of `time_base`.
        timed: whether `pts` are the file's own presentation times. If not, the frames are taken to
            be 1 / `fps` apart.
    """

    num_frames: int
    pts: np.ndarray
    keyframes: np.ndarray
    seekable: bool
    fps: float
    height: int
    width: int
    time_base: float = 0.0
    start: int = 0
    timed: bool = False

    @property
    def times(self) -> np.ndarray:
        """`[num_frames]` float64: seconds at which players show each frame; 0 if unknown.

        Time 0 is the start of the file. That is the first frame, unless sound, or frames that
        cannot be decoded, come before it.
        """
        return (self.pts - self.start) * self.time_base

    @property
    def seconds(self) -> float:
        """When the last frame ends; 0 if unknown."""
        return float(self.times[-1]) + (1 / self.fps if self.fps else 0.0)


def index_video(path: str | Path) -> VideoIndex:
    """Finds all frames of a video file.

    Raises:
        VideoReadError: the file is missing, is not a video, or none of its frames can be decoded.
    """
    with open_video(path) as (container, stream):
        first = None
        packets = []  # (timestamp, whether decoding can start here, whether it shows a frame)
        cut_off = False
        codec = stream.codec_context.codec.canonical_name
        name = container.format.name
        certain = name in _TIMED or name == _AVI
        for packet in video_packets(container, stream):
            if first is None:
                first = next(iter(decode(packet)), None)
            if packet.size == 0:
                continue
            count = frames_in_packet(packet, codec, name == _AVI) if certain else None
            certain = count is not None
            cut_off = cut_off or packet.is_corrupt
            if count != 0:
                packets.append((packet.pts, packet.is_keyframe, not packet.is_discard))
        if first is None:
            raise VideoReadError(f"{path}: no frame can be decoded")
        about = _header(container, stream, first)
        guessed_rate = float(stream.guessed_rate) if stream.guessed_rate else 0.0

    all_pts = [pts for pts, _, _ in packets]
    distinct = None not in all_pts and len(set(all_pts)) == len(all_pts)
    # Frames before the first keyframe, in time or in the file, may fail to decode. A packet that is
    # cut off may give none.
    certain = certain and not cut_off and distinct and len(packets) > 0
    certain = certain and packets[0][1] and all_pts[0] == min(all_pts)
    pts = [pts for pts, _, shows in packets if shows]
    key_pts = [pts for pts, key, shows in packets if shows and key]
    if certain and pts and about.time_base:
        pts, key_pts = np.sort(np.array(pts, np.int64)), np.sort(np.array(key_pts, np.int64))
        return _complete(about, pts, np.searchsorted(pts, key_pts), seekable=True)
    seekable = distinct and name in _FINDS_PACKETS
    key_pts = set(key_pts) if seekable else set()
    return _index_by_decoding(path, about, key_pts, guessed_rate, name == _AVI)


def _header(container, stream, first) -> VideoIndex:
    """Returns an index without frames, from the header and the first decoded frame."""
    time_base = float(stream.time_base) if stream.time_base else 0.0
    start = _UNKNOWN
    if container.start_time is not None and time_base:
        start = min(start, round(container.start_time / 1e6 / time_base))
    fps = float(stream.average_rate) if stream.average_rate else 0.0
    height, width = shown_size(first, pixel_aspect(stream))
    none = np.zeros(0, np.int64)
    return VideoIndex(0, none, none, False, fps, height, width, time_base, max(start, -_UNKNOWN))


def _index_by_decoding(
    path: str | Path, about: VideoIndex, key_pts: set[int], guessed_rate: float, is_avi: bool
) -> VideoIndex:
    """Indexes a file whose packets do not tell its frames.

    Args:
        path: the file.
        about: what the header tells.
        key_pts: timestamps of the packets of key frames, if a seek may find these packets.
        guessed_rate: frames per second that FFmpeg guesses; 0 if it does not.
        is_avi: whether the container is AVI.
    """
    with open_video(path) as (container, stream):
        frames = [
            (frame.pts, frame.dts, frame.key_frame, frame.is_corrupt)
            for frame in decoded(video_packets(container, stream), stream)
        ]
    if not frames:  # the file has changed
        raise VideoReadError(f"{path}: no frame can be decoded")
    keyframes = np.flatnonzero([key for _, _, key, _ in frames])
    # AVI has no presentation times: each packet lasts one period, and an empty one prolongs the
    # frame before it. Frames get the number of the packet that completes them. It is late by the
    # decoder's delay.
    stamps = [dts if is_avi else pts for pts, dts, _, _ in frames]
    period = 1 / (about.fps * about.time_base) if about.fps and about.time_base else 0.0
    pts = presentation_times(stamps, period) if about.time_base else None
    if pts is None:
        fps = about.fps or guessed_rate
        by_rate = dataclasses.replace(about, fps=fps, time_base=1 / fps if fps else 0.0, start=0)
        return _complete(by_rate, np.arange(len(frames)), keyframes, timed=False)
    if is_avi:
        about = dataclasses.replace(about, start=int(pts[0]))
    found = np.array([k for k in keyframes if stamps[k] in key_pts], np.int64)
    # How a damaged frame is concealed depends on the frames decoded before it.
    damaged = any(corrupt for _, _, _, corrupt in frames)
    if pts.tolist() == stamps and len(found) and found[0] == 0 and not damaged:
        index = _complete(about, pts, found, seekable=True)
        if _finds_key_frames(path, index):
            return index
    return _complete(about, pts, keyframes)


def _complete(
    about: VideoIndex, pts: np.ndarray, keyframes: np.ndarray, *, seekable=False, timed=True
) -> VideoIndex:
    """Adds the frames to what the header tells."""
    fps = about.fps
    if not fps and len(pts) > 1 and about.time_base:
        fps = (len(pts) - 1) / (float(pts[-1] - pts[0]) * about.time_base)
    return dataclasses.replace(
        about,
        num_frames=len(pts),
        pts=pts.astype(np.int64),
        keyframes=keyframes,
        seekable=seekable,
        fps=fps,
        start=min(about.start, int(pts[0])),  # a header that claims a later start is wrong
        timed=timed,
    )


def _finds_key_frames(path: str | Path, index: VideoIndex) -> bool:
    """Returns whether seeks find the first, a middle and the last key frame."""
    picked = index.keyframes[[0, len(index.keyframes) // 2, -1]]
    wanted = sorted({int(number) for number in picked})
    return [number for number, _ in seek_frames(path, index, wanted)] == wanted
