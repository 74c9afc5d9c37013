"""Decodes chosen frames of a video file, from the closest key frame where the file allows it."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from afn_jax.data.files.video_stream import decoded, open_video, video_packets
from afn_jax.data.source import VideoReadError

if TYPE_CHECKING:
    from afn_jax.data.files.video_index import VideoIndex

# Some demuxers look for decoding times, which are earlier than presentation times, so that a seek
# can pass its target. Guessed: the second key frame before it is early enough; a second before the
# first frame is the start of the file.
_TRIES = 3
_BEFORE_FIRST = 1.0


def decoded_frames(
    path: str | Path, index: "VideoIndex", numbers: Sequence[int] | np.ndarray
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yields (number, frame) for each distinct frame number, in increasing order.

    Each group of pictures is decoded at most once. If a seek misses its target, which happens with
    broken file indexes, the rest is decoded from the start of the file.

    Raises:
        VideoReadError: one of the frames cannot be decoded.
    """
    wanted = sorted({int(number) for number in numbers})
    found = 0
    if index.seekable:
        for number, frame in seek_frames(path, index, wanted):
            yield number, frame
            found += 1
    if found < len(wanted):
        yield from _from_start(path, index, wanted[found:])


def seek_frames(
    path: str | Path, index: "VideoIndex", wanted: list[int]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yields the wanted (increasing) frames until a seek misses one.

    Decoding starts exactly at the packet of the closest key frame, and a frame is found by its
    timestamp.
    """
    with open_video(path) as (container, stream):
        frames = None
        position = -1  # number of the last frame found
        for want in wanted:
            key = int(np.searchsorted(index.keyframes, want, side="right")) - 1
            # If no key frame comes before, the file's first packet may be one that is not shown.
            start = int(index.keyframes[key]) if key >= 0 else 0
            if frames is None or start > position + 1:
                packets = _seek(container, stream, index, key)
                if packets is None:
                    return
                frames = decoded(packets, stream)
            pts = int(index.pts[want])
            # Frames displayed before the keyframe may lack their references: skip them.
            frame = next((f for f in frames if f.pts is not None and f.pts >= pts), None)
            if frame is None or frame.pts != pts:
                return
            yield want, frame
            position = want


def _seek(container, stream, index: "VideoIndex", key: int) -> Iterator[av.Packet] | None:
    """Returns the packets from key frame number `key` on, or None if it is not found.

    With `key` -1, the packets from wherever the demuxer goes to for the first frame.
    """
    if key >= 0:
        targets = index.pts[index.keyframes[max(0, key - _TRIES + 1) : key + 1][::-1]].tolist()
        if len(targets) < _TRIES:
            before = int(index.pts[0]) - round(_BEFORE_FIRST / (index.time_base or 1.0))
            targets.append(max(before, -(2**62)))
    else:
        targets = [int(index.pts[0])]
    for target in targets:
        try:
            container.seek(target, stream=stream, backward=True)
        except av.error.FFmpegError:
            continue
        packets = video_packets(container, stream)
        if key < 0:
            return packets
        packet = _skip_to(packets, int(index.pts[index.keyframes[key]]))
        if packet is not None:
            return itertools.chain([packet], packets)
    return None


def _skip_to(packets: Iterator[av.Packet], pts: int) -> av.Packet | None:
    """Returns the key packet with this timestamp; None if a later key packet comes first."""
    for packet in packets:
        if packet.is_keyframe and packet.pts is not None and packet.pts >= pts:
            return packet if packet.pts == pts else None
    return None


def _from_start(
    path: str | Path, index: "VideoIndex", wanted: list[int]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yields the wanted (increasing) frames, decoding all frames before them."""
    missing = {int(index.pts[want]) if index.seekable else want: want for want in wanted}
    with open_video(path) as (container, stream):
        for count, frame in enumerate(decoded(video_packets(container, stream), stream)):
            want = missing.pop(frame.pts if index.seekable else count, None)
            if want is not None:
                yield want, frame
            if not missing:
                return
    raise VideoReadError(
        f"{path}: frame {min(missing.values())} of {index.num_frames} cannot be decoded; the file "
        "is damaged or has changed since it was indexed"
    )
