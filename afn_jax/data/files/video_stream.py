"""Opens the video stream of a file and yields its packets and frames."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from afn_jax.data.source import VideoReadError

# Accept files with titles and comments in any encoding. This is the default from PyAV 19 on, where
# the argument does not exist.
LENIENT = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}

EMPTY = "an empty file (0 bytes)"
NOT_A_FILE = "not a regular file, but a pipe, socket or device"
_NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails


@contextlib.contextmanager
def open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens (container, video stream); converts decoding errors to `VideoReadError`.

    Other errors inside the `with`, such as those of writing results, stay as they are.
    """
    try:
        problem = file_problem(os.stat(path))
        if problem:  # not opened: reading a pipe waits for its writer
            raise VideoReadError(f"{path}: {problem}")
        # HMDB51 has titles in Latin-1, which strict decoding of metadata rejects.
        opened = av.open(str(path), **LENIENT)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoReadError(f"{path}: {error.strerror or error}") from error
    try:
        with opened as container:
            stream = best_stream(container, path)
            # Loaders decode many files at once; more threads per decoder would only compete.
            stream.codec_context.thread_count = 1
            yield container, stream
    except av.error.FFmpegError as error:
        raise VideoReadError(f"{path}: {error.strerror or error}") from error


def file_problem(file: os.stat_result) -> str:
    """Returns why something on disk is neither a file with content nor a folder; "" if it is."""
    if stat.S_ISDIR(file.st_mode):
        return ""
    if not stat.S_ISREG(file.st_mode):
        return NOT_A_FILE
    return "" if file.st_size else EMPTY


def best_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """Returns the video stream that players show.

    Never a cover picture. Streams flagged as default come first, then the larger picture, then the
    earlier stream. FFmpeg flags every enabled track of an MP4 file and no stream of many other
    formats, so the flag alone does not decide.
    """
    streams = [s for s in container.streams.video if not s.disposition & _NO_VIDEO]
    if not streams:
        covers = ", only a cover picture" if container.streams.video else ""
        raise VideoReadError(f"{path}: no video stream{covers}")
    streams = [s for s in streams if s.codec_context is not None]
    if not streams:
        raise VideoReadError(f"{path}: its codec is unknown, or its header is damaged")
    return max(streams, key=_rank)  # the first of equals


def stream_notes(container: InputContainer, stream: VideoStream) -> list[str]:
    """Returns a note if the file has several video streams, of which one is read."""
    others = [s for s in container.streams.video if not s.disposition & _NO_VIDEO]
    if len(others) < 2:
        return []
    size = f"{stream.codec_context.width} x {stream.codec_context.height}"
    return [f"it has {len(others)} video streams, of which number {stream.index} is read, {size}"]


def _rank(stream: VideoStream) -> tuple[bool, int]:
    size = (stream.codec_context.width or 0) * (stream.codec_context.height or 0)
    return bool(stream.disposition & Disposition.default), size


def video_packets(
    container: InputContainer, stream: VideoStream
) -> "Iterator[av.Packet[VideoStream]]":
    """Yields the stream's packets and the flushing one; a read error ends the file.

    So does an `IndexError`, which PyAV may raise at the end of an MPEG stream if another stream,
    such as late sound, appears after the file was opened.
    """
    # PyAV's generator frees its buffers only if it is closed, or exhausted: 150 bytes per clip.
    with contextlib.closing(container.demux(stream)) as packets:
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, IndexError):
                packet = None
            if packet is None:
                return
            yield packet


def decode(packet: "av.Packet[VideoStream]") -> list[av.VideoFrame]:
    """Returns the frames that a packet completes; none if it is damaged, as in video players."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []


def flushes(packet: "av.Packet[VideoStream]") -> bool:
    """Returns whether this packet ends the stream and flushes the frames still buffered."""
    return packet.size == 0 and packet.dts is None


def held_back(stream: VideoStream) -> list[av.VideoFrame]:
    """Returns the buffered frames of a file that ended in a read error, without a flush."""
    try:
        return stream.codec_context.decode(None)
    except av.error.FFmpegError:
        return []


def decoded(
    packets: "Iterator[av.Packet[VideoStream]]", stream: VideoStream
) -> Iterator[av.VideoFrame]:
    """Yields the frames of packets in display order, with those buffered at the end."""
    flushed = False
    for packet in packets:
        flushed = flushed or flushes(packet)
        yield from decode(packet)
    if not flushed:
        yield from held_back(stream)
