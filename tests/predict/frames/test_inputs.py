"""Which videos a command line means, and the names of their outputs."""

import os

import cv2
import numpy as np
import pytest

from afn_jax.data.sources.frame_folder import find_pictures
from afn_jax.data.sources.mark import MARK_FILE
from afn_jax.predict.film.mark import is_marked
from afn_jax.predict.film.writer import FilmWriter
from afn_jax.predict.flow.files import open_flow_writer, write_flow_file
from afn_jax.predict.frames.inputs import find_videos, output_names
from tests.data.videos import moving_picture, write_video


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "sub/b.avi", "sub/deep/c.mkv", ".hidden/d.mp4"):
        write_video(tmp_path / name)
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "photo.jpg").write_bytes(b"picture")
    (tmp_path / "frames").mkdir()
    for k, picture in enumerate(moving_picture(3)):
        cv2.imwrite(str(tmp_path / "frames" / f"img_{k:03d}.jpg"), picture)
    return tmp_path


def test_files_folders_and_patterns(tree):
    assert find_videos(["a.mp4"]).videos == ("a.mp4",)
    assert find_videos(["sub"]).videos == ("sub/b.avi", "sub/deep/c.mkv")
    assert find_videos(["**/*.mkv", "*.mp4"]).videos == ("sub/deep/c.mkv", "a.mp4")
    assert find_videos(["frames"]).videos == ("frames",)
    found = find_videos(["."])
    assert found.videos == ("./a.mp4", "./frames", "./sub/b.avi", "./sub/deep/c.mkv")
    assert {item.kind for item in found.unused} == {".txt", ".jpg", "hidden"}


def test_a_video_that_is_named_twice_is_used_once(tree):
    assert find_videos(["a.mp4", "*.mp4", "a.mp4"]).videos == ("a.mp4",)


def write_film(path):
    with FilmWriter(path, height=32, width=48) as film:
        film.add(np.zeros((32, 48, 3), np.uint8), 0.0)


def test_films_of_this_program_are_not_videos(tree):
    """Wherever they are; other videos below an output folder are."""
    write_video(tree / "out" / "own.mp4")
    write_film(tree / "out" / "film.mp4")
    os.rename(tree / "out" / "film.mp4", tree / "sub" / "copy.mp4")
    write_film(tree / "frames" / "film.mp4")
    for arguments in (["."], ["**/*.mp4", "frames"]):
        found = find_videos(arguments)
        names = [os.path.normpath(name) for name in found.videos]
        assert {"a.mp4", "out/own.mp4", "frames"} <= set(names)
        assert not [name for name in names if "copy" in name or "film" in name]
        left_out = {os.path.normpath(i.path): i.reason for i in (*found.skipped, *found.rest)}
        assert "film that afn-jax wrote" in left_out["sub/copy.mp4"]
    with pytest.raises(ValueError, match="sub/copy.mp4: a film that afn-jax wrote.*give the video"):
        find_videos(["sub/copy.mp4"])


def write_flow(folder, kind):
    with open_flow_writer(kind, folder) as writer:
        for k in range(3):
            writer.add(np.zeros((8, 8, 2)), k, k / 10)


@pytest.mark.parametrize("kind", ["png", "kitti", "flo"])
def test_folders_of_flow_of_this_program_are_not_videos(tree, kind):
    """Wherever they are, and they do not hide the frames beside them."""
    (tree / "flow").mkdir()
    places = [f"frames/own_{kind}", f"sub/deep/moved_{kind}", "flow/000000"]
    for place in places:
        write_flow(tree / place, kind)
    for arguments in (["."], ["sub", "frames", "flow", "a.mp4"]):
        found = find_videos(arguments)
        names = [os.path.normpath(name) for name in found.videos]
        assert sorted(names) == ["a.mp4", "frames", "sub/b.avi", "sub/deep/c.mkv"]
        left_out = {os.path.normpath(i.path): i.reason for i in (*found.skipped, *found.rest)}
        assert left_out[places[1]] == "flow that afn-jax wrote, not a video"
        assert not any(MARK_FILE in path for path in left_out)
    with pytest.raises(ValueError, match="own_.*: flow that afn-jax wrote, not a video; give the"):
        find_videos([places[0]])


@pytest.mark.parametrize("kind", ["png", "kitti"])
def test_flow_pictures_of_this_program_are_not_frames(tree, kind):
    (tree / "pairs").mkdir()
    for name in ("1_flow", "2_flow"):
        for place in ("pairs", "frames"):
            write_flow_file(kind, tree / place / f"{name}.png", np.zeros((8, 8, 2)))
    names = [os.path.normpath(name) for name in find_videos(["."]).videos]
    assert "frames" in names and "pairs" not in names
    assert len(find_pictures("frames").frames.numbers) == 3
    with pytest.raises(ValueError, match="no video in pairs"):
        find_videos(["pairs"])


