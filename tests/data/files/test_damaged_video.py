"""Truncated, overwritten and unusual video files are read correctly or give a clear error."""

import os
import shutil

import av
import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.files.video import decode_all, index_video, read_frames
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources import create_source
from tests.data.videos import encode, moving_picture, sequential

INDEX_FIRST = {"movflags": "faststart"}  # the table of frames before the frames


def write_mp4(path, num_frames=40, **container_options):
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "2"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in moving_picture(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("container_options", [{}, INDEX_FIRST], ids=["table last", "table first"])
@pytest.mark.parametrize("kept", [0.5, 0.8])
def test_truncated_mp4(tmp_path, container_options, kept):
    """Frames before the cut are readable, unless the table of frames was at the end."""
    whole = write_mp4(tmp_path / "a.mp4", **container_options)
    expected = sequential(whole)
    data, cut = whole.read_bytes(), tmp_path / "cut.mp4"
    begin = data.index(b"mdat")
    size = int.from_bytes(data[begin - 4 : begin], "big")
    cut.write_bytes(data[: begin + int(kept * size)])
    if not container_options:
        with pytest.raises(VideoReadError, match=r"cut\.mp4: (Invalid data|its codec is unknown)"):
            index_video(cut)
        return
    index = index_video(cut)
    assert 0 < index.num_frames < 40 and decode_all(cut).promised == 40
    whole_frames = np.arange(index.num_frames - 3)  # the last ones may lack their reference frames
    np.testing.assert_array_equal(read_frames(cut, index, whole_frames), expected[whole_frames])


@pytest.mark.parametrize("kind", ["mpeg4.avi", "h264.mp4"])
def test_overwritten_bytes_give_an_error_or_frames_of_the_right_shape(tmp_path, kind):
    """Gives frames of the right shape or a `VideoReadError`, but never crashes."""
    whole = tmp_path / kind
    if kind.endswith("mp4"):
        write_mp4(whole)
    else:
        encode(whole, "mpeg4", moving_picture(), options={"g": "10"})
    data, outcomes = whole.read_bytes(), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        bad = np.frombuffer(data, np.uint8).copy()
        begin = rng.integers(0, len(bad) - 200)
        bad[begin : begin + 200] = rng.integers(0, 256, 200)
        path = tmp_path / f"bad{seed}{whole.suffix}"
        path.write_bytes(bad.tobytes())
        try:
            index = index_video(path)
            frames = read_frames(path, index, [0, index.num_frames - 1])
            assert frames.shape == (2, index.height, index.width, 3)
            outcomes.append(decode_all(path).damaged > 0)
        except VideoReadError as error:
            assert str(path) in str(error)
            outcomes.append(True)
    assert any(outcomes)


def test_video_of_one_frame(tmp_path):
    path = encode(tmp_path / "one.mp4", "libx264", moving_picture(1))
    index = index_video(path)
    assert (index.num_frames, index.seekable) == (1, True)
    assert read_frames(path, index, [0, 0, 0]).shape == (3, 48, 64, 3)
    with pytest.raises(ValueError, match="indices: 1 is outside .* allowed: 0 to 0"):
        read_frames(path, index, [1])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_every_rotation(tmp_path, turns):
    """Display matrices of phones, on a picture with odd sides."""
    path = encode(tmp_path / "phone.mp4", "libx264", moving_picture(3, 35, 51), pixels="yuv444p")
    lying = sequential(path)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # x' = a x + c y, y' = b x + d y, clockwise
    cos, sin = [(0, 1), (-1, 0), (0, -1)][turns - 1]
    values = [cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 14]
    data[matrix : matrix + 36] = (np.array(values, ">i4") << 16).astype(">i4").tobytes()
    path.write_bytes(data)
    index = index_video(path)
    upright = np.rot90(lying, -turns, axes=(1, 2))
    assert (index.height, index.width) == upright.shape[1:3]
    np.testing.assert_array_equal(read_frames(path, index, [0, 1, 2]), upright)
    small = read_frames(path, index, [1], short_side=20)
    assert min(small.shape[1:3]) == 20 and (small.shape[1] > small.shape[2]) == (turns % 2 == 1)


@pytest.mark.parametrize(
    "name, codec, pixels",
    [
        ("grey.mp4", "libx264", "gray"),
        ("alpha.mov", "qtrle", "argb"),
        ("alpha.webm", "libvpx-vp9", "yuva420p"),
        ("deep.mkv", "ffv1", "gray16le"),
        ("odd.mp4", "libx264", "yuv444p"),
    ],
)
def test_pixels_of_every_format_become_rgb(tmp_path, name, codec, pixels):
    odd = (35, 51) if name.startswith("odd") else (48, 64)
    original = moving_picture(6, *odd)
    path = encode(tmp_path / name, codec, original, options={"qp": "4"}, pixels=pixels)
    index = index_video(path)
    frames = read_frames(path, index, np.arange(6))
    assert frames.shape == original.shape and frames.dtype == np.uint8
    if "gray" in pixels:
        assert (frames == frames[..., :1]).all()
        original = original @ np.array([0.299, 0.587, 0.114])
        frames = frames[..., 0]
    assert np.abs(frames - original.astype(float)).mean() < 12


def test_uses_the_timestamps_of_a_variable_frame_rate(tmp_path):
    """A still image of two seconds is one frame, whatever the average rate."""
    pts = [0, 1, 2, 60, 61, 120]
    path = encode(tmp_path / "vfr.mkv", "libx264", moving_picture(6), pts=pts, options={"bf": "0"})
    index = index_video(path)
    assert index.num_frames == 6
    steps = np.diff(index.pts)
    np.testing.assert_allclose(steps / steps[0], [1, 1, 58, 1, 59], rtol=0.05)
    np.testing.assert_array_equal(read_frames(path, index, [4, 2]), sequential(path)[[4, 2]])


def test_accepts_metadata_that_are_not_utf8(tmp_path):
    path = tmp_path / "title.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Pippi XYZ"
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in moving_picture(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert b"Pippi XYZ" in data
    path.write_bytes(data.replace(b"Pippi XYZ", b"Pippi \xe5\xe4\xf6"))
    assert index_video(path).num_frames == 5


@pytest.mark.parametrize("name", [b"caf\xe9 1.avi", "naïve 視頻 %41;.avi".encode(), b"-i.avi"])
def test_accepts_names_in_no_valid_encoding(tmp_path, name):
    path = os.path.join(tmp_path, os.fsdecode(name))
    shutil.copy(encode(tmp_path / "a.avi", "mpeg4", moving_picture(5)), path)
    assert read_frames(path, index_video(path), [4]).shape == (1, 48, 64, 3)


def test_rejects_a_folder_or_a_pipe(tmp_path):
    (tmp_path / "folder.avi").mkdir()
    with pytest.raises(VideoReadError, match=r"folder\.avi: "):
        index_video(tmp_path / "folder.avi")
    os.mkfifo(tmp_path / "pipe.avi")
    for read in (index_video, decode_all):  # opening it would wait for a writer
        with pytest.raises(VideoReadError, match=r"pipe\.avi: not a regular file, but a pipe"):
            read(tmp_path / "pipe.avi")


def test_names_an_empty_file(tmp_path):
    (tmp_path / "empty.avi").touch()
    with pytest.raises(VideoReadError, match=r"empty\.avi: an empty file \(0 bytes\)$"):
        index_video(tmp_path / "empty.avi")


def test_damaged_files_leave_the_rest_of_the_dataset_usable(tmp_path):
    root = tmp_path / "videos"
    for name in ("Jump", "Run far"):
        (root / name).mkdir(parents=True)
        for i in range(4):
            encode(root / name / f"{i}.mp4", "libx264", moving_picture(5 + i))
    good = (root / "Jump" / "0.mp4").read_bytes()
    damaged = {
        "empty.mp4": b"",
        "text.avi": b"<html>404 not found</html>",
        "cut.mp4": good[: len(good) // 2],
    }
    for name, data in damaged.items():
        (root / "Run far" / name).write_bytes(data)
    lists = tmp_path / "lists"
    lists.mkdir()
    classes = ["Jump", "Run far", "Fly"]  # one without a folder
    numbered = [f"{number} {name}" for number, name in enumerate(classes, 1)]
    (lists / "classInd.txt").write_bytes("  \r\n".join(numbered).encode())
    there = [f"Jump/{i}.mp4 1" for i in range(4)] + [f"Run far/{i}.mp4 2" for i in range(4)]
    listed = [*there, *(f"Run far/{name} 2" for name in damaged), "Fly/0.mp4 3", "Fly/1.mp4 3"]
    (lists / "trainlist01.txt").write_bytes(" \r\n".join(listed).encode() + b"\r\n\r\n")
    config = DataConfig(source="video-folder", root=str(root), num_frames=4)
    source = create_source(config, "train", 0)
    assert [(v.name, v.label) for v in source] == [(line[:-2], int(line[-1]) - 1) for line in there]
    assert {os.path.basename(s.path) for s in source.skipped} == {*damaged, "0.mp4", "1.mp4"}
    assert all("Fly" in s.path for s in source.skipped if s.reason == "listed but missing")
