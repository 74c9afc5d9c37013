"""Preparation of shards: complete datasets after interruptions and with several processes."""

import dataclasses
import fcntl
import io
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console

from afn_jax.data.files.flow import write_flo
from afn_jax.data.prepare.__main__ import main
from afn_jax.data.prepare.progress import show_progress
from afn_jax.data.prepare.pseudo_labels import FlowFiles
from afn_jax.data.prepare.run import prepare
from afn_jax.data.shards.frame_codec import FrameFormat
from afn_jax.data.shards.manifest import (
    PreparedDataset,
    StoredFlow,
    describe_split,
    read_dataset,
)
from afn_jax.data.source import Clip, Skipped, Video, VideoReadError
from afn_jax.data.sources.shards import Shards
from afn_jax.data.sources.unused import unused_line
from tests.data.videos import write_video

SYNTHETIC = [
    *("--data", "synthetic-motion", "--data.train-videos", "10", "--data.test-videos", "3"),
    *("--data.size", "24", "32", "--data.num-frames", "9", "--num-shards", "3"),
]


@dataclasses.dataclass(frozen=True)
class Picture(Video):
    """A video of plain gray frames; frame number `broken` fails to decode."""

    name: str
    label: int = 0
    num_frames: int = 6
    broken: int | None = None
    fps = 12.5

    def clip(self, indices):
        if self.broken is not None and self.broken in indices:
            raise VideoReadError(f"{self.name}: damaged")
        frames = np.empty((len(indices), 32, 48, 3), np.uint8)
        frames[:] = 20 * np.asarray(indices)[:, None, None, None]
        return Clip(frames)


class Pictures(list):
    class_names = ("a", "b")
    skipped = (Skipped("c.avi", "no video"),)