@pytest.mark.parametrize("text", ["", "[]", '{"comment": "mine"}', "[" * 5000])
def test_marks_of_others_mean_nothing(tree, text):
    (tree / "frames" / MARK_FILE).write_text(text)
    assert find_videos(["frames"]).videos == ("frames",)
    assert "./frames" in find_videos(["."]).videos


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x08ftyp", b"\0\0\0\0ftypmoovudta", b"x" * 99])
def test_damaged_files_are_not_films(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    assert not is_marked(tmp_path / "a.mp4")
    assert not is_marked(tmp_path) and not is_marked(tmp_path / "gone.mp4")


def test_a_video_with_several_names_is_used_once(tree):
    spelled = ["a.mp4", "./a.mp4", str(tree / "a.mp4"), "sub/../a.mp4"]
    found = find_videos(spelled)
    assert (found.videos, found.skipped) == (("a.mp4",), ())
    assert find_videos(["sub", "./sub", "sub/b.avi"]).videos == ("sub/b.avi", "sub/deep/c.mkv")
    assert len(find_videos(["frames", "./frames/"]).videos) == 1
    os.link("a.mp4", "hard.mp4")
    os.symlink("a.mp4", "soft.mp4")
    found = find_videos(["a.mp4", "hard.mp4", "soft.mp4"])
    assert found.videos == ("a.mp4",)
    assert [i.reason for i in found.skipped] == ["the same file as a.mp4"] * 2


def test_what_else_is_in_a_folder_is_listed_with_its_path(tree):
    found = find_videos(["."])
    listed = {item.path for item in found.rest}
    assert listed == {"./notes.txt", "./photo.jpg", "./.hidden"}
    assert all(os.path.exists(path) for path in listed)


def test_names_with_brackets_are_files_first(tree):
    write_video(tree / "clip[1].mp4")
    assert find_videos(["clip[1].mp4"]).videos == ("clip[1].mp4",)


def test_names_of_any_bytes(tree):
    name = os.fsdecode(b"caf\xe9 \xff.mp4")
    write_video(tree / "x.mp4")
    os.rename(tree / "x.mp4", tree / name)
    assert name in [os.path.basename(v) for v in find_videos(["."]).videos]
    assert output_names([name]) == {name: name.removesuffix(".mp4")}


def test_a_video_without_an_extension_is_looked_into(tree):
    os.rename(tree / "a.mp4", tree / "recording")
    assert find_videos(["recording"]).videos == ("recording",)


def test_what_is_not_a_video_is_skipped_with_the_reason(tree):
    (tree / "net.afn").write_bytes(b"AFN")
    found = find_videos(["a.mp4", "photo.jpg", "notes.txt", "gone.mp4", "*.mov", "net.afn"])
    reasons = {item.path: item.reason for item in found.skipped}
    assert found.videos == ("a.mp4",)
    assert "a picture, not a video" in reasons["photo.jpg"]
    assert "afn-jax flow A B" in reasons["photo.jpg"]
    assert "not a video" in reasons["notes.txt"]
    assert reasons["gone.mp4"] == "no such file or folder"
    assert reasons["*.mov"] == "no file matches"
    assert "give the network first" in reasons["net.afn"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["empty"], r"no video in empty \(the folder is empty\).*patterns such as"),
        (["photo.jpg"], "photo.jpg: a picture"),
        (["gone"], "gone: no such file or folder"),
        (["pictures"], "1 .jpg: picture"),
        ([""], "videos: got an empty name"),
    ],
)
def test_no_video_is_an_error_that_says_what_was_found(tree, arguments, message):
    (tree / "empty").mkdir()
    (tree / "pictures").mkdir()
    (tree / "pictures" / "one.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match=message):
        find_videos(arguments)


@pytest.mark.parametrize(
    ("videos", "names"),
    [
        (["a/x.mp4", "a/y.mp4"], ["x", "y"]),
        (["a/x.mp4", "a/x.avi"], ["x-mp4", "x-avi"]),
        (["a/x.mp4", "b/x.mp4"], ["a-x", "b-x"]),
        (["a/x.mp4", "b/X.mp4"], ["a-x", "b-X"]),  # one file on other systems
        (["p/a/x.mp4", "q/a/x.mp4"], ["a-x", "a-x-2"]),
        (["index.mp4", "skipped.avi"], ["index-mp4", "skipped-avi"]),
        (["x.mp4", "x-2.mp4", "p/a/x.avi", "q/a/x.avi"], ["x", "x-2", "a-x", "a-x-2"]),
        (["v1.2.mp4", "v1.3.mp4"], ["v1.2", "v1.3"]),
        ([".x.mp4"], ["x"]),
        (["folder of frames"], ["folder of frames"]),
    ],
)
def test_output_names_differ(videos, names):
    found = list(output_names(videos).values())
    assert len({name.casefold() for name in found}) == len(videos)
    if "p/a/x.avi" not in videos:
        assert found == names


def test_output_names_are_not_too_long():
    (name,) = output_names(["é" * 120 + ".mp4"]).values()
    assert name == "é" * 60
