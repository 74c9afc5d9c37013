"""The right stream of a file is read: never a cover, the default one, else the largest picture."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from afn_jax.data.files.video import decode_all, decoded_frames, index_video, read_frames
from afn_jax.data.files.video_stream import decoded, video_packets
from afn_jax.data.source import VideoReadError
from tests.data.videos import moving_picture

SMALL, LARGE = (24, 32), (48, 64)


def write(path, streams):
    """Writes a file of streams (codec, (height, width), number of frames, disposition)."""
    with av.open(str(path), "w") as container:
        added = []
        for codec, (height, width), count, disposition in streams:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = height, width
            stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            stream.disposition = disposition.value
            added.append((stream, moving_picture(count, height, width)))
        for stream, images in added:
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    return path


NONE, DEFAULT, COVER = Disposition(0), Disposition.default, Disposition.attached_pic


def flags_in(path):
    with av.open(str(path)) as container:
        return [bool(stream.disposition & DEFAULT) for stream in container.streams.video]


def enable_all_tracks(path):
    """Changes the flags in the track headers of an MP4 file, as most cameras write them."""
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd")
    while place >= 0:
        data[place + 7] = 3
        place = data.find(b"tkhd", place + 4)
    path.write_bytes(data)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ((SMALL, NONE), (LARGE, NONE), 1),
        ((LARGE, NONE), (SMALL, NONE), 0),
        ((LARGE, DEFAULT), (SMALL, DEFAULT), 0),
        ((SMALL, DEFAULT), (LARGE, DEFAULT), 1),
        ((LARGE, NONE), (SMALL, DEFAULT), 1),
        ((SMALL, DEFAULT), (LARGE, NONE), 0),
        ((SMALL, NONE), (SMALL, NONE), 0),
    ],
)
def test_the_default_stream_else_the_largest(tmp_path, extension, first, second, chosen):
    streams = [("mpeg4", first[0], 5, first[1]), ("mpeg4", second[0], 8, second[1])]
    path = write(tmp_path / f"a.{extension}", streams)
    if extension == "mp4" and first[1] == second[1]:
        enable_all_tracks(path)
        assert flags_in(path) == [True, True]
    else:
        assert flags_in(path) == [bool(first[1]), bool(second[1])]
    with av.open(str(path)) as container:
        expected = [f.to_ndarray(format="rgb24") for f in container.decode(video=chosen)]
    index = index_video(path)
    assert (index.num_frames, index.height, index.width) == (len(expected), *expected[0].shape[:2])
    every = np.arange(len(expected))
    np.testing.assert_array_equal(read_frames(path, index, every), expected)
    assert decode_all(path).frames == len(expected)
    assert [frame.height for _, frame in decoded_frames(path, index, [1])] == [index.height]


def test_a_cover_is_not_a_video(tmp_path):
    """Although it is larger and comes first."""
    cover = ("png", (96, 128), 1, COVER)
    path = write(tmp_path / "a.mp4", [cover, ("mpeg4", SMALL, 5, NONE)])
    with av.open(str(path)) as container:
        assert any(stream.disposition & COVER for stream in container.streams.video)
    index = index_video(path)
    assert (index.num_frames, index.height, index.width) == (5, *SMALL)


class LateStream:
    """A container that ends as PyAV does if a stream appears late."""

    def __init__(self, container):
        self._container = container

    def demux(self, stream):
        for packet in self._container.demux(stream):
            if packet.size:
                yield packet
        raise IndexError("list index out of range")


def test_a_stream_that_appears_late_does_not_matter(tmp_path):
    path = write(tmp_path / "a.ts", [("mpeg4", SMALL, 5, NONE)])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = video_packets(LateStream(container), stream)
        assert sum(1 for _ in decoded(packets, stream)) == 5


def test_sound_that_starts_late(tmp_path):
    """After the part of the file that is read on opening it."""
    path = tmp_path / "a.mpg"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        sound = container.add_stream("mp2", rate=48000)
        packets = []
        for image in moving_picture(300):
            packets += video.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))
        for k in range(20):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            silence.rate, silence.pts = 48000, 480_000 + 1152 * k
            silence.time_base = Fraction(1, 48000)
            packets += sound.encode(silence)
        packets += [*video.encode(None), *sound.encode(None)]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    index = index_video(path)
    assert index.num_frames == 300
    assert read_frames(path, index, [0, 299]).shape == (2, 48, 64, 3)


def test_rejects_a_file_with_only_a_cover(tmp_path):
    path = write(tmp_path / "song.mp4", [("png", LARGE, 1, COVER)])
    with pytest.raises(VideoReadError, match=r"song\.mp4: no video stream, only a cover picture"):
        index_video(path)


class Container:
    """Stands for PyAV's container, whose generator leaks unless it is closed."""

    closed = False

    def demux(self, stream):
        try:
            yield from range(9)
        finally:
            self.closed = True


def test_packets_that_nobody_takes_are_freed():
    container = Container()
    packets = video_packets(container, None)
    assert next(packets) == 0 and not container.closed
    packets.close()
    assert container.closed
