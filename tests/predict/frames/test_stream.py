"""Frames in order: numbers, pictures and times are those of training's random access."""

import gc

import av
import cv2
import numpy as np
import pytest

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.files.presentation_times import presentation_times
from afn_jax.data.files.video import decode_all, index_video, read_frames
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.index_cache import pack
from afn_jax.data.sources.video_files import VideoFile
from afn_jax.predict.frames.network_input import NetworkInput
from afn_jax.predict.frames.stream import Shown, open_frames
from afn_jax.predict.frames.times import FrameTimes
from afn_jax.predict.frames.windows import Windows, window_shape
from tests.data.videos import encode, moving_picture
from tests.export.fake_network import make_card

VARIABLE = [0, 1, 2, 5, 6, 13, 14, 15, 20, 21, 22, 40, 41, 42, 43, 44]  # of 1/25 s


def all_frames(path, **options):
    with open_frames(path, **options) as frames:
        return frames, list(frames)


@pytest.mark.parametrize(
    ("name", "codec", "options", "pts"),
    [
        ("a.mp4", "libx264", {"bf": "2", "g": "12"}, None),
        ("variable.mp4", "libx264", {"bf": "2", "g": "12"}, VARIABLE),
        ("late.mkv", "libx264", {"g": "12"}, [50 + k for k in VARIABLE]),
        ("a.avi", "mpeg4", {"g": "12", "bf": "2"}, None),
        ("a.ts", "mpeg2video", {"g": "12"}, None),
        ("a.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, None),
    ],
)
def test_frames_are_those_of_random_access(tmp_path, name, codec, options, pts):
    count = 16 if pts else 40
    path = encode(tmp_path / name, codec, moving_picture(count), options=options, pts=pts)
    index = index_video(path)
    frames, found = all_frames(path, short_side=32)
    assert [frame.index for frame in found] == list(range(index.num_frames))
    np.testing.assert_allclose([frame.time for frame in found], index.times, atol=1e-9)
    assert frames.end == pytest.approx(index.seconds)
    expected = read_frames(path, index, np.arange(index.num_frames), short_side=32)
    assert np.array_equal(np.stack([frame.image for frame in found]), expected)


def test_gaps_are_told(tmp_path):
    pts = [*range(20), *range(70, 90), *range(190, 210)]  # 7.1 frames per second on average
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(60), pts=pts)
    (note,) = all_frames(path)[0].notes
    assert note.startswith("no frames from 3.7 to 7.6 s, the longest of 2 gaps: it is damaged, or ")
    still = encode(tmp_path / "still.mp4", "libx264", moving_picture(8), pts=range(0, 400, 50))
    assert all_frames(still)[0].notes == []  # a picture every two seconds


def test_a_film_does_not_change_what_the_network_sees(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(5, 96, 128))
    _, plain = all_frames(path, short_side=40)
    frames, filmed = all_frames(path, short_side=40, film_height=60)
    assert [frame.picture.shape for frame in filmed] == [(60, 80, 3)] * 5
    for one, two in zip(plain, filmed, strict=True):
        assert one.picture is None
        assert np.array_equal(one.image, two.image)
    _, small = all_frames(path, short_side=40, film_height=1000)  # never enlarged
    assert small[0].picture.shape == (96, 128, 3)


def test_pictures_of_a_frame_do_not_share_memory(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(3, 48, 64))
    _, found = all_frames(path, short_side=48, film_height=48)
    assert not np.array_equal(found[0].image, found[2].image)
    assert not np.array_equal(found[0].picture, found[2].picture)


def test_damaged_packets_are_skipped_and_counted(tmp_path):
    path = encode(tmp_path / "a.ts", "libx264", moving_picture(40, 96, 128), options={"g": "8"})
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 300):
        data[at : at + 60] = bytes(60)
    path.write_bytes(data)
    whole = decode_all(path)
    assert whole.damaged > 0
    frames, found = all_frames(path)
    assert (len(found), frames.damaged) == (whole.frames, whole.damaged)
    assert frames.notes == [f"damaged frames, left out or repaired: {whole.damaged}"]


