"""The source of all file datasets: finding files, segments, the cache of frame indices."""

import dataclasses
import os
import pickle
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.files.video import VideoIndex, index_video
from afn_jax.data.sources import create_source, video_files
from afn_jax.data.sources.index_cache import (
    IndexCache,
    default_folder,
    pack,
    unpack,
)
from afn_jax.data.sources.lists.video_list import Entry, VideoList
from afn_jax.data.sources.video_files import VideoFiles, segment_frames
from tests.data.videos import names, write_video


def listed(*entries, anywhere=False, class_names=("Walk", "Jump high")):
    entries = tuple(entry if isinstance(entry, Entry) else Entry(*entry) for entry in entries)
    return VideoList(class_names, entries, "train videos of list.txt", anywhere)


@pytest.fixture
def root(tmp_path):
    """Four videos at 25 frames per second; frame t is gray with brightness `value` + 10 t."""
    root = tmp_path / "videos"
    for name, value in {"Walk/a.avi": 20, "Walk/b.avi": 40, "Jump high/c.avi": 60}.items():
        write_video(root / name, num_frames=10, value=value)
    write_video(root / "loose" / "d.mp4", num_frames=10, value=100)
    return root


NFD = unicodedata.normalize("NFD", "größe.avi")


@pytest.mark.parametrize(
    ("on_disk", "in_list", "anywhere", "found"),
    [
        ("Walk/x.mp4", "Walk/x.avi", False, True),  # re-encoded
        ("Walk/x.y.MPG", "Walk/x.y.avi", False, True),
        (f"Walk/{NFD}", "Walk/größe.avi", False, True),  # as macOS writes names
        ("Walk/%23122_No%20Name.avi", "Walk/#122_No Name.avi", False, True),
        ("Walk/#1 a.avi", "Walk/%231%20a.avi", False, True),
        ("Walk/x/x.avi", "Walk/x.avi", False, False),
        ("x.avi", "Walk/x.avi", True, True),
        ("train/walk/x.mp4", "Walk/x.avi", True, True),
        ("Jump_high/x.avi", "Walk/x.avi", True, False),  # of another class: another video
        ("Jump high/x.avi", "Walk/x.avi", False, False),
        ("Walk/other name.mp4", "Walk/x.avi", True, True),
        ("Walk/other name.mp4", "Walk/x.avi", False, True),
        (".hidden/x.avi", "Walk/x.avi", True, False),
    ],
)
def test_finding(root, on_disk, in_list, anywhere, found):
    write_video(root / on_disk, num_frames=3)
    entry = Entry(in_list, 0, also=("other name.avi",))
    videos = listed(entry, ("Jump high/c.avi", 1), ("Walk/a.avi", 0), anywhere=anywhere)
    source = VideoFiles(root, videos)
    assert (names(source)[0] == on_disk) == found and len(source) == 2 + found
    missing = () if found else ((str(root / in_list), "listed but missing"),)
    assert tuple((s.path, s.reason) for s in source.skipped) == missing


def test_links_may_form_a_cycle(root):
    (root / "loose" / "up").symlink_to(root)
    (root / "loose" / "also").symlink_to(root / "Walk")
    videos = listed(("Jump high/c.avi", 1), ("x/gone.avi", 0), ("x/b.avi", 0), anywhere=True)
    assert names(VideoFiles(root, videos)) == ["Jump high/c.avi", "Walk/b.avi"]


def test_rejects_wrong_roots(root):
    videos = listed(("Walk/a.avi", 0), ("Jump high/c.avi", 1))
    with pytest.raises(ValueError, match="none of the 2 train videos of list.txt is under .*loose"):
        VideoFiles(root / "loose", videos)
    with pytest.raises(
        ValueError, match="only one of the 2 listed classes, 'Walk'; give the folder"
    ):
        VideoFiles(root / "Walk", listed(*videos.entries, anywhere=True))
    # The folder above works too if names identify the videos.
    assert len(VideoFiles(root.parent, listed(*videos.entries, anywhere=True))) == 2


