import pickle
import shutil

import numpy as np
import pytest

from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.video_files import VideoFiles
from tests.data.videos import names, write_video


def video_folder(root, *, split="train", lists=None, list_number=1, **files):
    return VideoFiles(root, read_video_folder(root, split, lists, list_number), **files)


@pytest.fixture
def folder(tmp_path):
    """Two classes of five videos, in a folder whose parent holds nothing else."""
    root = tmp_path / "videos"
    for label, name in enumerate(["Walk", "Jump high"]):
        for i in range(5):
            write_video(root / name / f"clip {i}.avi", value=20 + 100 * label)
    return root


def test_split_by_name(folder):
    train, test = video_folder(folder), video_folder(folder, split="test")
    assert train.class_names == test.class_names == ("Jump high", "Walk")
    assert (len(train), len(test)) == (8, 2)
    expected = {f"{c}/clip {i}.avi" for c in train.class_names for i in range(5)}
    assert set(names(train)) | set(names(test)) == expected
    assert train.skipped == ()
    for video in test:
        assert video.name.startswith(test.class_names[video.label])
        assert (video.num_frames, video.has_flow) == (6, False)


def test_clip(folder):
    video = pickle.loads(pickle.dumps(video_folder(folder, split="test", short_side=16)))[1]
    clip = video.clip(np.array([4, 0, 0]))
    assert video.label == 1
    assert clip.frames.shape == (3, 16, 24, 3) and clip.frames.dtype == np.uint8
    assert clip.flows is None and clip.flow_mask is None
    np.testing.assert_allclose(clip.frames.mean((1, 2, 3)), [60, 20, 20], atol=3)


def test_reports_a_video_damaged_after_opening(folder):
    video = video_folder(folder)[0]
    write_video(folder / video.name, num_frames=2)
    with pytest.raises(VideoReadError, match=video.name):
        video.clip(np.array([5]))


def test_lists_decide_the_split(folder):
    lists = folder.parent / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Walk\n2 Jump high\n")
    (lists / "trainlist01.txt").write_text("Walk/clip 0.avi 1\nJump high/clip 3.avi 2\n")
    (lists / "testlist01.txt").write_text("Walk/gone.avi\nWalk/clip 4.avi\n")
    (lists / "trainlist02.txt").write_text("Walk/clip 1.avi 1\n")
    train, test = video_folder(folder), video_folder(folder, split="test")
    assert train.class_names == ("Walk", "Jump high")
    assert [(v.name, v.label) for v in train] == [
        ("Walk/clip 0.avi", 0),
        ("Jump high/clip 3.avi", 1),
    ]
    assert names(test) == ["Walk/clip 4.avi"]
    assert [(s.path, s.reason) for s in test.skipped] == [
        (str(folder / "Walk/gone.avi"), "listed but missing")
    ]
    assert names(video_folder(folder, list_number=2)) == ["Walk/clip 1.avi"]
    with pytest.raises(ValueError, match="has no testlist02.txt, only .*trainlist02.txt"):
        video_folder(folder, split="test", list_number=2)
    with pytest.raises(ValueError, match="holds neither trainlist01.txt nor any other such list"):
        video_folder(folder, lists=folder)

    other = folder.parent / "other"
    other.mkdir()
    (other / "trainlist01.txt").write_text("Jump high/clip 2.avi\n")
    source = video_folder(folder, lists=other)
    assert names(source) == ["Jump high/clip 2.avi"]
    assert source.class_names == ("Jump high", "Walk")  # no classInd.txt there: sorted

    (other / "trainlist01.txt").write_text("".join(f"Walk/{c}.avi\n" for c in "abcd"))
    with pytest.raises(ValueError) as error:
        video_folder(folder, lists=other)
    assert "none of the 4 train videos" in str(error.value)
    assert "Walk/a.avi, Walk/b.avi, Walk/c.avi)" in str(error.value)
    assert str(folder) in str(error.value)


def test_unreadable_and_short_videos_are_skipped(folder):
    shutil.copy(folder / "Walk/clip 0.avi", folder / "Walk/copy.avi")
    (folder / "Walk/empty.avi").write_bytes(b"")
    (folder / "Walk/text.mp4").write_text("no video")
    (folder / "Walk/notes.txt").write_text("not even called a video")
    for name in ("Fly/a.vob", "lists/trainlist.txt"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("")
    write_video(folder / "Walk/one.avi", num_frames=1)
    sources = [video_folder(folder, split=split) for split in ("train", "test")]
    reasons = {s.path.rsplit("/", 1)[1]: s.reason for source in sources for s in source.skipped}
    assert set(reasons) == {"empty.avi", "text.mp4", "one.avi", "Fly"}
    assert reasons["Fly"].startswith("not a class: it holds Fly/a.vob but no video;")
    assert reasons["one.avi"] == "1 frames, fewer than 2"
    assert "Invalid data" in reasons["text.mp4"]
    assert sum(len(source) for source in sources) == 11
    assert sum(len(video_folder(folder, split=s, min_frames=1)) for s in ("train", "test")) == 12


def test_nested_and_hidden_files(folder):
    write_video(folder / "Walk/outdoors/deep.MP4")
    shutil.copy(folder / "Walk/clip 0.avi", folder / "Walk/._clip 0.avi")
    (folder / ".cache").mkdir()
    (folder / "empty class").mkdir()
    everything = names(video_folder(folder)) + names(video_folder(folder, split="test"))
    assert "Walk/outdoors/deep.MP4" in everything and len(everything) == 11
    assert video_folder(folder).class_names == ("Jump high", "Walk")


def test_rejects_wrong_folders(tmp_path, folder):
    with pytest.raises(ValueError, match="split: got 'val'; allowed: 'train' and 'test'"):
        video_folder(folder, split="val")
    with pytest.raises(ValueError, match="root: .*nowhere' is not a folder; give the folder"):
        video_folder(tmp_path / "nowhere")
    empty = tmp_path / "a" / "empty"
    empty.mkdir(parents=True)
    with pytest.raises(ValueError, match="root: no subfolder of .* holds a video; put the videos"):
        video_folder(empty)
    with pytest.raises(ValueError, match=r"\(5 lie in the folder itself\)"):
        video_folder(folder / "Walk")
    with pytest.raises(ValueError, match="holds only one class, 'videos'; give the folder above"):
        video_folder(folder.parent)


def test_rejects_folders_of_splits(tmp_path, folder):
    for split in ("train", "test"):
        shutil.copytree(folder, tmp_path / "sorted" / split)
    with pytest.raises(ValueError, match=r"are splits, \['test', 'train'\], not classes"):
        video_folder(tmp_path / "sorted")


def test_rejects_a_folder_without_readable_videos(tmp_path):
    root = tmp_path / "videos"
    for name in ("Walk", "Jump"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            (root / name / f"{i}.avi").write_text("no video")
    with pytest.raises(ValueError, match=r"none of the 4 train videos .*0\.avi: Invalid data"):
        video_folder(root)


def test_real_folders(shared_data):
    source = video_folder(shared_data / "arid6" / "videos", split="test", num_threads=2)
    assert len(source) == 43 and source.skipped == ()
    assert source.class_names == ("Jump", "Run", "Sit", "Stand", "Turn", "Walk")
    assert source[0].name == "Jump/v_Jump_g90_c024.avi"
    assert source[0].clip(np.arange(0, 16, 2)).frames.shape == (8, 120, 160, 3)