def test_a_file_without_frames_is_an_error_that_names_it(tmp_path):
    text = tmp_path / "a.mp4"
    text.write_text("no video")
    with pytest.raises(VideoReadError, match="a.mp4"):
        all_frames(text)


def test_rotation_and_pixels_are_told(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(3), aspect=2)
    frames, found = all_frames(path)
    assert found[0].image.shape == (48, 128, 3)
    assert "its pixels are not square" in frames.notes[0]


def test_a_folder_of_pictures(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    pictures = moving_picture(6)
    for k, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"img_{k + 1:05d}.png"), picture[..., ::-1])
    (folder / "img_00003.png").write_bytes(b"damaged")
    frames, found = all_frames(folder, fps=10)
    assert np.array_equal(np.stack([f.image for f in found]), np.delete(pictures, 2, axis=0))
    assert [f.time for f in found] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert frames.end == 0.5
    assert frames.notes == ["damaged pictures, left out: 1"]
    frames, found = all_frames(folder)
    assert found[1].time == 1 / 25
    assert "25 per second is assumed (--fps)" in frames.notes[0]


def test_a_raw_stream_is_timed_by_its_rate(tmp_path):
    path = encode(tmp_path / "a.h264", "libx264", moving_picture(30))
    index = index_video(path)
    _, found = all_frames(path)
    np.testing.assert_allclose([frame.time for frame in found], index.times, atol=1e-6)


@pytest.mark.parametrize(
    "stamps",
    [
        [3, 5, 9, 10],
        [0, None, None, 30],
        [0, None, None, 90],
        [0, None, None, 15],
        [None, None, 50, 60, None],
        [0, 10, 10, 20, *range(30, 130, 10)],
        [*range(0, 110, 10), 100],
        [0, 4, 4, 4, 22, 30, None, 35],
    ],
)
def test_times_agree_with_those_of_the_whole_file(stamps):
    times = FrameTimes(10.0)
    found = [time for stamp in stamps for time in times.add(stamp)] + times.finish()
    expected = presentation_times(stamps, 10.0)
    if expected is not None:
        assert [round(t) for t in found] == expected.tolist()
    assert len(found) == len(stamps)


def test_timestamps_that_start_again_are_replaced_by_the_rate():
    times = FrameTimes(10.0)
    stamps = [*range(0, 300, 10), *range(0, 300, 10)]
    found = [time for stamp in stamps for time in times.add(stamp)] + times.finish()
    assert found == list(range(0, 600, 10))


def test_frames_do_not_wait_forever_for_a_timestamp():
    times = FrameTimes(10.0)
    counts = [len(times.add(None)) for _ in range(100)]
    assert sum(counts) == 100
    assert max(counts) == 25


@pytest.mark.parametrize("brighten", ["none", "gamma", "auto"])
@pytest.mark.parametrize("size", [(24, 24), (16, 40)])
def test_windows_are_the_clips_of_the_evaluation(tmp_path, brighten, size):
    """Bit for bit, for every window of a file that is cropped, shrunk and brightened."""
    dark = moving_picture(23, 48, 72) // 4
    path = encode(tmp_path / "a.mp4", "libx264", dark, options={"bf": "2", "g": "9"})
    index = index_video(path)
    video = VideoFile("a", 0, str(path), pack(index), index.num_frames, short_side=32)
    config = DataConfig(
        num_frames=5, stride=2, size=size, short_side=32, brighten=brighten, teacher="none"
    )

    class Source(list):
        class_names, skipped = ("a", "b"), ()

    reader = ClipReader(Source([video]), config)
    card = make_card(num_frames=5, stride=2, size=size, short_side=32, brighten=brighten)
    with open_frames(path, short_side=32) as frames:
        seen = NetworkInput(card, *frames.shown.size)
        cutter, windows = Windows(window_shape(5, 2)), []
        for frame in frames:
            windows += cutter.add(frame.time, seen.frame(frame.image))
        windows += cutter.finish()
    assert len(windows) == 5

    class At:
        """Views of one clip that starts where a window does."""

        crops_per_clip = 1

        def __init__(self, start):
            self._start = start

        def starts(self, *_):
            return np.array([self._start])

        def transforms(self, name, clip, height, width, size):
            from afn_jax.data.transforms.crops import CenterCrop

            return (CenterCrop(size).draw(height, width),)

    for window in windows:
        clip = reader.evaluation_example(0, At(window.first))["frames"][0]
        assert np.array_equal(seen.window(window.frames), clip)


