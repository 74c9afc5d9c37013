"""A split without usable videos: the message names the cause and what helps."""

import pytest

from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.lists.video_list import Entry, VideoList, choose_classes
from afn_jax.data.sources.video_files import VideoFiles
from tests.data.videos import write_video

CLASSES = ("Walk", "Jump")


def listed(*entries, class_names=CLASSES):
    return VideoList(class_names, entries, "test videos of list.txt")


@pytest.fixture
def root(tmp_path):
    """One video of 0.4 s per class."""
    for name in CLASSES:
        write_video(tmp_path / "videos" / name / "a.avi", num_frames=10)
    return tmp_path / "videos"


def test_an_empty_list(root):
    with pytest.raises(ValueError, match="no test videos of list.txt: the list is empty"):
        VideoFiles(root, listed())


def test_classes_of_one_video_have_no_test_videos(root):
    with pytest.raises(ValueError, match="every class has one video, which trains; give two or mo"):
        VideoFiles(root, read_video_folder(root, "test", None, 1))


def test_a_list_of_one_class(root):
    with pytest.raises(ValueError, match="test videos of list.txt have only one class, 'Walk'; li"):
        VideoFiles(root, listed(Entry("Walk/a.avi", 0), class_names=("Walk",)))


def test_chosen_classes_without_videos(root):
    videos = listed(Entry("Walk/a.avi", 0), class_names=("Walk", "Jump", "Run"))
    with pytest.raises(ValueError, match="none of the 1 test videos of list.txt is of the chosen"):
        choose_classes(videos, ("Jump", "Run"))


@pytest.mark.parametrize(
    "segment, min_frames, advice",
    [
        ((5.0, 6.0), 2, "give segments, in seconds, that lie within their videos and have 2 or mo"),
        ((0.0, 0.04), 3, "give segments, in seconds, that lie within their videos and have 3 or m"),
        ((None, None), 11, "give videos of 11 or more frames$"),
    ],
)
def test_advice_for_segments_and_short_videos(root, segment, min_frames, advice):
    videos = listed(*(Entry(f"{name}/a.avi", i, *segment) for i, name in enumerate(CLASSES)))
    with pytest.raises(ValueError, match=f"none of the 2 test .* can be used .*; {advice}"):
        VideoFiles(root, videos, min_frames=min_frames)


def test_advice_follows_the_most_frequent_reason(root):
    """Names with braces are not taken for fields of the message."""
    (root / "{0}").mkdir()
    names = ["Walk/b.avi", "{0}/c.avi", "Jump/d.avi"]
    for name in names:
        (root / name).write_text("no video")
    (root / "Walk/empty.avi").touch()
    videos = listed(Entry("Walk/empty.avi", 0), *(Entry(n, i % 2) for i, n in enumerate(names)))
    with pytest.raises(
        ValueError, match=r"Walk/empty.avi: an empty file \(0 bytes\); .*; give videos that a playe"
    ):
        VideoFiles(root, videos)
    with pytest.raises(ValueError, match=r"; copy or download them again$"):
        VideoFiles(root, listed(Entry("Walk/empty.avi", 0), Entry("Walk/empty.avi", 1)))


def test_no_advice_about_players_for_folders_of_frames(root):
    for name in ("Walk/f", "Jump/f"):
        (root / name).mkdir()
    videos = listed(Entry("Walk/f", 0), Entry("Jump/f", 1))
    with pytest.raises(ValueError, match=r"Jump/f: no numbered pictures .*\)$"):
        VideoFiles(root, videos)
