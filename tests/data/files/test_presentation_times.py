"""Times of frames from timestamps with gaps and repeats; the start of a file; unseekable files."""

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest

from afn_jax.data.files.presentation_times import presentation_times
from afn_jax.data.files.video import index_video, read_frames
from afn_jax.data.sources.video_files import segment_frames
from tests.data.videos import encode, moving_picture, sequential


@pytest.mark.parametrize(
    ("stamps", "period", "expected"),
    [
        ([3, 5, 9, 10], 2.0, [3, 5, 9, 10]),
        ([0, None, None, 30], 10.0, [0, 10, 20, 30]),
        ([0, None, None, 90], 10.0, [0, 10, 20, 90]),  # the last one stays on screen
        ([0, None, None, 15], 10.0, [0, 5, 10, 15]),  # too late by one period each
        ([None, None, 50, 60, None], 10.0, [30, 40, 50, 60, 70]),
        ([None, 50, None, 90, None], 0.0, [30, 50, 70, 90, 110]),  # the rate is unknown
        ([0, 10, 10, 20, *range(30, 130, 10)], 10.0, [0, 10, 15, 20, *range(30, 130, 10)]),
        ([*range(0, 110, 10), 100], 10.0, [*range(0, 120, 10)]),
        ([7], 10.0, [7]),
        ([None], 10.0, None),
        ([None, 5, None], 10.0, None),
        ([0, 2, 1, 4, 3, 6], 1.0, None),  # not in display order
        ([0, 10, 20, 30, 0, 10, 20, 30], 10.0, None),  # two recordings
        ([5, 5, 5, 5], 10.0, None),
    ],
)
def test_times_from_timestamps(stamps, period, expected):
    times = presentation_times(stamps, period)
    assert (None if times is None else times.tolist()) == expected


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_time_zero_is_where_the_sound_starts(tmp_path, name):
    """Sound from 0 s, pictures from 2 s on: a player shows picture 25 at 3 s."""
    path = tmp_path / name
    with av.open(str(path), "w", format="mpegts" if name == "a.ts" else None) as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "25"})
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        packets = []
        for k in range(400):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.rate, silence.pts = 48000, 1024 * k
            silence.time_base = Fraction(1, 48000)
            packets += sound.encode(silence)
        for k, image in enumerate(moving_picture(100)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = 50 + k, Fraction(1, 25)
            packets += video.encode(frame)
        packets += [*sound.encode(None), *video.encode(None)]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    index = index_video(path)
    assert index.num_frames == 100 and index.timed
    assert index.times[0] == pytest.approx(2.0, abs=0.03)  # the encoder's priming
    assert segment_frames(index, 3.0 - 0.01, 4.0 - 0.01) == (25, 25)
    assert segment_frames(index, 0.0, 1.9) == (0, 0)


def test_a_dropped_frame_of_avi_prolongs_the_one_before(tmp_path):
    """FFmpeg writes an empty packet for each frame that is missing."""
    pts = [0, 1, 4, 5, 9]
    path = encode(tmp_path / "a.avi", "mpeg4", moving_picture(5), pts=pts)
    with av.open(str(path)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 5
    np.testing.assert_allclose(index_video(path).times, np.array(pts) / 25)


def test_frames_are_a_period_apart_if_no_times_are_known(tmp_path):
    path = encode(tmp_path / "a.h264", "libx264", moving_picture(), options={"bf": "2"})
    index = index_video(path)
    assert not index.timed and not index.seekable and index.num_frames == 40
    np.testing.assert_allclose(index.times, np.arange(40) / index.fps)
    np.testing.assert_array_equal(read_frames(path, index, [21, 9]), sequential(path)[[21, 9]])
    assert index.seconds == pytest.approx(40 / index.fps)


def test_the_rate_comes_from_the_times_if_the_header_has_none(tmp_path):
    pts = np.cumsum([1, 3, 1, 2] * 5)
    path = encode(tmp_path / "a.wmv", "wmv2", moving_picture(20), pts=pts.tolist())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert not stream.average_rate
    index = index_video(path)
    assert index.fps == pytest.approx(25 * 19 / (pts[-1] - pts[0]), rel=1e-3)


def test_segments_do_not_depend_on_seeking(tmp_path):
    pts = np.cumsum([1, 5, 2, 40, 3] * 4).tolist()
    path = encode(tmp_path / "a.mkv", "libx264", moving_picture(20), pts=pts)
    index = index_video(path)
    unseekable = dataclasses.replace(index, seekable=False)
    for start, end in ((0.0, 2.0), (1.0, None), (2.5, 4.4)):
        assert segment_frames(index, start, end) == segment_frames(unseekable, start, end)