def test_shown_takes_the_size_of_any_picture():
    shown = Shown(96, 128, 48, 24)
    image, picture = shown.both(np.full((50, 50, 3), 7, np.uint8))
    assert image.shape == (48, 64, 3) and picture.shape == (24, 32, 3)


def test_memory_is_freed(tmp_path):
    """A generator that is closed early closes the file."""
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(30))
    with open_frames(path) as frames:
        next(iter(frames))
    assert isinstance(av.open(str(path)).streams.video[0].frames, int)


def test_decoded_frames_are_freed_at_once(tmp_path):
    """A frame of 4K video takes 12 MB, too much to wait for the cyclic garbage collection."""
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(30))
    gc.collect()
    gc.disable()
    try:
        with open_frames(path, short_side=16, film_height=32) as frames:
            for frame in frames:
                if frame.index == 25:
                    alive = [o for o in gc.get_objects() if isinstance(o, av.VideoFrame)]
    finally:
        gc.enable()
    assert len(alive) < 5


def with_sound(path, seconds, num_frames, options=None):
    """Writes a video of `num_frames` at 25 Hz with `seconds` of noise."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("flv" if path.suffix == ".flv" else "mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        sound = container.add_stream("aac", rate=44100)
        pictures = iter(moving_picture(num_frames))
        shown = 0
        for number in range(int(seconds * 44100) // 1024):
            while shown / 25 <= number * 1024 / 44100 and shown < num_frames:
                picture = av.VideoFrame.from_ndarray(next(pictures), format="rgb24")
                container.mux(stream.encode(picture))
                shown += 1
            samples = noise.integers(-9000, 9000, (1, 2048)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 44100, number * 1024
            container.mux(sound.encode(frame))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
    return path


def cut_in_half(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.avi", "mpeg4", {}),
        ("a.mkv", "libx264", {}),
        ("a.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("a.flv", "flv", {}),
    ],
)
def test_a_file_that_is_cut_off_has_a_note(tmp_path, name, codec, options):
    path = encode(tmp_path / name, codec, moving_picture(60, 96, 128), options=options)
    assert all_frames(path)[0].notes == []
    frames, found = all_frames(cut_in_half(path))
    assert 0 < len(found) < 55
    note = f"it ends after {frames.end:.1f} of 2.4 s: the file is cut off or damaged"
    assert frames.notes[-1] == note


def test_an_mp4_file_that_is_cut_off_has_a_note(tmp_path):
    path = with_sound(tmp_path / "a.mp4", 2.4, 60, {"movflags": "faststart"})
    assert all_frames(path)[0].notes == []
    assert "of 2.4 s: the file is cut off" in all_frames(cut_in_half(path))[0].notes[-1]


def test_sound_that_is_longer_than_the_pictures_is_no_damage(tmp_path):
    """The header of an FLV file has one duration for both."""
    path = with_sound(tmp_path / "a.flv", 5.0, 50)
    frames, found = all_frames(path)
    assert frames.duration == pytest.approx(5, abs=0.1) and len(found) == 50
    assert frames.notes == []
    assert "of 5.0 s" in all_frames(cut_in_half(path))[0].notes[-1]


def test_a_last_frame_that_is_shown_for_long_is_no_damage(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        packets = [
            packet
            for picture in [*moving_picture(20), None]
            for packet in stream.encode(
                picture if picture is None else av.VideoFrame.from_ndarray(picture, format="rgb24")
            )
        ]
        packets[-1].duration += round(2 / packets[-1].time_base)
        container.mux(packets)
    frames, found = all_frames(path)
    assert frames.duration > 2.5 and len(found) == 20
    assert frames.notes == []
