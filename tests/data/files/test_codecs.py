"""In some codecs, every packet is one displayed frame: compared with a full decode."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from afn_jax.data.files import video_index
from afn_jax.data.files.video import index_video, read_frames
from afn_jax.data.source import VideoReadError
from tests.data.videos import encode, moving_picture, sequential

H264 = {"g": "10", "bf": "3"}
# Each with the container that stores its frames' times. AV1: some packets of the encoder only show
# a frame that was decoded before.
CODECS = [
    ("h264.mkv", "libx264", H264, "yuv420p"),
    ("hevc.mp4", "libx265", {"x265-params": "keyint=10:log-level=0"}, "yuv420p"),
    ("av1.mkv", "libsvtav1", {"g": "20", "preset": "8"}, "yuv420p"),
    ("av1.mp4", "libsvtav1", {"g": "20", "preset": "8"}, "yuv420p"),
    ("vp9.webm", "libvpx-vp9", {"g": "20"}, "yuv420p"),
    ("vp8.webm", "libvpx", {"g": "20"}, "yuv420p"),
    ("mpeg4.mp4", "mpeg4", {"g": "10", "bf": "2"}, "yuv420p"),
    ("mjpeg.mov", "mjpeg", {}, "yuvj420p"),
    ("ffv1.mkv", "ffv1", {}, "yuv420p"),
    ("prores.mov", "prores_ks", {}, "yuv422p10le"),
    ("dnxhd.mov", "dnxhd", {"profile": "dnxhr_lb"}, "yuv422p"),
    ("png.mov", "png", {}, "rgb24"),
    ("qtrle.mov", "qtrle", {"g": "10"}, "rgb24"),
    ("rawvideo.mkv", "rawvideo", {}, "yuv420p"),
    ("jpeg2000.mov", "jpeg2000", {}, "yuv420p"),
    ("msmpeg4v3.mkv", "msmpeg4", {"g": "10"}, "yuv420p"),
    ("mpeg4.avi", "mpeg4", {"g": "10"}, "yuv420p"),
    ("mjpeg.avi", "mjpeg", {}, "yuvj420p"),
    ("ffv1.avi", "ffv1", {}, "yuv420p"),
    ("png.avi", "png", {}, "rgb24"),
    ("huffyuv.avi", "huffyuv", {}, "yuv422p"),
    ("ffvhuff.avi", "ffvhuff", {}, "yuv420p"),
    ("utvideo.avi", "utvideo", {}, "yuv420p"),
    ("rawvideo.avi", "rawvideo", {}, "yuv420p"),
]


@pytest.fixture
def without_decoding(monkeypatch):
    monkeypatch.setattr(
        video_index, "_index_by_decoding", lambda *_: pytest.fail("the whole file was decoded")
    )


def assert_equals_a_full_decode(path):
    expected = sequential(path)
    with av.open(str(path)) as container:
        pts = [frame.pts for frame in container.decode(video=0)]
    index = index_video(path)
    assert index.seekable and index.timed
    assert index.pts.tolist() == pts
    for wanted in ([len(pts) - 1], [25, 3], [11], np.arange(len(pts))):
        np.testing.assert_array_equal(read_frames(path, index, wanted), expected[wanted])


@pytest.mark.parametrize(("name", "codec", "options", "pixels"), CODECS)
def test_one_packet_is_one_frame(tmp_path, without_decoding, name, codec, options, pixels):
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of PyAV cannot write {codec}")
    height, width = (128, 256) if codec == "dnxhd" else (48, 64)
    frames = moving_picture(30, height, width)
    assert_equals_a_full_decode(
        encode(tmp_path / name, codec, frames, options=options, pixels=pixels)
    )


def test_hidden_frames_of_vp8_are_not_counted(tmp_path, without_decoding):
    """A file from libvpx in two passes: 31 packets, 30 frames; two packets have the same time."""
    path = tmp_path / "a.webm"
    shutil.copy(Path(__file__).parent / "vp8_hidden_frames.webm", path)
    with av.open(str(path)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 31
    assert_equals_a_full_decode(path)
    assert index_video(path).num_frames == 30


def test_rejects_a_file_whose_frames_are_all_hidden(tmp_path):
    path = encode(tmp_path / "a.mkv", "libvpx", moving_picture(5))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                place = data.index(bytes(packet))
                data[place] &= ~(1 << 4)  # show_frame
    path.write_bytes(data)
    with pytest.raises(VideoReadError, match=r"a\.mkv: no frame can be decoded"):
        index_video(path)