def dataset_of(source, **settings):
    settings = {"frames": FrameFormat(), "flow": None, "source": {}} | settings
    splits = {"train": describe_split(source, None)}
    return PreparedDataset(source.class_names, splits=splits, **settings)


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The contents of a dataset made without interruption, in one process."""
    folder = tmp_path_factory.mktemp("whole")
    assert main([str(folder), *SYNTHETIC, "--flow", "dis", "--workers", "1"]) == 0
    return contents(folder)


def test_parts_and_processes_make_the_same_dataset(tmp_path, whole, capsys):
    command = [str(tmp_path / "new"), *SYNTHETIC, "--flow", "dis"]
    second = ["--distributed", "host:1", "--num-processes", "2", "--process-id", "1"]
    second += ["--distributed-timeout", "9"]
    assert main([*command, *second, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "train: 2 shards are left to other runs" in printed
    assert "complete when the runs of the other shares" in printed
    with pytest.raises(ValueError, match="2 of 3 train shards are missing, train-00000-of-00003"):
        Shards(tmp_path / "new")
    assert main([*command, "--shard", "1/2", "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert "train: 10 videos, 90 frames" in printed and "test: 3 videos, 27 frames" in printed
    assert (
        "the stored flow differs from the float flow by 0." in printed
        and "--data shards --data.root" in printed
    )
    assert contents(tmp_path / "new") == whole
    assert [Shards(tmp_path / "new")[i].label for i in range(10)] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]


def test_continues_after_being_killed(tmp_path, capsys):
    options = [str(tmp_path), "--data.train-videos", "24", "--data.size", "64", "64", "--splits"]
    options += ["train", "--data.num-frames", "24", "--num-shards", "8", "--workers", "2"]
    run = subprocess.Popen([sys.executable, "-m", "afn_jax.data.prepare", *options])
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("*.arrayrecord")) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    time.sleep(0.3)  # until the workers notice that their parent is gone
    done = contents(tmp_path)
    kept = {name: data for name, data in done.items() if name.endswith(".arrayrecord")}
    assert 1 <= len(kept) < 8
    (tmp_path / "train-00007-of-00008.arrayrecord.1-of-1.0123.part").write_bytes(b"half")
    assert main([*options, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"{8 - len(kept)} of {8 - len(kept)} shards" in printed and "24 videos" in printed
    now = contents(tmp_path)
    assert len(now) == 9 and now.items() >= kept.items()
    assert len(Shards(tmp_path)) == 24


def test_damaged_videos_are_skipped_and_listed(tmp_path):
    videos = [
        Picture("a/1", 0),
        Picture("b/2", 1, broken=3),
        Picture("b/3", 1),
        Picture("a/4", 0, 2),
    ]
    source = Pictures(videos)
    dataset = dataset_of(source, frames=FrameFormat(group=2))
    report = prepare(tmp_path, dataset, {"train": source}, workers=1)["train"]
    assert (report.videos, report.frames, report.missing) == (3, 14, ())
    assert report.skipped == (Skipped("c.avi", "no video"), Skipped("b/2", "b/2: damaged"))
    shards = Shards(tmp_path)
    assert shards.skipped == report.skipped
    assert [(v.name, v.label, v.num_frames, v.fps) for v in (shards[i] for i in range(3))] == [
        ("a/1", 0, 6, 12.5),
        ("b/3", 1, 6, 12.5),
        ("a/4", 0, 2, 12.5),
    ]
    np.testing.assert_allclose(shards[1].clip([5, 1]).frames.mean((1, 2, 3)), [100, 20], atol=1)


def test_rejects_a_split_without_readable_videos(tmp_path):
    source = Pictures([Picture("a/1", 0, broken=0), Picture("b/2", 1, broken=5)])
    with pytest.raises(ValueError, match="none of the train videos can be decoded.*a/1: damaged"):
        prepare(tmp_path, dataset_of(source), {"train": source}, workers=1)
    with pytest.raises(ValueError, match="hold no video; all 3 were skipped"):
        Shards(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--quality", "80"], "started with frames.quality = 95, but this command has 80"),
        (["--flow", "none"], "started with flow"),
        (["--num-shards", "2"], "started with splits.test.num_shards = 3, but this command has 2"),
        (["--data.train-videos", "9"], r"a different list of train videos \(10, now 9\)"),
        (["--seed", "1"], "a different list of"),
        (["--shard", "3/2"], "shard: got '3/2'; give i/n with i from 1 to n"),
        (["--shard", "0/2"], "shard: got '0/2'"),
        (["--shard", "2"], "shard: got '2'; give i/n"),
        (["--data.stride", "2"], "data.stride: got 2, but shards hold whole videos"),
        (["--data.short-side", "0"], "data.short_side: got 0, but it must be at least 1"),
        (["--workers", "0"], "workers: got 0"),
        (["--num-shards", "11"], "num_shards: got 11; allowed: 1 to 10"),
        (["--flow-stride", "0"], "flow_stride: got 0"),
        (["--flow", "own", "--flow-stride", "2"], "own flow is between neighboring frames"),
        (["--flow", "raft"], "allowed: none, own, dis, tvl1, or a path"),
        (["--flow", "x/{frame}.flo"], "allowed: none, own, dis, tvl1, or a path"),
        (["--flow", "x/{name}/{frame:q}.flo"], "which is a malformed pattern"),
        (["--flow", "x/{name}/{frame}.flo"], "no file 'x/t[a-z]*-0-0/0.flo'"),
        (["--codec", "h264", "--quality", "90"], "quality: got 90; h264 takes 0 to 51"),
        (["--splits", "train", "nonsense"], "split: got 'nonsense'"),
    ],
)
def test_rejects_other_settings_in_the_same_folder(tmp_path, whole, capsys, change, message):
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
    assert main([str(tmp_path), *SYNTHETIC, "--flow", "dis", *change]) == 1
    captured = capsys.readouterr()
    (error,) = captured.err.splitlines()
    with pytest.raises(ValueError, match=message):
        raise ValueError(error)
    assert contents(tmp_path) == whole


def test_names_the_classes_that_differ(tmp_path):
    source = Pictures([Picture("a/1"), Picture("b/1", 1)])
    prepare(tmp_path, dataset_of(source), {"train": source}, workers=1)
    renamed = Pictures([Picture("a/1"), Picture("new\n/1", 1)])
    renamed.class_names = ("a", "new\n")
    message = r"started with other classes \(only before: b; only now: new\\n\)"
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, dataset_of(renamed), {"train": renamed}, workers=1)


def test_rejects_a_folder_with_other_files(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("x")
    assert main([str(tmp_path), *SYNTHETIC]) == 1
    assert "is not empty (it contains 'thesis.txt')" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_rejects_a_second_run_of_the_same_part(tmp_path, whole, capsys):
    command = [str(tmp_path), *SYNTHETIC, "--flow", "dis", "--workers", "1"]
    assert main(command) == 0
    with open(tmp_path / ".part-1-of-1.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(command) == 1
    assert "another run is preparing part 1/1" in capsys.readouterr().err
    assert main(command) == 0


def test_a_run_leaves_the_unfinished_shards_of_other_parts(tmp_path, whole):
    """Another machine may be writing them; those of a killed run of this part are removed."""
    command = [str(tmp_path), *SYNTHETIC, "--flow", "dis", "--workers", "1"]
    assert main([*command, "--shard", "1/2"]) == 0
    done = sorted(path.name for path in tmp_path.glob("*.arrayrecord"))
    mine, other = (tmp_path / f"{done[0]}.{part}.{7:032x}.part" for part in ("1-of-2", "1-of-1"))
    for path in (mine, other):
        path.touch()
    assert main([*command, "--shard", "1/2"]) == 0
    assert not mine.exists() and other.exists()


def test_a_full_disk_gives_one_message_and_no_partial_shard(tmp_path, whole):
    """Limits files to 20 kB, so that no shard fits."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from afn_jax.data.prepare.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [str(tmp_path), *SYNTHETIC, "--flow", "dis", "--workers", "1"]
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert run.returncode == 1
    (error,) = run.stderr.splitlines()
    assert error.startswith("error: ") and "train-00000-of-00003" in error
    assert set(contents(tmp_path)) == {"dataset.json"}
    assert main(command) == 0 and contents(tmp_path) == whole


