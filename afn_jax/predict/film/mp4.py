"""Writes MP4 files that browsers and players open, with the time of every frame as given."""

import contextlib
import functools
import math
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from afn_jax.atomic import complete_or_absent
from afn_jax.data.files.display import ONE_THREAD

# Ticks per second; MPEG-4 allows at most 65535. 24, 25, 29.97 and 59.94 frames per second fit.
TICKS = 60_000
# H.264 in every build of FFmpeg that has it; MPEG-4, which is in all builds, else.
_CODECS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "21"},
    "libopenh264": {"b": "4M", "allow_skip_frames": "0"},
    "mpeg4": {"qscale": "4"},
}
_KEY_FRAMES = 100  # at most this many frames apart, so that players can seek


def check_frame(picture: np.ndarray, time: float, size: tuple[int, int]) -> None:
    """Checks a frame of a video.

    Args:
        picture: to be `[*size, 3]` uint8 RGB.
        time: to be finite and 0 or more, in seconds.
        size: (height, width) of the video.

    Raises:
        ValueError: one of them is not.
    """
    if picture.shape != (*size, 3) or picture.dtype != np.uint8:
        raise ValueError(
            f"picture: got {picture.dtype} of shape {picture.shape}; the video has uint8 of shape "
            f"{(*size, 3)}"
        )
    if not (math.isfinite(time) and time >= 0):
        raise ValueError(f"time: got {time}; it must be a number of seconds, 0 or more")


class Mp4Writer:
    """Writes a video frame by frame.

    The file appears when `close` is called. A `with` statement calls it, unless an error is raised
    inside: then nothing is left.
    """

    def __init__(self, path: str | os.PathLike[str], *, height: int, width: int, comment: str = ""):
        """Opens the file.

        Args:
            path: the MP4 file; its folder must exist. An older file is replaced by `close`.
            height: of the frames, even.
            width: of the frames, even.
            comment: in the metadata of the file.

        Raises:
            ValueError: a side is odd, or no encoder takes this size.
            OSError: the file cannot be written.
        """
        if height < 2 or width < 2 or height % 2 or width % 2:
            raise ValueError(f"size: got {height} x {width}; both sides must be even and above 0")
        self._path, self._size = Path(path), (height, width)
        codec = _codec(height, width)
        self._last = None
        self._stack = contextlib.ExitStack()
        unfinished = self._stack.enter_context(complete_or_absent(self._path))
        try:
            with self._errors():
                unfinished.touch()  # FFmpeg opens the file later, and names it otherwise
                options = {"movflags": "+faststart"}
                self._container = av.open(os.fspath(unfinished), "w", format="mp4", options=options)
                if comment:
                    self._container.metadata["comment"] = comment
                self._stream = self._container.add_stream(codec, 30, options=_CODECS[codec])
        except BaseException:
            self._abort()
            raise
        _configure(self._stream.codec_context, height, width)
        self._stream.time_base = Fraction(1, TICKS)
        self._to_yuv = VideoReformatter()

    def add(self, picture: np.ndarray, time: float) -> None:
        """Adds a frame.

        Args:
            picture: `[height, width, 3]` uint8 RGB.
            time: at which it is shown, in seconds; a time that is not after that of the frame
                before becomes the earliest possible one.

        Raises:
            ValueError: another size or type, or a time that is not finite or negative.
            OSError: the disk is full.
        """
        check_frame(picture, time, self._size)
        ticks = round(time * TICKS)
        self._last = ticks if self._last is None else max(ticks, self._last + 1)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame = self._to_yuv.reformat(
            frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, **ONE_THREAD
        )
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Completes the file. A video without frames leaves none."""
        if self._container is None:
            return
        if self._last is None:
            self._abort()
            return
        try:
            with self._errors():
                self._container.mux(self._stream.encode(None))
                self._container.close()
        except BaseException:
            self._abort()
            raise
        self._container = None
        self._stack.close()

    def abort(self) -> None:
        """Removes what was written; an older file stays."""
        self._abort()

    def __enter__(self) -> "Mp4Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self.close()
        else:
            self._abort()

    def _abort(self) -> None:
        container, self._container = getattr(self, "_container", None), None
        if container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                container.close()
        with contextlib.suppress(_Aborted):
            with self._stack:
                raise _Aborted

    @contextlib.contextmanager
    def _errors(self):
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise OSError(error.errno, error.strerror, os.fspath(self._path)) from error


class _Aborted(Exception):
    """Makes `complete_or_absent` remove the file."""


def _configure(context: av.VideoCodecContext, height: int, width: int) -> None:
    context.height, context.width, context.pix_fmt = height, width, "yuv420p"
    context.time_base = Fraction(1, TICKS)
    context.gop_size = _KEY_FRAMES
    context.max_b_frames = 0  # with them, MP4 loses the end of a video whose frame rate varies
    # Players take untagged colors for those of the size: BT.601 if small, BT.709 if large.
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries = context.color_trc = 1  # BT.709


@functools.lru_cache(maxsize=16)
def _codec(height: int, width: int) -> str:
    """Returns the first encoder that opens for this size."""
    reasons = []
    for name, options in _CODECS.items():
        try:
            context = av.CodecContext.create(name, "w")
            _configure(context, height, width)
            context.framerate = 30
            context.options = dict(options)
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            reasons.append(f"{name}: {error}")
            continue
        return name
    raise ValueError(f"size: no encoder for {height} x {width} pixels: {'; '.join(reasons)}")
