"""Frames of a video in order, each decoded once: `open_frames`.

Memory does not grow with the length of the video. Frame numbers, pictures and times are those of
training and evaluation: `read_frames` and `VideoIndex.times`.
"""

import contextlib
import dataclasses
import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from afn_jax.data.files.display import (
    ShownRGB,
    display_notes,
    pixel_aspect,
    resized,
    shown_size,
)
from afn_jax.data.files.image import read_picture
from afn_jax.data.files.video_stream import (
    flushes,
    held_back,
    open_video,
    stream_notes,
    video_packets,
)
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.frame_folder import NumberedPictures, find_video
from afn_jax.predict.frames.times import FrameTimes

USUAL_RATE = 25.0  # frames per second; guessed, for sources that do not report a rate
# The header of these containers has the duration; FFmpeg estimates that of others.
_TIMED = ("avi", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "asf")
_FEW = 5  # frames; guessed: videos of HMDB51 have one frame less than their headers say
# Pause between two frames that is told: seconds, and frames at the average rate. Guessed.
_GAP_S, _GAP_FRAMES = 1.0, 10
_CLOCK = re.compile(r"(\d+):(\d+):(\d+\.?\d*)")
_SOUND_S = 1.0  # guessed: sound is stored at most this far from the pictures


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a video.

    Attributes:
        index: its number, from 0.
        time: seconds from the start of the video, as players count.
        image: `[H, W, 3]` uint8, RGB, upright, with square pixels, resized to the shorter side that
            the network wants.
        picture: the same at the height of the film; None if there is no film.
    """

    index: int
    time: float
    image: np.ndarray
    picture: np.ndarray | None = None


class Shown:
    """Makes the two pictures of a frame, bit for bit as `read_frames` does."""

    height: int
    width: int
    size: tuple[int, int]
    film_size: tuple[int, int] | None

    def __init__(self, height: int, width: int, short_side: int | None, film_height: int | None):
        """Takes (height, width) of the video as it is shown, and what to resize it to.

        Args:
            height: of the first frame, as it is shown.
            width: likewise.
            short_side: of the pictures for the network; None: no resizing.
            film_height: of the pictures for the film, at most that of the video; None: none.
        """
        self.height, self.width = height, width
        self.size = resized(height, width, short_side)
        self.film_size = None
        if film_height is not None:
            scale = min(1.0, film_height / height)
            self.film_size = max(2, round(height * scale)), max(2, round(width * scale))
        self._to_rgb = ShownRGB(height, width)
        self._whole = np.empty((height, width, 3), np.uint8)

    def decoded(self, frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the pictures of a decoded frame."""
        if self.film_size is None:
            image = np.empty((*self.size, 3), np.uint8)
            self._to_rgb(frame, image)
            return image, None
        self._to_rgb(frame, self._whole)
        return self.both(self._whole)

    def both(self, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the pictures of an RGB picture of any size."""
        film = None if self.film_size is None else _sized(whole, self.film_size)
        return _sized(whole, self.size), film


def _sized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image.copy()
    interpolation = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=interpolation)


class VideoFrames:
    """The frames of an open container. Iterate once. Of a live source the duration is unknown.

    Attributes:
        name: what the user calls the source.
        shown: the sizes; known from the first frame on.
        fps: average frames per second, by the header or guessed.
        duration: seconds, by the header; None if it does not tell.
        notes: what a user should know, complete after the last frame.
        damaged: frames that the decoder rejected or concealed, so far.
        end: when the last frame ends, in seconds; right after the last frame.
    """

    name: str
    fps: float
    duration: float | None
    damaged: int
    end: float
    shown: Shown

    def __init__(
        self,
        name: str,
        container: InputContainer,
        stream: VideoStream,
        short_side: int | None,
        film_height: int | None = None,
        *,
        live: bool = False,
    ):
        self.name = name
        self.notes: list[str] = []
        self.damaged, self.end = 0, 0.0
        self._reached = 0.0  # end of the last packet, in seconds
        self._container, self._stream = container, stream
        self._wanted = short_side, film_height
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else USUAL_RATE
        if not rate:
            self.notes.append(f"it reports no frame rate; {USUAL_RATE:g} per second is assumed")
        self.duration = None if live else _duration(container, stream)
        # The first frame is decoded now, so that a file without any is an error at once.
        self._frames = self._decoded()
        self._first = next(self._frames, None)
        if self._first is None:
            raise VideoReadError(f"{name}: no frame can be decoded")
        aspect = pixel_aspect(stream)
        self.shown = Shown(*shown_size(self._first, aspect), short_side, film_height)
        if not live:
            self.notes += stream_notes(container, stream)
        self.notes += display_notes(self._first, aspect)

    def __iter__(self) -> Iterator[Frame]:
        avi = self._container.format.name == "avi"
        base = float(self._stream.time_base) if self._stream.time_base else 0.0
        unit = base or 1 / self.fps
        times, waiting = FrameTimes(1 / self.fps / unit), deque()
        index, start, gaps, longest = 0, None, 0, (0.0, 0.0)
        for stamp, pictures in self._stamped(avi, bool(base)):
            if pictures is None:
                known = times.finish()
            else:
                waiting.append(pictures)
                known = times.add(stamp)
            for time in map(round, known):
                if start is None:  # a header that claims a later start is wrong
                    start = min(time, self._start(base, avi, time))
                seconds = (time - start) * unit
                if index and seconds - self.end > max(_GAP_S, _GAP_FRAMES / self.fps):
                    gaps += 1
                    longest = max(longest, (self.end, seconds), key=lambda gap: gap[1] - gap[0])
                self.end = seconds + 1 / self.fps
                yield Frame(index, seconds, *waiting.popleft())
                index += 1
        if self.damaged:
            self.notes.append(f"damaged frames, left out or repaired: {self.damaged}")
        if gaps:
            more = f", the longest of {gaps} gaps" if gaps > 1 else ""
            self.notes.append(
                f"no frames from {longest[0]:.1f} to {longest[1]:.1f} s{more}: it is damaged, or "
                "its picture stood still; the frames before and after count as neighbors"
            )
        if self._cut_off():
            self.notes.append(
                f"it ends after {self.end:.1f} of {self.duration:.1f} s: the file is cut off or "
                "damaged"
            )

    def _cut_off(self) -> bool:
        """Returns whether the pictures end long before the header says."""
        if self.duration is None or self._container.format.name not in _TIMED:
            return False
        reached = max(self.end, self._reached)
        if self.duration - reached <= _FEW / self.fps:
            return False
        if len(self._container.streams) == 1 or _own_duration(self._stream):
            return True
        return not self._others_reach(self.duration - _SOUND_S)

    def _others_reach(self, seconds: float) -> bool:
        """Returns whether other streams, such as sound, have packets from this time on."""
        with contextlib.suppress(av.error.FFmpegError, IndexError):
            self._container.seek(max(0, round(seconds * 1e6)))
            with contextlib.closing(self._container.demux()) as packets:
                for packet in packets:
                    stamp = packet.dts if packet.pts is None else packet.pts
                    if (
                        stamp is not None
                        and packet.time_base
                        and stamp * packet.time_base > seconds
                    ):
                        return True
        return False

    def _start(self, base: float, avi: bool, first: int) -> int:
        """Returns what players call time 0, by the header, in units of the timestamps."""
        header = self._container.start_time
        if header is None or not base or avi:
            return first
        return round(header / 1e6 / base)

    def _stamped(self, avi: bool, timed: bool) -> Iterator[tuple[int | None, tuple | None]]:
        """Yields the timestamp and the pictures of each frame, and (None, None) at the end."""
        for frame in self._all():
            # As in `index_video`: AVI has no presentation times.
            stamp = frame.dts if avi else frame.pts
            yield stamp if timed else None, self._pictures(frame)
        yield None, None

    def _all(self) -> Iterator[av.VideoFrame]:
        first, self._first = self._first, None
        yield first
        del first
        yield from self._frames

    def _pictures(self, frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray | None]:
        try:
            return self.shown.decoded(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoReadError(
                f"{self.name}: its colors cannot be converted ({error})"
            ) from error

    def _decoded(self) -> Iterator[av.VideoFrame]:
        flushed = False
        for packet in video_packets(self._container, self._stream):
            flushed = flushed or flushes(packet)
            if packet.pts is not None and packet.time_base:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._reached = max(self._reached, end)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self.damaged += packet.size > 0
                continue
            yield from self._counted(frames)
        if not flushed:
            yield from self._counted(held_back(self._stream))

    def _counted(self, frames: list) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self.damaged += frame.is_corrupt
            yield frame


class PictureFrames:
    """The frames of a folder of numbered pictures; attributes as in `VideoFrames`."""

    name: str
    fps: float
    duration: float | None
    notes: list[str]
    damaged: int
    end: float
    shown: Shown

    def __init__(
        self,
        name: str,
        pictures: NumberedPictures,
        short_side: int | None,
        film_height: int | None,
        fps: float | None,
    ):
        self.name, self._pictures = name, pictures
        self.fps, self.damaged, self.end = fps or USUAL_RATE, 0, 0.0
        self.duration = len(pictures.numbers) / self.fps
        self.notes = []
        if fps is None:
            self.notes.append(
                f"a folder of pictures has no frame rate; {USUAL_RATE:g} per second is assumed "
                "(--fps)"
            )
        first = read_picture(pictures.path(int(pictures.numbers[0])))
        self.shown = Shown(*first.shape[:2], short_side, film_height)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for number in self._pictures.numbers:
            try:
                whole = read_picture(self._pictures.path(int(number)))
            except (ValueError, OSError):
                self.damaged += 1
                continue
            image, picture = self.shown.both(whole)
            self.end = (index + 1) / self.fps
            yield Frame(index, index / self.fps, image, picture)
            index += 1
        if self.damaged:
            self.notes.append(f"damaged pictures, left out: {self.damaged}")


Frames = VideoFrames | PictureFrames


@contextlib.contextmanager
def open_frames(
    source: str | Path,
    *,
    short_side: int | None = None,
    film_height: int | None = None,
    fps: float | None = None,
    frame_names: str = "",
) -> Iterator[Frames]:
    """Opens a video file or a folder of numbered pictures; use it in a `with`, then iterate.

    Args:
        source: the file or folder.
        short_side: pictures are resized to this shorter side; None: no resizing.
        film_height: height of the second, larger picture of each frame; None: no such picture.
        fps: frames per second of a folder of pictures.
        frame_names: what the names of its frames look like, see `sort_pictures`.

    Raises:
        VideoReadError: it cannot be decoded, or the folder has no numbered pictures.
    """
    source = str(source)
    if os.path.isdir(source):
        try:
            folder, name = os.path.split(os.path.abspath(source))
            found = find_video(folder, name, frame_names)
            yield PictureFrames(source, found.frames, short_side, film_height, fps)
        except ValueError as error:  # the first picture is damaged
            raise VideoReadError(str(error)) from error
        return
    with open_video(source) as (container, stream):
        yield VideoFrames(source, container, stream, short_side, film_height)


def _duration(container, stream) -> float | None:
    own = _own_duration(stream)
    if own:
        return own
    return container.duration / 1e6 if container.duration else None


def _own_duration(stream) -> float | None:
    """Returns the duration of a stream, by the header; in Matroska, it is a tag, if it is there."""
    avi = stream.container.format.name == "avi"
    if avi and stream.frames and stream.average_rate:  # FFmpeg halves the duration of half a file
        return float(stream.frames / stream.average_rate)
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
    return (
        sum(float(n) * f for n, f in zip(tag.groups(), (3600, 60, 1), strict=True)) if tag else None
    )
