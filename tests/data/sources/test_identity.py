"""What is the same video: within a split, in a split by name, and across splits."""

import math
import os
import random
import shutil
import types

import cv2
import numpy as np
import pytest

from afn_jax.data.sources.identity import (
    SAME_CLIP,
    SAME_FILE,
    SAME_NAME,
    Shared,
    clips,
    file_id,
    footage,
    refuse_shared,
    same_clips,
    same_names,
    shared_videos,
)
from afn_jax.data.sources.lists.video_list import Entry, VideoList
from afn_jax.data.sources.video_files import VideoFiles
from tests.data.videos import names, write_video


@pytest.mark.parametrize(
    ("name", "path", "start", "end"),
    [
        ("Walk/a.avi", "Walk/a.avi", 0, math.inf),
        ("Walk/a.avi#t=1.5,20", "Walk/a.avi", 1.5, 20),
        ("a.avi#t=1e+06,2e+06#class=Jump", "a.avi", 1e6, 2e6),
        ("a.avi#t=3", "a.avi", 3, math.inf),
        ("a#t=b.avi", "a#t=b.avi", 0, math.inf),
        ("a.avi#class=Walk", "a.avi", 0, math.inf),
    ],
)
def test_reads_path_and_segment_from_names(name, path, start, end):
    assert footage(name)[1:4] == (path, start, end)


def shared(train, test):
    """Of names, or pairs of a name and a file."""
    sides = [[footage(*(v if isinstance(v, tuple) else (v,))) for v in s] for s in (train, test)]
    return [tuple(pair) for pair in shared_videos(*sides)]


@pytest.mark.parametrize(
    ("train", "test", "same"),
    [
        ("Walk/a.avi", "Walk/a.avi", SAME_NAME),
        ("Walk/a.avi", "Walk/./a.avi", SAME_NAME),
        ("Walk/a.avi", "Jump/../Walk/a.avi", SAME_NAME),
        ("Walk/a.avi#class=Walk", "Walk/a.avi#class=Jump", SAME_NAME),
        (("Walk/a.avi", 7), ("Walk/a.avi", 8), SAME_NAME),
        (("Walk/a.avi", 7), ("Jump/b.mp4", 7), SAME_FILE),
        (("Walk/a.avi", 7), ("Walk/x/../a.avi", 8), SAME_CLIP),  # x may be a link
        ("Walk/clip7.avi", "Walk/clip7.mp4", SAME_CLIP),
        ("Walk/clip7", "Walk/clip7.MP4", SAME_CLIP),  # a folder of frames
        ("Walk/clip.7.avi", "Walk/clip.7.ts", SAME_CLIP),
        ("Walk/clip7.avi", "Walk/clip7.txt", None),
        ("Walk/clip7.avi", "Jump/clip7.mp4", None),
        ("Walk/clip.7", "Walk/clip.8", None),
        ("Walk/a.avi#t=0,5", "Walk/a.avi#t=5,9", None),
        ("Walk/a.avi#t=0,5.5", "Walk/a.avi#t=5,9", SAME_NAME),
        ("Walk/a.avi#t=0,5.5", "Walk/a.mp4#t=5,9", SAME_CLIP),
        ("Walk/a.avi", "Walk/a.avi#t=5,9", SAME_NAME),
        ("Walk/a.avi#t=12", "Walk/a.avi#t=5,9", None),
    ],
)
def test_splits_share_a_video(train, test, same):
    text = [video[0] if isinstance(video, tuple) else video for video in (train, test)]
    text = [footage(name).name for name in text]
    assert shared([train, "u.avi"], ["v.avi", test]) == ([(*text, same)] if same else [])


def test_finds_overlapping_segments_as_a_comparison_of_all_pairs_does():
    draw = random.Random(0)
    for _ in range(200):
        sides = [
            [(start, start + draw.randint(1, 4)) for start in draw.choices(range(12), k=2)]
            for _ in range(2)
        ]
        named = [[f"a.avi#t={a},{b}" for a, b in side] for side in sides]
        expected = any(a < d and c < b for a, b in sides[0] for c, d in sides[1])
        assert bool(shared(*named)) == expected


def test_a_split_tells_other_names_from_other_encodings():
    videos = [("Walk/a.avi", 1), ("Walk/b.avi", 1), ("Walk/a.mp4", 2), ("Walk/c.avi", 3)]
    videos = [footage(*video) for video in videos]
    assert same_names(videos) == [("Walk/a.avi", "Walk/b.avi")]
    assert same_clips(videos) == [("Walk/a.avi", "Walk/a.mp4")]
    assert same_clips(footage(n) for n in ("a.avi#t=0,1", "a.avi#t=1,2", "b/a.avi")) == []


