"""The reading benchmark: bare PyAV does the same work as the loader; the command's output."""

import dataclasses
import math
import pickle
import re

import numpy as np
import pytest

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import train_iterator
from afn_jax.data.sources import create_source
from benchmarks import reading
from benchmarks.bare_reader import bare_decode, bare_example
from tests.data.videos import encode, moving_picture

CONFIG = DataConfig(
    source="video-folder",
    num_frames=5,
    size=(24, 32),
    short_side=40,
    teacher="none",
    index_cache="none",
)


@pytest.fixture
def folder(tmp_path):
    """Videos with B-frames in containers with and without timestamps, one shorter than a clip."""
    for name in ("Jump", "Run"):
        (tmp_path / name).mkdir()
        for number, (suffix, codec, length) in enumerate(
            [("mp4", "libx264", 30), ("avi", "mpeg4", 20), ("mkv", "libx264", 3)]
        ):
            path = tmp_path / name / f"{number}.{suffix}"
            encode(path, codec, moving_picture(length), options={"g": "10", "bf": "2"})
    return tmp_path


@pytest.mark.parametrize("stride", [1, 3])
def test_bare_pyav_reads_the_same_clips_as_the_loader(folder, stride):
    config = dataclasses.replace(CONFIG, root=str(folder), stride=stride)
    source = create_source(config, "train", 0)
    reader = ClipReader(source, config)
    for number in range(len(source)):
        video = source[number]
        for seed in range(4):
            ours = reader.training_example(number, np.random.default_rng(seed))["frames"]
            bare = bare_example(video, video.index, config, np.random.default_rng(seed))
            np.testing.assert_array_equal(bare, ours)
        decoded = bare_decode(video, video.index, config, np.random.default_rng(0))
        different = video.num_frames // math.gcd(video.num_frames, stride)
        assert decoded == min(5, different)


def test_bare_pyav_reads_an_mp4_file_whose_first_key_frame_is_hidden(tmp_path):
    """An edit list hides what is before time 0."""
    for name in ("Jump", "Run"):
        (tmp_path / name).mkdir()
        for number in range(2):
            options = {"g": "15", "bf": "2", "x264-params": "scenecut=0"}
            path = tmp_path / name / f"{number}.mp4"
            encode(path, "libx264", moving_picture(30), options=options, pts=range(-7, 23))
    config = dataclasses.replace(CONFIG, root=str(tmp_path))
    source = create_source(config, "train", 0)
    reader = ClipReader(source, config)
    for number, video in enumerate(source):
        assert (video.num_frames, video.index.keyframes.tolist()) == (23, [8])
        for seed in range(10):
            ours = reader.training_example(number, np.random.default_rng(seed))["frames"]
            bare = bare_example(video, video.index, config, np.random.default_rng(seed))
            np.testing.assert_array_equal(bare, ours)


def test_bare_pyav_reads_the_same_clips_of_real_videos(shared_data):
    config = dataclasses.replace(CONFIG, root=str(shared_data / "arid6/videos"), num_frames=16)
    source = create_source(config, "test", 0)
    for number in (0, 20, 40):
        video = source[number]
        example = ClipReader(source, config).training_example(number, np.random.default_rng(7))
        bare = bare_example(video, video.index, config, np.random.default_rng(7))
        np.testing.assert_array_equal(bare, example["frames"])


def test_draws_match_the_loader(folder):
    config = dataclasses.replace(CONFIG, root=str(folder))
    source = create_source(config, "train", 0)
    loader, draws = (
        train_iterator(reader, batch_size=3, seed=0)
        for reader in (ClipReader(source, config), reading.Draws(source, config))
    )
    for _ in range(4):
        batch = next(loader)
        for position, (number, rng) in enumerate(reading._clips(next(draws))):
            video = source[number]
            bare = bare_example(video, video.index, config, pickle.loads(rng))
            assert number == batch["indices"][position]
            np.testing.assert_array_equal(bare, batch["frames"][position])


def test_command_prints_its_measurements(folder, capsys):
    arguments = "--num-frames 3 --size 16 16 --seconds 0.05 --rounds 2 --batch-size 2 --threads 1 2"
    assert reading.main([str(folder), *arguments.split(), "--memory-clips", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if re.search(r"\d x 0:", line)]
    assert len(rows) == 2
    for row in rows:
        ours, bare, cores = (float(row[i]) for i in (0, 1, 4))
        assert ours > 0 and bare > 0 and 0 < cores and row[2].endswith("%")
    assert "decoding" in lines[-11] and "color and size" in lines[-11]
    assert [int(line.split()[0]) for line in lines[-10:]] == list(range(2, 21, 2))
    assert reading.main([*arguments.split(), "--teacher", "dis"]) == 0
    text = capsys.readouterr().out
    assert "synthetic-motion" in text and "rendering" in text
    assert reading.main([str(folder / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_bound_names_the_slowest_step():
    seconds = {"decoding": 3.0, "crop and flip": 1.0}
    assert reading.bound(seconds, 0.99, 1) == "decoding, 75% of the work"
    assert reading.bound(seconds, None, 2).startswith("decoding")
    assert reading.bound(seconds, 0.3, 1).startswith("waiting for the disk")


@pytest.mark.parametrize("option", ["--seconds", "--rounds", "--batch-size", "--num-frames"])
def test_rejects_wrong_options(option, capsys):
    with pytest.raises(SystemExit) as stop:
        reading.main([option, "0"])
    assert stop.value.code == 2
    assert f"{option}: got 0" in capsys.readouterr().err
