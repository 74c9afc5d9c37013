"""What a run says about the files of its dataset before its first step."""

import io
import shutil

from rich.console import Console

from afn_jax.data.sources.lists.video_folder import read_video_folder
from afn_jax.data.sources.video_files import VideoFiles
from tests.data.videos import write_video
from train.start_report import report_files


def report(root):
    sources = [
        VideoFiles(root, read_video_folder(root, s, None, 1, test_fraction=0.5))
        for s in ("train", "test")
    ]
    console = Console(file=io.StringIO(), width=80)
    report_files("ROOT", *sources, console)
    return console.file.getvalue().splitlines()


def test_says_nothing_of_a_folder_that_is_used_whole(tmp_path):
    for name in ("Walk/a.avi", "Walk/b.avi", "Jump/a.avi", "Jump/b.avi"):
        write_video(tmp_path / name)
    assert report(tmp_path) == []


def test_names_doubled_and_unused_files_in_one_line_each(tmp_path):
    for name in ("Walk/a.avi", "Walk/b.avi", "Jump/a.avi", "Jump/b.avi"):
        write_video(tmp_path / name)
        shutil.copy(tmp_path / name, (tmp_path / name).with_suffix(".mp4"))
    for name in ("Walk/notes.txt", "Jump/a.xyz", "Jump/b.xyz"):
        (tmp_path / name).write_text("x")
    lines = report(tmp_path)
    start = "warning: 2 {} clips in several encodings, each used as a video; first: "
    for split, line in zip(("training", "test"), lines, strict=False):
        assert line.startswith(start.format(split))
        assert line.endswith((".avi and Jump/a.mp4", ".avi and Jump/b.mp4"))
    assert lines[2:] == [
        "ROOT: not used: 2 .xyz (not a video, by its first bytes; first: Jump/a.xyz), "
        "1 .txt (text or list; Walk/notes.txt)"
    ]


def test_names_classes_that_differ_only_in_case_or_blanks(tmp_path):
    for name in ("Run/a.avi", "Run/b.avi", "run /a.avi", "run /b.avi", "Jump/a.avi", "Jump/b.avi"):
        write_video(tmp_path / name, value=ord(name[-5]))
    (line,) = report(tmp_path)
    assert line.startswith(
        "warning: classes whose names differ only in case, blanks or underscores"
    )
    assert "'Run' and 'run '" in line and "Jump" not in line