def test_flow_files(tmp_path):
    source = Pictures([Picture("a/one.avi"), Picture("b/two.avi", 1)])
    flow = np.zeros((64, 96, 2), np.float32)  # twice the size of the frames
    for folder in ("one", "two"):
        (tmp_path / "flow" / folder).mkdir(parents=True)
        for i in range(1, 6):
            flow[...] = (2 * i, -4)
            write_flo(tmp_path / "flow" / folder / f"{i:03d}.flo", flow)
    pattern = str(tmp_path / "flow" / "{stem}" / "{frame1:03d}.flo")
    dataset = dataset_of(source, flow=StoredFlow(pattern))
    prepare(tmp_path / "out", dataset, {"train": source}, workers=1)
    clip = Shards(tmp_path / "out")[0].clip(np.arange(6))
    assert clip.flow_mask[:5].all() and not clip.flow_mask[5].any()
    np.testing.assert_allclose(clip.flows[:5, 9, 9], [(i, -2) for i in range(1, 6)], atol=0.06)

    write_flo(tmp_path / "flow" / "one" / "003.flo", flow[:, :50])
    (tmp_path / "flow" / "two" / "005.flo").unlink()
    with pytest.raises(ValueError, match="none of the train videos.*003.flo has .*64, 50.*005.flo"):
        prepare(tmp_path / "new", dataset, {"train": source}, workers=1)


def test_pattern_of_flow_files():
    files = FlowFiles("/f/{name}/{frame:06d}.flo", 1)
    assert str(files.path("Walk/a.b.avi", 7)) == "/f/Walk/a.b/000007.flo"
    assert str(files.path("Walk/a.b", 7)) == "/f/Walk/a.b/000007.flo"


def test_progress():
    out = io.StringIO()
    with show_progress(100, 2, Console(file=out)) as update:
        update(30, 0)  # too early for a line
        update(100, 2)
    assert out.getvalue().startswith("2 of 2 shards, 100 of 100 frames, ")
    assert out.getvalue().endswith("0:00:00 left\n") and out.getvalue().count("\n") == 1
    out = io.StringIO()
    with show_progress(100, 2, Console(file=out, force_terminal=True)) as update:
        update(30, 1)
    assert "1 of 2 shards" in out.getvalue() and "30 %" in out.getvalue()


def test_real_videos(shared_data, tmp_path):
    command = [str(tmp_path), "--data", "video-folder", "--splits", "test", "--workers", "1"]
    root = shared_data / "arid6" / "videos"
    assert main([*command, "--data.root", str(root), "--data.short-side", "32"]) == 0
    shards = Shards(tmp_path, split="test")
    assert len(shards) == 43 and shards[0].size == (32, 43) and shards[0].fps > 0


def test_lists_what_is_not_used_and_refuses_shared_videos(tmp_path, capsys):
    videos = tmp_path / "videos"
    for name in ("Walk/a.avi", "Walk/b.avi", "Jump/a.avi", "Jump/b.avi"):
        write_video(videos / name)
    (videos / "Walk/notes.txt").write_text("x")
    (videos / "Walk/a.xyz").write_text("x")
    command = ["--data", "video-folder", "--data.root", str(videos), "--workers", "1"]
    command += ["--data.index-cache", "none", "--data.num-frames", "4"]
    assert main([str(tmp_path / "out"), *command]) == 0
    expected = (
        "not used: 1 .xyz (not a video, by its first bytes; Walk/a.xyz), "
        "1 .txt (text or list; Walk/notes.txt)"
    )
    assert f"{videos}: {expected}\n" in capsys.readouterr().out
    for split in ("train", "test"):
        assert unused_line(Shards(tmp_path / "out", split=split).unused) == expected

    (videos / "Walk/link.avi").symlink_to("a.avi")
    for split, name in (("train", "a"), ("test", "link")):
        lines = f"Walk/{name}.avi 1\nJump/{'b' if split == 'test' else 'a'}.avi 2\n"
        (videos / f"{split}list01.txt").write_text(lines)
    (videos / "classInd.txt").write_text("1 Walk\n2 Jump\n")
    assert main([str(tmp_path / "new"), *command]) == 1
    words = "1, first: Walk/a.avi (training) and Walk/link.avi (test), the same file. Remove"
    assert words in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_reads_descriptions_of_before(tmp_path, whole):
    text = json.loads(whole["dataset.json"])
    for split in text["splits"].values():
        assert split.pop("unused") == []
    (tmp_path / "dataset.json").write_text(json.dumps(text))
    assert read_dataset(tmp_path).splits["train"].unused == ()