def test_clips_have_the_first_of_their_paths():
    paths = ["W/b.avi", "W/b.mp4", "W/a.avi", "W/c.avi", "W/link.avi", "W/c.gif"]
    assert clips(paths, {}) == {path: path for path in paths} | {
        "W/b.mp4": "W/b.avi",
        "W/c.gif": "W/c.avi",
    }
    # link.avi is b.mp4, which is b.avi in another encoding.
    chained = clips(paths, {"W/link.avi": 5, "W/b.mp4": 5})
    assert chained["W/link.avi"] == chained["W/b.mp4"] == chained["W/b.avi"] == "W/b.avi"


class Listed(list):
    class_names = ("a",)


def test_refuses_videos_in_both_splits():
    first, second = (
        Listed(types.SimpleNamespace(name=n) for n in names) for names in ("abc", "cd")
    )
    refuse_shared(first, second[1:])
    with pytest.raises(ValueError, match="in both the training and the test list: 1, first: c. "):
        refuse_shared(first, second)


def test_a_video_of_several_classes_counts_as_one_video():
    train, test = (
        Listed(types.SimpleNamespace(name=n) for n in names)
        for names in (("x.avi#class=a", "x.avi#class=b"), ("x.avi",))
    )
    with pytest.raises(ValueError, match="both the training and the test list: 1, first: x.avi"):
        refuse_shared(train, test)


@pytest.fixture
def root(tmp_path):
    for name in ("Walk/a.avi", "Walk/b.avi", "Jump/c.avi"):
        write_video(tmp_path / name)
    (tmp_path / "Walk/soft.avi").symlink_to("a.avi")
    os.link(tmp_path / "Walk/a.avi", tmp_path / "Jump/hard.avi")
    (tmp_path / "other").symlink_to("Walk")
    return tmp_path


OTHER_NAMES = [
    "Walk/./a.avi",
    "Jump/../Walk/a.avi",
    "Walk/soft.avi",
    "Jump/hard.avi",
    "other/a.avi",
]


def opened(root, *paths):
    entries = [Entry(path, 0) for path in paths] + [Entry("Jump/c.avi", 1)]
    return VideoFiles(root, VideoList(("Walk", "Jump"), tuple(entries), "videos of list.txt"))


@pytest.mark.parametrize("path", OTHER_NAMES)
def test_a_file_under_two_names_is_used_once(root, path):
    source = opened(root, "Walk/a.avi", path, "Walk/b.avi")
    assert names(source) == ["Walk/a.avi", "Walk/b.avi", "Jump/c.avi"]
    (skip,) = source.skipped
    assert skip.path.endswith(path)
    assert skip.reason == "the same file as Walk/a.avi; used once"
    # A copy is another file.
    shutil.copy(root / "Walk/a.avi", root / "Walk/copy.avi")
    assert len(opened(root, "Walk/a.avi", "Walk/copy.avi")) == 3


@pytest.mark.parametrize("path", OTHER_NAMES)
def test_refuses_a_file_under_two_names_in_both_splits(root, path):
    train, test = opened(root, "Walk/a.avi"), opened(root, path, "Walk/b.avi")
    with pytest.raises(ValueError, match="2, first: Jump/c.avi"):
        refuse_shared(train, test)
    with pytest.raises(ValueError, match=f"Walk/a.avi .training. and {path} .test., the same file"):
        refuse_shared(only(train, 0), only(test, 0))
    refuse_shared(only(train, 0), only(test, 1))


def only(source, index):
    one = Listed([source[index]])
    one.file_ids = [source.file_ids[index]]
    return one


def test_a_changed_file_is_another(root):
    before = file_id(os.stat(root / "Walk/a.avi"))
    assert before == file_id(os.stat(root / "other/a.avi"))
    os.utime(root / "Walk/a.avi", (1, 1))
    assert before != file_id(os.stat(root / "Walk/a.avi"))
    no_inode = types.SimpleNamespace(st_dev=1, st_ino=0, st_size=2, st_mtime_ns=3)
    assert file_id(no_inode) == 0


def test_frame_folders_have_an_identity(tmp_path):
    for name in ("Walk/x", "Jump/y"):
        (tmp_path / name).mkdir(parents=True)
        for t in range(3):
            cv2.imwrite(str(tmp_path / name / f"{t:03d}.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "Walk/also").symlink_to("x")
    entries = [Entry("Walk/x", 0), Entry("Walk/also", 0), Entry("Jump/y", 1)]
    source = VideoFiles(tmp_path, VideoList(("Walk", "Jump"), tuple(entries), "videos of list"))
    assert names(source) == ["Walk/x", "Jump/y"]


def test_describes_what_is_the_same():
    assert Shared("a", "a", SAME_NAME).describe() == "a"
    assert Shared("a.avi", "a.mp4", SAME_CLIP).describe() == (
        "a.avi (training) and a.mp4 (test), the same clip in two encodings"
    )
