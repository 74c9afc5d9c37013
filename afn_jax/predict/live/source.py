"""Live sources: cameras, pipes, streams of the network, and files played at their own rate."""

import contextlib
import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import cv2
import numpy as np

from afn_jax.data.files.video_stream import LENIENT, best_stream
from afn_jax.data.source import VideoReadError
from afn_jax.predict.frames.stream import Frame, Frames, Shown, VideoFrames, open_frames

CAMERA_RATE = 30.0  # frames per second; guessed, for cameras that do not report it
_OPEN_S, _READ_S = 10.0, 10.0  # guessed: what a stream may take to open, and between packets
_URL = re.compile(r"[a-z][a-z0-9+.-]+://.+", re.IGNORECASE)
_PIPE = (
    ". A pipe must carry a video that can be read from its start to its end, such as ffmpeg ... "
    "-f matroska -. An MP4 file can if it was written with -movflags +faststart"
)
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT


@dataclasses.dataclass(frozen=True)
class LiveSource:
    """A live source.

    Attributes:
        name: what the user gave.
        kind: "camera", "pipe", "url", or "file", which is played at its own rate.
        drop: whether windows are dropped when the network is slower than the source. If not, the
            source waits, as a pipe can.
    """

    name: str
    kind: str
    drop: bool = True

    def __str__(self) -> str:
        names = {"camera": f"camera {self.name}", "pipe": "standard input"}
        return names.get(self.kind, self.name)


def live_source(videos: Sequence[str], *, play: bool) -> LiveSource | None:
    """Returns the live source of a command line; None if it names files.

    Args:
        videos: the arguments.
        play: whether to play a file at its own rate, and to drop windows of a pipe.

    Raises:
        ValueError: a live source together with others.
    """
    found = []
    for video in videos:
        if video == "-":
            found.append(LiveSource(video, "pipe", drop=play))
        elif os.path.exists(video):
            found += [LiveSource(video, "file")] * play
        elif _URL.fullmatch(video):
            found.append(LiveSource(video, "url"))
        elif video.isdecimal():
            found.append(LiveSource(video, "camera"))
    if not found:
        return None
    if len(videos) > 1:
        raise ValueError(
            f"videos: got {len(videos)}, and {found[0]} is a live source; give a live source alone."
        )
    return found[0]


class CameraFrames:
    """The frames of a camera; attributes as in `VideoFrames`. Times are those of their arrival."""

    name: str
    fps: float
    duration: float | None
    damaged: int
    end: float
    shown: Shown

    def __init__(self, name: str, capture: cv2.VideoCapture, short_side: int):
        """Reads the first frame.

        Raises:
            VideoReadError: the camera gives none.
        """
        self.name, self._capture = name, capture
        self.notes: list[str] = []
        self.damaged, self.end, self.duration = 0, 0.0, None
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = rate if 0 < rate < 1000 else CAMERA_RATE
        self._first = self._read()
        if self._first is None:
            raise VideoReadError(f"{name} gives no picture; is another program using it?")
        self.shown = Shown(*self._first.shape[:2], short_side, None)

    def _read(self) -> np.ndarray | None:
        read, image = self._capture.read()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if read and image is not None else None

    def __iter__(self) -> Iterator[Frame]:
        image, self._first = self._first, None
        started, index = time.monotonic(), 0
        while image is not None:
            now = time.monotonic() - started
            self.end = now + 1 / self.fps
            yield Frame(index, now, self.shown.both(image)[0])
            index += 1
            image = self._read()


class Paced:
    """The frames of a file, each at its time."""

    def __init__(self, frames: Frames, sleep: Callable[[float], None] = time.sleep):
        self._frames, self._sleep = frames, sleep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frames, name)

    def __iter__(self) -> Iterator[Frame]:
        started = time.monotonic()
        for frame in self._frames:
            early = frame.time - (time.monotonic() - started)
            if early > 0:
                self._sleep(early)
            yield frame


class Pipe:
    """Standard input for the decoder: reads what is there, and can be interrupted.

    PyAV ignores exceptions of `read`, so Ctrl-C ends the pipe instead.

    Attributes:
        interrupted: whether that happened.
    """

    def __init__(self, file: Any):
        """Takes a binary file."""
        self._file = file
        self.interrupted: bool = False

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes as soon as there are any; b"" at the end."""
        if self.interrupted:
            return b""
        try:
            return self._file.read1(size)
        except KeyboardInterrupt:
            self.interrupted = True
            return b""


LiveFrames = VideoFrames | CameraFrames | Paced


@contextlib.contextmanager
def open_live(source: LiveSource, short_side: int) -> Iterator[LiveFrames]:
    """Opens a live source; iterate over its frames, whose attributes are those of `VideoFrames`.

    Raises:
        VideoReadError: it cannot be opened, or gives no picture; the message says why.
    """
    if source.kind == "file":
        with open_frames(source.name, short_side=short_side) as frames:
            yield Paced(frames)
    elif source.kind == "camera":
        with _opened_camera(source) as capture:
            yield CameraFrames(str(source), capture, short_side)
    else:
        with _opened_stream(source) as (container, pipe):
            try:
                stream = best_stream(container, str(source))
                stream.codec_context.thread_count = 1
                frames = VideoFrames(str(source), container, stream, short_side, live=True)
            except VideoReadError as error:
                _raise_if_interrupted(pipe)
                raise VideoReadError(f"{error}{_PIPE * (pipe is not None)}") from error
            _raise_if_interrupted(pipe)
            yield frames


def _raise_if_interrupted(pipe: Pipe | None) -> None:
    if pipe is not None and pipe.interrupted:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _opened_camera(source: LiveSource) -> Iterator[cv2.VideoCapture]:
    logging = getattr(cv2.utils, "logging", cv2)  # in `cv2` itself up to OpenCV 4.12
    level = logging.getLogLevel()
    logging.setLogLevel(_SILENT)  # OpenCV prints what each of its back ends tried
    try:
        capture = cv2.VideoCapture(int(source.name))
    finally:
        logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise VideoReadError(
                f"{source} cannot be opened: it is not connected, another program uses it, or this "
                "user may not read it. Cameras are numbered from 0; on Linux, /dev/video0 is 0."
            )
        yield capture
    finally:
        capture.release()


@contextlib.contextmanager
def _opened_stream(source: LiveSource) -> Iterator[tuple[av.container.InputContainer, Pipe | None]]:
    options = {"rtsp_transport": "tcp"} if source.name.lower().startswith("rtsp") else {}
    pipe = Pipe(sys.stdin.buffer) if source.kind == "pipe" else None
    try:
        if pipe is not None:
            opened = av.open(pipe, **LENIENT)
        else:
            opened = av.open(source.name, options=options, timeout=(_OPEN_S, _READ_S), **LENIENT)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        _raise_if_interrupted(pipe)
        reason = getattr(error, "strerror", None) or error
        advice = _PIPE * (pipe is not None)
        raise VideoReadError(f"{source} cannot be opened: {reason}{advice}") from error
    with opened as container:
        yield container, pipe
