"""Folders of numbered pictures, with flow pictures in the layouts in common use."""

import pickle
import struct
import zlib

import cv2
import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources import create_source
from afn_jax.data.sources.frame_folder import FrameFolder, find_frames
from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.video_files import VideoFiles

SIZE = 12, 20


def write_picture(path, value):
    """Writes a plain picture, gray or of the given (R, G, B)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = np.flip(np.atleast_1d(value))  # OpenCV writes (B, G, R)
    assert cv2.imwrite(str(path), np.full((*SIZE, len(value)), value, np.uint8))


def write_frames(folder, numbers=range(1, 7), name="img_{:05d}.png"):
    for number in numbers:
        write_picture(folder / name.format(number), (10 * number, 100, 200))


def write_flow(x, y, numbers=range(1, 6), shift=0):
    """Writes flow of frame n: (x, y) gray levels 100 + n and 50 + n, the last clipped at 255."""
    for number in numbers:
        last = number == max(numbers)
        write_picture(x.parent / x.name.format(number + shift), 255 if last else 100 + number)
        write_picture(y.parent / y.name.format(number + shift), 50 + number)


TSN = "flow_x_{:05d}.png", "flow_y_{:05d}.png"


def make(tmp_path, layout):
    """Makes two classes of five videos of six frames with flow; returns the root."""
    root = tmp_path / ("jpegs_256" if layout == "feichtenhofer" else "frames")
    for name in ("Walk", "Jump high"):
        for i in range(5):
            folder = f"{name}/v {i}"
            frames = root / folder
            if layout == "tsn":
                write_frames(frames)
                write_flow(frames / TSN[0], frames / TSN[1])
            elif layout == "x and y":
                write_frames(frames, name="{}.png")
                write_flow(frames / "x_{}.png", frames / "y_{}.png")
            elif layout == "from 0":
                write_frames(frames, name="frame{:03d}.png")
                write_flow(frames / TSN[0], frames / TSN[1], shift=-1)
            else:
                write_frames(frames, name="frame{:06d}.png")
                u, v = (tmp_path / "tvl1_flow" / part / folder for part in "uv")
                write_flow(u / "frame{:06d}.png", v / "frame{:06d}.png")
    return root


@pytest.mark.parametrize("layout", ["tsn", "x and y", "from 0", "feichtenhofer"])
def test_layouts(tmp_path, layout):
    root = make(tmp_path, layout)
    config = DataConfig(
        source="frame-folder", root=str(root), num_frames=3, short_side=12, index_cache="none"
    )
    train, test = (create_source(config, split, 0) for split in ("train", "test"))
    assert (len(train), len(test)) == (8, 2)
    assert train.class_names == ("Jump high", "Walk") and train.skipped == ()
    assert {v.name for v in train} | {v.name for v in test} == {
        f"{name}/v {i}" for name in train.class_names for i in range(5)
    }
    video = pickle.loads(pickle.dumps(test[1]))
    assert (video.label, video.num_frames, video.has_flow) == (1, 6, True)
    clip = video.clip(np.array([2, 5, 4, 2]))
    assert clip.frames.shape == (4, *SIZE, 3) and clip.frames.dtype == np.uint8
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [30, 60, 50, 30])
    np.testing.assert_array_equal(clip.frames[0, 3, 4], [30, 100, 200])
    # Frame index 2 is number 3: levels 103 and 53 of 0..255 stand for -20..20 px.
    expected = [(103 / 255 * 40 - 20, 53 / 255 * 40 - 20)] * 2
    np.testing.assert_allclose(clip.flows[[0, 3], 5, 6], expected, atol=1e-5)
    # No flow after the last frame; the one before it was clipped at 20 px.
    np.testing.assert_array_equal(clip.flow_mask.all((1, 2)), [True, False, False, True])
    assert not clip.flow_mask[1:3].any() and not clip.flows[1].any()
    assert not video.clip(np.array([5])).flow_mask.any()
    with pytest.raises(ValueError, match="allowed: 0 to 5"):
        video.clip(np.array([6]))


def test_flow_is_resized_and_scaled(tmp_path):
    root = make(tmp_path, "tsn")
    videos = read_video_folder(root, "train", None, 1, frames=True)
    half = VideoFiles(root, videos, short_side=6, flow_bound=10.0)[0].clip(np.array([0, 5]))
    assert half.frames.shape == (2, 6, 10, 3) and half.flows.shape == (2, 6, 10, 2)
    expected = [(101 / 255 * 20 - 10) / 2, (51 / 255 * 20 - 10) / 2]
    np.testing.assert_allclose(half.flows[0, 2, 3], expected, atol=1e-5)
    assert half.flow_mask[0].all() and not half.flow_mask[1].any()
    for stored in (True, False):  # --data.no-stored-flow, which training on the action alone sets
        config = DataConfig(source="frame-folder", root=str(root), num_frames=4, stored_flow=stored)
        assert create_source(config, "train", 0)[0].has_flow == stored
    without = VideoFiles(root, videos, flow_bound=0)[0]
    assert not without.has_flow and without.clip(np.array([0])).flows is None


def test_no_flow_across_gaps_in_the_numbers(tmp_path):
    """Where a frame or a flow picture is missing, there is no flow across the gap."""
    write_frames(tmp_path, [7, 8, 10, 11, 12])
    write_flow(tmp_path / TSN[0], tmp_path / TSN[1], [7, 8, 10, 99])
    video = FrameFolder("v", 0, *find_frames(tmp_path.parent, tmp_path.name))
    clip = video.clip(np.arange(5))
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [70, 80, 100, 110, 120])
    np.testing.assert_array_equal(clip.flow_mask[:, 0, 0], [True, False, True, False, False])


def test_reports_damaged_pictures(tmp_path):
    root = make(tmp_path, "tsn")
    folder = root / "Walk" / "v 0"
    (folder / "img_00002.png").write_text("no picture")
    (folder / "flow_y_00004.png").unlink()
    cv2.imwrite(str(folder / "img_00006.png"), np.zeros((7, 20, 3), np.uint8))
    video = FrameFolder("Walk/v 0", 0, *find_frames(root, "Walk/v 0"))
    for indices, message in [
        ([0, 1], "img_00002.png: not an image that OpenCV can read"),
        ([0, 5], "20 x 7 "),
    ]:
        with pytest.raises(VideoReadError, match=message):
            video.clip(np.array(indices))
    assert not video.clip(np.array([3])).flow_mask.any()
    cv2.imwrite(str(folder / "flow_x_00001.png"), np.zeros((7, 20), np.uint8))
    with pytest.raises(VideoReadError, match="flow_x_00001.png: 20 x 7 pixels, but the picture of"):
        video.clip(np.array([0]))


def test_skips_folders_of_unnumbered_pictures(tmp_path):
    """Cameras name pictures by the time, in nanoseconds or in more digits than a number holds."""
    root = make(tmp_path, "from 0")
    times = {"times": (1403636579763555584, 1403636579813555456), "digits": (10**20, 10**20 + 1)}
    for name, numbers in times.items():
        for number in numbers:
            write_picture(root / "Walk" / name / f"{number}.png", 100)
    sources = [
        VideoFiles(root, read_video_folder(root, split, None, 1, frames=True), flow_bound=0)
        for split in ("train", "test")
    ]
    skipped = [skip for source in sources for skip in source.skipped]
    assert [(s.path.rpartition("/")[2], s.reason) for s in skipped] == [
        ("digits", "numbers larger than 2^62")
    ]
    assert sum(len(source) for source in sources) == 11


def test_skips_the_few_videos_without_flow(tmp_path):
    root = make(tmp_path, "tsn")
    write_frames(root / "Walk" / "bare")
    write_frames(root / "Walk" / "short", [1])
    (root / "Walk" / "thumbnail.jpg").write_bytes(b"")
    sources = [
        VideoFiles(root, read_video_folder(root, split, None, 1, frames=True))
        for split in ("train", "test")
    ]
    skipped = [(s.path.rpartition("/")[2], s.reason) for part in sources for s in part.skipped]
    assert skipped == [("bare", "no flow pictures beside the frames")]
    assert sum(len(part) for part in sources) == 10
    for i in range(40):
        write_frames(root / "Walk" / f"more {i}", [1, 2])
    videos = read_video_folder(root, "train", None, 1, frames=True)
    with pytest.raises(
        ValueError, match="videos under .* have flow pictures; .*--data.flow-bound 0"
    ):
        VideoFiles(root, videos)
    assert len(VideoFiles(root, videos, flow_bound=0)) > 30


def test_frame_folders_replace_listed_videos(tmp_path):
    """The official lists name video files; their frames lie in folders without classes."""
    for name in ("v_Run_g01_c01", "v_Jump_g01_c01"):
        write_frames(tmp_path / "jpegs" / name, name="frame{:06d}.png")
    (tmp_path / "classInd.txt").write_text("1 Run\n2 Jump\n")
    (tmp_path / "trainlist01.txt").write_text(
        "Run/v_Run_g01_c01.avi 1\nJump/v_Jump_g01_c01.avi 2\n"
    )
    videos = read_video_folder(tmp_path / "jpegs", "train", tmp_path, 1)
    flat = VideoFiles(tmp_path / "jpegs", type(videos)(**{**vars(videos), "anywhere": True}))
    assert [(v.name, v.label) for v in flat] == [("v_Run_g01_c01", 0), ("v_Jump_g01_c01", 1)]


def test_rejects_wrong_layouts(tmp_path):
    root = make(tmp_path, "tsn")
    with pytest.raises(
        ValueError, match=r"holds a video \(but there are 10 folders of frames\).*frame-folder"
    ):
        read_video_folder(root, "train", None, 1)
    with pytest.raises(ValueError, match=r"no subfolder .* holds a folder of numbered pictures"):
        read_video_folder(root / "Walk", "train", None, 1, frames=True)


def test_real_frames(shared_data):
    """OpenMMLab's sample: ten frames, and flow for the first five."""
    video = FrameFolder("v", 0, *find_frames(shared_data / "single_clips", "rawframes_mmaction2"))
    clip = video.clip(np.arange(10))
    assert clip.frames.shape == (10, 240, 320, 3)
    np.testing.assert_array_equal(clip.flow_mask.mean((1, 2)) > 0.9, np.arange(10) < 5)
    frames, flow = find_frames(shared_data / "single_clips", "rawframes_kylemin_S3D")
    assert flow is None and len(frames.numbers) > 40


