"""Preparation while a disk fails: full output, vanished videos."""

import os

import pytest

from afn_jax.data import reachable
from afn_jax.data.config import DataConfig
from afn_jax.data.prepare import run
from afn_jax.data.prepare.__main__ import main
from afn_jax.data.sources import create_source
from afn_jax.data.sources.shards import Shards
from tests.data.videos import write_video
from tests.full_disk import fill, free, small_disk


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


@pytest.fixture
def root(tmp_path):
    for number in range(12):
        path = tmp_path / "videos" / "ab"[number % 2] / f"{number:02d}.avi"
        write_video(path, num_frames=20, value=5 * number)
    return tmp_path / "videos"


def arguments(output, root, workers="1"):
    options = ["--data", "video-folder", "--data.root", str(root), "--data.index-cache", "none"]
    options += ["--splits", "train", "--num-shards", "3", "--workers", workers]
    return [str(output), *options]


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_continues_after_the_disk_was_full(tmp_path, root, capsys, workers):
    assert main(arguments(tmp_path / "whole", root)) == 0
    size = sum(len(data) for data in contents(tmp_path / "whole").values())
    with small_disk(tmp_path / "disk") as disk:
        fill(disk, leave=max(size // 2, 16384))
        assert main(arguments(disk / "shards", root, workers)) == 1
        error = capsys.readouterr().err
        assert "No space left" in error and "arrayrecord" in error, error
        assert "run the same command again" in error and "Traceback" not in error
        assert not list((disk / "shards").glob("*.part"))
        kept = {p.name for p in (disk / "shards").glob("*.arrayrecord")}
        free(disk)
        assert main(arguments(disk / "shards", root, workers)) == 0
        assert len(kept) < 3
        assert contents(disk / "shards") == contents(tmp_path / "whole")


def test_a_full_disk_leaves_no_half_description(tmp_path, root, capsys):
    with small_disk(tmp_path / "disk") as disk:
        (disk / "shards").mkdir()
        fill(disk)
        assert main(arguments(disk / "shards", root)) == 1
        error = capsys.readouterr().err
        assert "No space left" in error and "dataset.json" in error, error
        assert contents(disk / "shards") == {}
        free(disk)
        assert main(arguments(disk / "shards", root)) == 0
        assert len(Shards(disk / "shards")) > 0


def test_a_full_index_cache_is_a_warning(tmp_path, root):
    with small_disk(tmp_path / "disk") as disk:
        config = DataConfig(source="video-folder", root=str(root), index_cache=str(disk))
        fill(disk)
        with pytest.warns(UserWarning, match="data.index_cache: .*No space left.*index"):
            full = create_source(config, "train", 0)
        free(disk)
        again = create_source(config, "train", 0)
        assert [full[i] for i in range(len(full))] == [again[i] for i in range(len(again))]
        assert [p.suffix for p in disk.iterdir()] == [".index"]


@pytest.mark.parametrize("what", ["all", "one"])
def test_videos_that_vanish_are_not_left_out_of_the_shards(
    tmp_path, root, capsys, monkeypatch, what
):
    assert main(arguments(tmp_path / "whole", root)) == 0
    monkeypatch.setattr(reachable, "PAUSES", (0.01,))
    away, claim = tmp_path / "away", run.claim_folder
    settings = DataConfig(source="video-folder", root=str(root), index_cache="none")
    one = create_source(settings, "train", 0)[3].path

    def vanish(*claimed):
        claim(*claimed)
        os.rename(root if what == "all" else one, away)

    with monkeypatch.context() as patch:
        patch.setattr(run, "claim_folder", vanish)
        assert main(arguments(tmp_path / "shards", root)) == 1
    error = capsys.readouterr().err
    assert "can no longer be read (No such file or directory)" in error
    assert "run the same command again" in error
    os.rename(away, root if what == "all" else one)
    assert main(arguments(tmp_path / "shards", root)) == 0
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")
