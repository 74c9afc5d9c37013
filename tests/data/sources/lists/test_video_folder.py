import os
import pickle
import shutil

import cv2
import numpy as np
import pytest

from afn_jax.data.source import VideoReadError
from afn_jax.data.sources import catalog
from afn_jax.data.sources.identity import refuse_shared
from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.lists.video_list import Entry, VideoList
from afn_jax.data.sources.unused import unused_line
from afn_jax.data.sources.video_files import VideoFiles
from tests.data.videos import encode, moving_picture, names, write_video


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
    for name in ("Fly/a.xyz", "lists/trainlist.txt"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("")
    write_video(folder / "Walk/one.avi", num_frames=1)
    sources = [video_folder(folder, split=split) for split in ("train", "test")]
    reasons = {s.path.rsplit("/", 1)[1]: s.reason for source in sources for s in source.skipped}
    assert set(reasons) == {"empty.avi", "text.mp4", "one.avi", "Fly"}
    assert reasons["Fly"].startswith("not a class: it holds Fly/a.xyz, but no video")
    assert reasons["one.avi"] == "1 frames, fewer than 2"
    assert "Invalid data" in reasons["text.mp4"]
    assert sum(len(source) for source in sources) == 11
    assert sum(len(video_folder(folder, split=s, min_frames=1)) for s in ("train", "test")) == 12


def test_nested_and_hidden_files(folder):
    write_video(folder / "Walk/outdoors/deep.MP4")
    shutil.copy(folder / "Walk/clip 0.avi", folder / "Walk/._clip 0.avi")
    (folder / ".cache").mkdir()
    (folder / "empty class").mkdir()
    found = everything(folder)
    assert "Walk/outdoors/deep.MP4" in found and len(found) == 11
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


def both(folder, **kwargs):
    return [video_folder(folder, split=split, **kwargs) for split in ("train", "test")]


def everything(folder):
    return sorted(name for source in both(folder) for name in names(source))


def unused(source):
    return {(item.kind, item.count, item.example): item.reason for item in source.unused}


def test_videos_of_any_extension_or_none_are_used(folder):
    for number, name in enumerate(
        ["a.ts", "b.gif", "c.asf", "d.divx", "e.f4v", "f.y4m", "g", "h.1"]
    ):
        path = folder / "Walk" / name
        if name.endswith((".ts", ".gif", ".asf")):
            codec, pixels = {"ts": "mpeg2video yuv420p", "gif": "gif rgb8", "asf": "wmv2 yuv420p"}[
                name[2:]
            ].split()
            encode(path, codec, moving_picture(6 + number), pixels=pixels)
        elif name == "f.y4m":
            encode(path, "wrapped_avframe", moving_picture(6 + number))
        else:  # named freely
            made = encode(path.with_name(f"made{number}.avi"), "mpeg4", moving_picture(6 + number))
            made.rename(path)
    (folder / "Walk/code.ts").write_text("export const a = 1;\n" * 50)
    train, test = both(folder)
    assert len(train) + len(test) == 10 + 8 and not train.skipped and not test.skipped
    assert train.unused == test.unused
    assert unused(train) == {(".ts", 1, "Walk/code.ts"): "not a video, by its first bytes"}
    counts = {video.name: video.num_frames for source in (train, test) for video in source}
    assert [counts[f"Walk/{name}"] for name in ("a.ts", "b.gif", "g", "h.1")] == [6, 7, 12, 13]


def test_counts_what_is_not_used_by_kind(folder):
    for name in (
        "Walk/notes.txt",
        "Walk/more.txt",
        "README.md",
        "Jump high/photos.zip",
        ".DS_Store",
    ):
        (folder / name).write_text("x")
    for name in ("Walk/a.xyz", "Walk/b.xyz", "Walk/cover.jpg", "Walk/empty"):
        (folder / name).write_bytes(b"x" if name != "Walk/empty" else b"")
    (folder / "Walk/.git").mkdir()
    (folder / "Walk/nothing").mkdir()
    (folder / "Walk/loop").symlink_to(folder)
    (folder / "Walk/gone").symlink_to("nowhere")
    (folder / "Walk/a.mp4.part").write_bytes(b"\0\0\0\x20ftypisom")
    shutil.copy(folder / "Walk/clip 0.avi", folder / "loose.avi")
    os.mkfifo(folder / "Walk/pipe")
    train, test = both(folder)
    assert len(train) + len(test) == 10 and train.unused == test.unused
    assert unused(train) == {
        (".txt", 2, "Walk/more.txt"): "text or list",
        (".md", 1, "README.md"): "text or list",
        (".zip", 1, "Jump high/photos.zip"): "archive; unpack it",
        ("hidden", 2, ".DS_Store"): "its name starts with a dot",
        (".xyz", 2, "Walk/a.xyz"): "not a video, by its first bytes",
        (".jpg", 1, "Walk/cover.jpg"): "picture outside a folder of frames",
        ("no extension", 1, "Walk/empty"): "empty file",
        ("folder", 1, "Walk/nothing"): "empty folder",
        ("link", 1, "Walk/loop"): "link to a folder that is searched anyway",
        ("no extension", 2, "Walk/gone"): "a broken link, or no regular file",
        (".part", 1, "Walk/a.mp4.part"): "incomplete download",
        (".avi", 1, "loose.avi"): "in the folder itself, not in the folder of a class",
    }
    line = unused_line(train.unused)
    assert line.startswith(
        "not used: 2 .xyz (not a video, by its first bytes; first: Walk/a.xyz), 2 no"
    )
    assert line.endswith("8 more of 6 kinds") and "\n" not in line


def write_frames(folder, count=5, name="img_{:05d}.jpg"):
    folder.mkdir(parents=True)
    for t in range(count):
        picture = np.full((32, 48, 3), 20 + 10 * t, np.uint8)
        assert cv2.imwrite(str(folder / name.format(t + 1)), picture)


def test_a_class_of_frame_folders_among_classes_of_videos_is_used(folder):
    for number in range(4):
        write_frames(folder / f"Wave/clip{number}")
    for frames in (False, True):
        sources = [
            VideoFiles(folder, read_video_folder(folder, split, None, 1, frames=frames))
            for split in ("train", "test")
        ]
        assert sources[0].class_names == ("Jump high", "Walk", "Wave")
        assert sum(map(len, sources)) == 14 and not sources[0].unused
    assert {video.num_frames for video in sources[0] if video.label == 2} == {5}


@pytest.mark.parametrize(
    "place, reason",
    [
        ("Walk/{}", "among video files; --data frame-folder or a list uses it"),
        ("frames/clip {}", "its name is among video files"),  # extracted from the videos
        ("thumbs/Walk", "its name is among video files"),
        ("thumbs/only", "among video files; --data frame-folder or a list uses it"),
        ("extra/Walk/{}", "among video files; --data frame-folder or a list uses it"),
        ("{}", "in the folder itself, not in the folder of a class"),
    ],
)
def test_frame_folders_that_may_be_something_else_are_counted(folder, place, reason):
    paths = sorted({place.format(number) for number in range(2)})
    for path in paths:
        write_frames(folder / path)
    source = video_folder(folder)
    assert source.class_names == ("Jump high", "Walk") and len(everything(folder)) == 10
    assert unused(source) == {("folder of frames", len(paths), paths[0]): reason}


def test_pictures_beside_numbered_frames_are_counted(folder):
    for number in range(2):
        write_frames(folder / f"Wave/clip{number}")
    encode(folder / "Wave/clip0/preview.gif", "gif", moving_picture(4), pixels="rgb8")
    cv2.imwrite(str(folder / "Wave/clip1/cover.png"), np.zeros((4, 4, 3), np.uint8))
    source = video_folder(folder)
    assert len(everything(folder)) == 12
    assert unused(source) == {
        (".gif", 1, "Wave/clip0/preview.gif"): "picture in a folder of frames",
        (".png", 1, "Wave/clip1/cover.png"): "picture without a number in a folder of frames",
    }


def test_encodings_of_a_clip_stay_in_one_split(folder):
    before = [set(names(source)) for source in both(folder)]
    for name in ("Walk", "Jump high"):
        for number in range(5):
            encode(folder / name / f"clip {number}.mp4", "mpeg4", moving_picture(6))
            encode(folder / name / f"clip {number}.mkv", "mpeg4", moving_picture(6))
    after = [set(names(source)) for source in both(folder)]
    assert len(after[0]) + len(after[1]) == 30
    for split, old in zip(after, before, strict=True):
        stems = {name.rpartition(".")[0] for name in split}
        assert stems == {name.rpartition(".")[0] for name in old}
    refuse_shared(*both(folder))


def test_names_of_one_file_stay_in_one_split_and_are_used_once(folder):
    for number in range(5):
        (folder / f"Walk/soft {number}.avi").symlink_to(f"clip {number}.avi")
        os.link(folder / f"Walk/clip {number}.avi", folder / f"Walk/hard {number}.avi")
        # In two classes: a video of both.
        os.link(folder / f"Walk/clip {number}.avi", folder / f"Jump high/a {number}.avi")
    train, test = both(folder)
    refuse_shared(train, test)
    assert len(train) + len(test) == 15 and len(train.skipped) + len(test.skipped) == 10
    assert {skip.reason.rpartition(" ")[0] for skip in train.skipped} <= {
        f"the same file as Walk/clip {n}.avi; used" for n in range(5)
    }


def test_a_file_system_that_lists_one_inode_for_all_files_changes_nothing(folder, monkeypatch):
    expected = [names(source) for source in both(folder)]
    monkeypatch.setattr(catalog, "_inode", lambda item: 0xFFFFFFFF)
    assert [names(source) for source in both(folder)] == expected


def test_previews_of_videos_change_nothing(folder):
    expected = [names(source) for source in both(folder)]
    for place in ("Walk/clip 1.gif", "Jump high/clip 3.gif", "assets/demo.gif", "assets/two.gif"):
        (folder / place).parent.mkdir(exist_ok=True)
        encode(folder / place, "gif", moving_picture(4), pixels="rgb8")
    train, test = both(folder)
    assert [names(train), names(test)] == expected and train.class_names == ("Jump high", "Walk")
    assert unused(train) == {
        (".gif", 2, "Jump high/clip 3.gif"): "the same clip is there as a more usual file",
        (".gif", 2, "assets/demo.gif"): "pictures in a folder without other videos",
    }
    (skip,) = train.skipped
    assert skip.reason == "not a class: it holds assets/demo.gif, but no video"


def test_a_list_means_the_usual_file_of_a_name(folder):
    for extension, codec, pixels in ((".gif", "gif", "rgb8"), (".mp4", "mpeg4", "yuv420p")):
        encode(folder / f"Walk/other{extension}", codec, moving_picture(5), pixels=pixels)
    videos = VideoList(
        ("A", "B"), (Entry("Walk/other.avi", 0), Entry("Walk/clip 1.avi", 1)), "list"
    )
    assert names(VideoFiles(folder, videos)) == ["Walk/other.mp4", "Walk/clip 1.avi"]


def test_classes_of_gifs(tmp_path):
    for name in ("Walk/a", "Walk/b", "Run/a", "Run/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        encode(tmp_path / f"{name}.GIF", "gif", moving_picture(4), pixels="rgb8")
    assert len(everything(tmp_path)) == 4 and not video_folder(tmp_path).unused


def test_pictures_in_a_format_that_is_not_read_are_told_so(folder):
    for number in range(2):
        write_frames(folder / f"Wave/clip{number}")
    for name in [f"Wave/raw/img_{number}.heic" for number in range(3)] + ["Wave/clip0/m1.exr"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    reason = "picture in a format that is not read"
    assert unused(video_folder(folder)) == {
        (".heic", 3, "Wave/raw/img_0.heic"): reason,
        (".exr", 1, "Wave/clip0/m1.exr"): reason,
    }


def test_folders_that_a_system_makes_are_not_classes(folder):
    expected = everything(folder)
    for number in range(2):
        write_frames(folder / f"Wave/clip{number}")
    made = ["@eaDir", "#recycle", "__MACOSX", "lost+found", "$RECYCLE.BIN", "Wave/clip0/@eaDir"]
    for place in made:
        (folder / place).mkdir()
        shutil.copy(folder / "Walk/clip 1.avi", folder / place / "old.avi")
    source = video_folder(folder)
    assert source.class_names == ("Jump high", "Walk", "Wave") and not source.skipped
    assert everything(folder) == sorted([*expected, "Wave/clip0", "Wave/clip1"])
    assert unused(source) == {
        ("folder", 6, "#recycle"): "folder of a system or NAS, such as previews and deleted files"
    }