# ---------------------------------------------------------------- Names as people have them


def write_named(folder, names):
    """Writes picture i with gray level 20 i, whatever its name; lossy formats keep it nearly."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names, 1):
        shape = SIZE if name.endswith(".pgm") else (*SIZE, 3)
        _, data = cv2.imencode(name[name.rindex(".") :], np.full(shape, 20 * i, np.uint8))
        (folder / name).write_bytes(data.tobytes())


@pytest.mark.parametrize(
    "names",
    [
        ["img_1.jpg", "img_2.JPG", "IMG_003.Jpeg", "img_4.png", "img_10.bmp", "img_11.jpg"],
        ["0.90.jpg", "1.00.jpg", "1.10.jpg", "10.00.jpg"],
        ["1.webp", "2.webp", "10.ppm", "20.tif", "21.pgm", "100.bmp"],
        ["0001_rgb.bmp", "0002_rgb.bmp", "0003_rgb.bmp"],
    ],
)
def test_reads_all_frames_in_order(tmp_path, names):
    write_named(tmp_path / "v", names)
    for other in ("Thumbs.db", ".DS_Store", "._img_1.jpg"):
        (tmp_path / "v" / other).write_bytes(b"\x00")
    frames, flow = find_frames(tmp_path, "v")
    video = pickle.loads(pickle.dumps(FrameFolder("v", 0, frames, flow)))
    assert video.num_frames == len(names) and flow is None
    clip = video.clip(np.arange(len(names)))
    assert np.abs(clip.frames[:, 5, 5, 1] - 20.0 * np.arange(1, len(names) + 1)).max() < 3
    assert [frames.path(n) for n in frames.numbers] == [str(tmp_path / "v" / n) for n in names]


def test_flow_of_frames_with_times_and_mixed_padding(tmp_path):
    times = ["0.9", "0.95", "1.0", "1.15", "1.2"]  # none at 1.05 and 1.1
    write_named(tmp_path / "t", [f"img_{time}.png" for time in times])
    for component in "xy":
        write_named(tmp_path / "t", [f"flow_{component}_{time}.png" for time in times[:4]])
    video = FrameFolder("t", 0, *find_frames(tmp_path, "t"))
    known = video.clip(np.arange(5)).flow_mask.all((1, 2))
    np.testing.assert_array_equal(known, [True, True, False, True, False])
    write_named(tmp_path / "p", [f"img_{i}.png" for i in ("8", "009", "10", "12")])
    for component in "xy":
        write_named(tmp_path / "p", [f"{component}_{i}.png" for i in ("08", "9", "10")])
    video = FrameFolder("p", 0, *find_frames(tmp_path, "p"))
    known = video.clip(np.arange(4)).flow_mask.all((1, 2))
    np.testing.assert_array_equal(known, [True, True, False, False])


def config_of(root, **changes):
    return DataConfig(
        **{"source": "frame-folder", "root": str(root), "num_frames": 3, "index_cache": "none"}
        | changes
    )


def test_two_kinds_of_pictures_are_refused_until_the_option_decides(tmp_path):
    for name in ("Walk", "Run"):
        for i in range(3):
            folder = tmp_path / name / f"v{i}"
            write_named(folder, [f"img_{n:05d}.png" for n in range(1, 5)])
            write_named(folder, [f"depth_{n:05d}.png" for n in range(1, 4)])
    with pytest.raises(
        ValueError, match=r"in 4 of 4 folders .* img_# \(4 .*depth_# \(3 .*'img_\*'"
    ):
        create_source(config_of(tmp_path), "train", 0)
    for pattern, count in (("img_*", 4), ("DEPTH_", 3)):
        source = create_source(config_of(tmp_path, frame_names=pattern), "train", 0)
        assert {video.num_frames for video in source} == {count} and not source.skipped
    with pytest.raises(ValueError, match=r"no name of its 7 numbered pictures is like 'rgb_\*'"):
        create_source(config_of(tmp_path, frame_names="rgb_*"), "train", 0)


def test_one_undecided_folder_among_many_is_skipped_and_told(tmp_path):
    for name in ("Walk", "Run"):
        for i in range(60):
            write_named(tmp_path / name / f"v{i}", ["1.png", "2.png", "3.png"])
    write_named(tmp_path / "Walk" / "v7", ["a_1.png", "a_2.png"])
    sources = [create_source(config_of(tmp_path), split, 0) for split in ("train", "test")]
    (skipped,) = [skip for source in sources for skip in source.skipped]
    assert skipped.path.endswith("v7") and "2 groups of pictures" in skipped.reason
    assert sum(map(len, sources)) == 119


def test_a_frame_that_claims_a_giant_size_is_refused_at_once(tmp_path):
    write_frames(tmp_path / "v", [1, 2])
    path = tmp_path / "v" / "img_00002.png"
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    video = FrameFolder("v", 0, *find_frames(tmp_path, "v"))
    with pytest.raises(VideoReadError, match="img_00002.png: the header says 30000 x 30000 pixels"):
        video.clip(np.array([0, 1]))


def test_keeps_names_compactly(tmp_path):
    names = {
        "plain": ([f"img_{i:05d}.jpg" for i in range(1, 301)], 500),
        "mixed": ([f"{i}.jpg" if i % 2 else f"{i:05d}.JPG" for i in range(1, 301)], 4000),
    }
    for folder, (files, most) in names.items():
        (tmp_path / folder).mkdir()
        for name in files:
            (tmp_path / folder / name).touch()
        frames, _ = find_frames(tmp_path, folder)
        assert len(pickle.dumps(frames)) < most and len(frames.numbers) == 300
        assert [frames.path(n) for n in frames.numbers] == [
            str(tmp_path / folder / n) for n in files
        ]


def test_single_pictures_beside_the_frames_are_counted_or_refused(tmp_path):
    for name in ("Walk", "Run"):
        for i in range(4):
            write_named(tmp_path / name / f"v{i}", [f"img_{n}.png" for n in range(1, 6)])
    copies = [tmp_path / "Walk" / f"v{i}" / "img_3 copy.png" for i in range(3)]
    for path in copies:
        write_picture(path, 100)
    sources = [create_source(config_of(tmp_path), split, 0) for split in ("train", "test")]
    assert {video.num_frames for source in sources for video in source} == {5}
    items = [item for source in sources for item in source.unused]
    assert sum(item.count for item in items) == 3
    assert {(item.kind, item.reason) for item in items} == {
        (".png", "picture in a folder of frames whose name has another form")
    }
    assert all(tmp_path / item.example in copies for item in items)
    for i in range(4):
        write_picture(tmp_path / "Run" / f"v{i}" / "img_3 (1).png", 100)
        write_picture(tmp_path / "Run" / f"v{i}" / "img_4 copy.png", 100)
    with pytest.raises(ValueError, match=r"img_# \(5|names of 2 have other .*'img_\[0-9\]\.\*'"):
        create_source(config_of(tmp_path), "train", 0)
    source = create_source(config_of(tmp_path, frame_names="img_[0-9].*"), "train", 0)
    assert {video.num_frames for video in source} == {5} and not source.unused
