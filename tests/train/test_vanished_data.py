"""A dataset that vanishes, partly or as a whole, while a run reads it."""

import dataclasses
import errno
import os

import numpy as np
import pytest

from afn_jax.data import reachable
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import evaluation_batches, train_iterator
from afn_jax.data.source import DatasetGoneError, VideoReadError
from afn_jax.data.sources import create_source, video_files
from afn_jax.data.transforms.views import Views
from tests.data.videos import write_video
from tests.train.loop_runs import assert_same_state, elsewhere, rows, run, saved_steps
from train import loop
from train.step_metrics import TrainingStopped

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(reachable, "PAUSES", (0.01, 0.01))


@pytest.fixture
def root(tmp_path):
    """30 videos of two classes."""
    for number in range(30):
        path = tmp_path / "videos" / "ab"[number % 2] / f"{number:02d}.avi"
        write_video(path, value=5 * number)
    return tmp_path / "videos"


@pytest.fixture
def config(config, root):
    data = dataclasses.replace(
        config.data, source="video-folder", root=str(root), short_side=20, teacher="none"
    )
    objective = dataclasses.replace(config.objective, flow="none")
    return dataclasses.replace(config, data=data, objective=objective, steps=40)


def before_batch(number, do, monkeypatch):
    """Calls `do` before the loop takes this batch, from 1, of the first run."""
    begin, left = loop.train_iterator, [number]

    def create(*arguments, **options):
        iterator = begin(*arguments, **options)
        take = type(iterator).__next__

        class Watched(type(iterator)):
            def __next__(self):
                left[0] -= 1
                if left[0] == 0:
                    do()
                return take(self)

        iterator.__class__ = Watched
        return iterator

    monkeypatch.setattr(loop, "train_iterator", create)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_whose_dataset_vanishes_stops_and_continues_bit_equal(
    config, root, monkeypatch, workers
):
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, num_workers=workers))
    whole, _ = run(elsewhere(config, "whole"))
    away = root.with_name("away")
    before_batch(7, lambda: root.rename(away), monkeypatch)
    with pytest.raises(TrainingStopped, match="others. Check that the dataset is complete") as stop:
        run(config)
    at = saved_steps(config.run_dir)[-1]
    assert 6 <= at < 40
    assert f"The checkpoint of step {at} is intact" in str(stop.value)
    assert "same command again; it continues" in str(stop.value)
    away.rename(root)
    resumed, text = run(config)
    assert f"resumed at step {at}" in text and "replaced" not in text
    assert_same_state(resumed.state, whole.state)
    assert rows(resumed.run_dir) == rows(whole.run_dir)


@pytest.mark.slow
def test_a_test_set_that_vanishes_stops_the_run_without_a_row(config, root, monkeypatch):
    config = dataclasses.replace(config, steps=6, test_every=3, checkpoint_every=5)
    whole, _ = run(elsewhere(config, "whole"))
    away, evaluate = root.with_name("away"), loop.evaluate_test_clips

    def vanish(*arguments):
        root.rename(away)
        return evaluate(*arguments)

    monkeypatch.setattr(loop, "evaluate_test_clips", vanish)
    with pytest.raises(TrainingStopped, match="The checkpoint of step 3 is intact"):
        run(config)
    assert rows(config.run_dir, "test") == []
    monkeypatch.setattr(loop, "evaluate_test_clips", evaluate)
    away.rename(root)
    resumed, _ = run(config)
    assert_same_state(resumed.state, whole.state)
    for split in ("train", "test"):
        assert rows(resumed.run_dir, split) == rows(whole.run_dir, split)


def reader_of(config, split="train"):
    return ClipReader(create_source(config.data, split, 0), config.data)


def test_single_deleted_videos_are_replaced_and_listed(config):
    reader = reader_of(config)
    gone = [reader.source[i].path for i in (3, 9)]
    for path in gone:
        os.unlink(path)
    batches = train_iterator(reader, batch_size=len(reader.source), seed=0)
    assert next(batches)["mask"].all()
    reasons = [item.reason for item in reader.damaged]
    assert sorted(reasons) == [
        f"{path}: No such file or directory, since the start" for path in gone
    ]


@pytest.mark.parametrize("how", ["deleted", "unreadable"])
def test_rejects_a_dataset_of_which_much_is_gone(config, monkeypatch, how):
    reader = reader_of(config)
    gone = {reader.source[i].path for i in range(0, len(reader.source), 3)}
    if how == "deleted":
        for path in gone:
            os.unlink(path)
    else:
        fail_to_read(gone, monkeypatch)
    with pytest.raises(DatasetGoneError, match="can no longer be read .* and neither can [2-9]"):
        next(train_iterator(reader, batch_size=len(reader.source), seed=0))


def fail_to_read(paths, monkeypatch, times=10**9):
    """Makes reading these files fail as on a failing disk, `times` times in all."""
    left, read, error = [times], video_files.read_frames, reachable.disk_error

    def failing(path):
        if str(path) in paths and left[0] > 0:
            left[0] -= 1
            return OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return None

    def read_frames(path, *arguments, **options):
        problem = failing(path)
        if problem:
            raise VideoReadError(f"{path}: {problem.strerror}") from problem
        return read(path, *arguments, **options)

    monkeypatch.setattr(video_files, "read_frames", read_frames)
    monkeypatch.setattr(reachable, "disk_error", lambda p, **o: failing(p) or error(p, **o))


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_disk_that_is_away_for_a_moment_changes_nothing(config, monkeypatch, failures):
    (right,) = [next(train_iterator(reader_of(config), batch_size=24, seed=0))]
    reader = reader_of(config)
    fail_to_read({reader.source[5].path}, monkeypatch, failures)
    found = next(train_iterator(reader, batch_size=24, seed=0))
    for name in right:
        np.testing.assert_array_equal(found[name], right[name])
    assert reader.damaged == ()


@pytest.mark.parametrize("views", [1, 3])
def test_evaluation_stops_if_its_videos_are_gone(config, root, views):
    reader = reader_of(config, "test")
    root.rename(root.with_name("away"))
    with pytest.raises(DatasetGoneError):
        list(evaluation_batches(reader, batch_size=4, views=Views(views)))


def test_a_damaged_video_is_not_taken_for_a_gone_one(config):
    reader = reader_of(config)
    for i in range(8):
        with open(reader.source[i].path, "r+b") as file:
            file.truncate(300)
    assert next(train_iterator(reader, batch_size=8, seed=0))["mask"].all()
    assert not any("since the start" in item.reason for item in reader.damaged)


def test_many_videos_that_are_gone_one_by_one_stop_the_run():
    class Many:
        def __len__(self):
            return 10_000

        def __getitem__(self, index):
            return self

        path = __file__

    gone = OSError(errno.ENOENT, "No such file")
    reachable.check_dataset(Many(), 5, gone, range(10, 20))
    with pytest.raises(DatasetGoneError, match="20 videos are gone since the start"):
        reachable.check_dataset(Many(), 5, gone, range(10, 29))