def test_names_are_unique(root):
    """In THUMOS14, the segments of CliffDiving are also listed for Diving."""
    videos = listed(
        Entry("Walk/a.avi", 0, 0.08, 0.2),
        Entry("Walk/a.avi", 1, 0.08, 0.2),
        Entry("Walk/b.avi", 0),
        ("Walk/b.avi", 0),
        ("Jump high/c.avi", 1),
    )
    source = VideoFiles(root, videos)
    assert [(video.name, video.label) for video in source] == [
        ("Walk/a.avi#t=0.08,0.2#class=Walk", 0),
        ("Walk/a.avi#t=0.08,0.2#class=Jump high", 1),
        ("Walk/b.avi", 0),
        ("Jump high/c.avi", 1),
    ]
    assert [(skip.path, skip.reason) for skip in source.skipped] == [
        (str(root / "Walk/b.avi"), "listed more than once; used once")
    ]


def test_segments(root):
    """Frames are 0.04 s apart: from .08 s and before .2 s those of numbers 2, 3, 4 are shown."""
    videos = listed(
        Entry("Walk/a.avi", 0, 0.08, 0.2),
        Entry("Walk/a.avi", 1, 0.3, 9.0),
        Entry("Walk/a.avi", 1, 5.0, 6.0),
        Entry("Walk/b.avi", 0, 0.2, 0.1),
        Entry("Jump high/c.avi", 1),
    )
    source = pickle.loads(pickle.dumps(VideoFiles(root, videos)))
    assert [(v.name, v.label, v.num_frames) for v in source] == [
        ("Walk/a.avi#t=0.08,0.2", 0, 3),
        ("Walk/a.avi#t=0.3,9", 1, 2),
        ("Jump high/c.avi", 1, 10),
    ]
    assert [(s.path.rpartition("/")[2], s.reason) for s in source.skipped] == [
        ("a.avi#t=5,6", "0 frames in the segment, fewer than 2; the video is 0.4 s long"),
        ("b.avi#t=0.2,0.1", "0 frames in the segment, fewer than 2; the video is 0.4 s long"),
    ]
    frames = source[0].clip(np.array([2, 0])).frames
    np.testing.assert_allclose(frames.mean((1, 2, 3)), [20 + 40, 20 + 20], atol=3)
    with pytest.raises(ValueError, match="indices: 3 is outside .* allowed: 0 to 2"):
        source[0].clip(np.array([3]))


def test_segments_of_irregular_frames(tmp_path):
    """Compares with the timestamps of the file."""
    path = tmp_path / "a.mkv"
    pts = np.cumsum([0, 1, 5, 2, 40, 3, 7, 1, 30, 4])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
        stream.codec_context.time_base = Fraction(1, 25)
        for t in pts:
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            frame.pts = int(t)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        times = np.array([frame.time for frame in container.decode(video=0)])
    index = index_video(path)
    rng = np.random.default_rng(0)
    for start, end in np.sort(rng.uniform(0, times[-1], (30, 2)), -1):
        shown = np.flatnonzero((times >= start) & (times < end))
        first, count = segment_frames(index, start, end)
        np.testing.assert_array_equal(first + np.arange(count), shown)
    assert segment_frames(index, 0.0, None) == (0, 10)


FIELDS = {field.name for field in dataclasses.fields(VideoIndex)} - {"pts", "keyframes"}


def index_of(rng, num_frames):
    return VideoIndex(
        num_frames,
        np.sort(rng.integers(-(2**40), 2**40, num_frames)),
        np.flatnonzero(rng.random(num_frames) < 0.1),
        bool(rng.random() < 0.5),
        29.97,
        240,
        320,
        1 / 12800,
        int(rng.integers(-(2**40), 2**40)),
        bool(rng.random() < 0.5),
    )


def assert_same(one, two):
    for name in FIELDS:
        assert getattr(one, name) == getattr(two, name)
    np.testing.assert_array_equal(one.pts, two.pts)
    np.testing.assert_array_equal(one.keyframes, two.keyframes)
    assert one.pts.dtype == two.pts.dtype


@pytest.mark.parametrize("num_frames", [1, 2, 3, 300])
def test_packed_indices_round_trip(num_frames):
    rng = np.random.default_rng(num_frames)
    for _ in range(20):
        index = index_of(rng, num_frames)
        assert_same(unpack(pack(index)), index)
    regular = VideoIndex(300, 512 * np.arange(300), np.arange(0, 300, 12), True, 30.0, 240, 320)
    assert_same(unpack(pack(regular)), regular)
    assert len(pack(regular)) < 90


def count_indexed(monkeypatch):
    seen = []
    original = video_files.index_video
    monkeypatch.setattr(
        video_files,
        "index_video",
        lambda path: seen.append(os.path.basename(path)) or original(path),
    )
    return seen


def test_a_second_start_indexes_nothing(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen = count_indexed(monkeypatch)
    config = DataConfig(source="video-folder", root=str(root), num_frames=2)

    def start(**settings):
        seen.clear()
        data = DataConfig(**{**vars(config), **settings})
        sources = [create_source(data, split, 0) for split in ("train", "test")]
        return sorted(seen), [(v.name, v.index.pts.tolist()) for part in sources for v in part]

    everything = ["a.avi", "b.avi", "c.avi", "d.mp4"]
    first, videos = start()
    assert first == everything
    assert start() == ([], videos)
    assert len(list(default_folder().iterdir())) == 1
    # A changed file is indexed again; without a cache or in a different folder, all files are.
    write_video(root / "Walk/a.avi", num_frames=7)
    assert start()[0] == ["a.avi"]
    assert start(index_cache="none")[0] == everything
    assert start(index_cache=str(tmp_path / "other"))[0] == everything
    assert start()[0] == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "folder"])
def test_a_damaged_cache_is_rebuilt(root, tmp_path, monkeypatch, damage):
    cache = tmp_path / "cache"
    videos = listed(("Walk/a.avi", 0), ("Jump high/c.avi", 1))
    VideoFiles(root, videos, cache_folder=cache)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    if damage == "folder":  # it cannot be replaced either: everything works without it
        path.unlink()
        path.mkdir()
    else:
        contents = {
            "cut": whole[:middle],
            "empty": b"",
            "text": b"no cache",
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        }
        path.write_bytes(contents[damage])
    seen = count_indexed(monkeypatch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(VideoFiles(root, videos, cache_folder=cache)) == 2
    assert sorted(seen) == ["a.avi", "c.avi"]
    if damage == "folder":
        assert "data.index_cache: " in str(caught[0].message)
    else:
        assert not caught and len(list(cache.iterdir())) == 1
        seen.clear()
        VideoFiles(root, videos, cache_folder=cache)
        assert seen == []


def test_indices_of_an_earlier_version_are_found_again(root, tmp_path, monkeypatch):
    """Version 2 had no times."""
    cache = tmp_path / "cache"
    videos = listed(("Walk/a.avi", 0), ("Jump high/c.avi", 1))
    VideoFiles(root, videos, cache_folder=cache)
    (path,) = cache.iterdir()
    data = path.read_bytes()
    version, _, rest = data.partition(b"\n")
    assert version == b"afn_jax frame indices 3"
    path.write_bytes(b"afn_jax frame indices 2\n" + rest)
    seen = count_indexed(monkeypatch)
    VideoFiles(root, videos, cache_folder=cache)
    assert sorted(seen) == ["a.avi", "c.avi"]


def test_each_file_is_opened_only_to_index_it(root, tmp_path, monkeypatch):
    opened = []
    original = av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(a[0]) or original(*a, **k))
    cache = tmp_path / "cache"
    videos = listed(Entry("Walk/a.avi", 0, 0.0, 0.2), ("Jump high/c.avi", 1))
    VideoFiles(root, videos, cache_folder=cache)
    assert sorted(map(os.path.basename, opened)) == ["a.avi", "c.avi"]
    VideoFiles(root, videos, cache_folder=cache)
    assert len(opened) == 2


def add_to_cache(folder, root, number):
    index = VideoIndex(2, np.arange(2), np.zeros(1, np.int64), True, 25.0, 8, 8)
    for i in range(20):
        cache = IndexCache(folder, root)
        cache.put(f"{number} {i} ü.avi", os.stat(__file__), pack(index))
        cache.save()


def test_two_simultaneous_writers(tmp_path):
    """The file is complete at every moment, with the additions of one of the writers."""
    folder = tmp_path / "cache"
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(add_to_cache, folder, tmp_path, number) for number in range(2)]
        seen = 0
        while not all(writer.done() for writer in writers):
            # Loaded once, because the file changes between two loads.
            cache = IndexCache(folder, tmp_path)
            known = sum(
                cache.get(f"{number} 0 ü.avi", os.stat(__file__)) is not None for number in range(2)
            )
            assert known or not seen  # never empty again, and never half a file
            seen += known
        [writer.result() for writer in writers]
    (path,) = folder.iterdir()  # no temporary file is left
    cache = IndexCache(folder, tmp_path)
    assert any(cache.get(f"{number} 19 ü.avi", os.stat(__file__)) for number in range(2))
