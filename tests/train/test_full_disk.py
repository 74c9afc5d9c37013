"""A disk that is full in the middle: what is told, what is kept, and how the run continues."""

import dataclasses

import pytest

from tests.full_disk import fill, free, small_disk
from tests.train.loop_runs import assert_same_state, rows, run, saved_steps
from train import loop
from train.checkpoint import CheckpointError
from train.step_metrics import TrainingStopped
from train.writers import MetricsWriter, read_metrics

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def full_at(step, disk, monkeypatch):
    """Fills the disk before the loop takes the batch of this step."""
    begin, left = loop.train_iterator, [step]

    class Watched:
        def __init__(self, *arguments, **options):
            self.iterator = begin(*arguments, **options)
            self.get_state, self.set_state = self.iterator.get_state, self.iterator.set_state
            self.close = self.iterator.close

        def __next__(self):
            left[0] -= 1
            if left[0] == 0:
                fill(disk)
            return next(self.iterator)

    monkeypatch.setattr(loop, "train_iterator", Watched)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "error", "changes"),
    [
        ("checkpoint", CheckpointError, {"log_every": 100, "checkpoint_every": 4}),
        ("metrics", TrainingStopped, {"log_every": 1, "checkpoint_every": 4, "steps": 60}),
    ],
)
def test_a_run_on_a_full_disk_keeps_its_last_checkpoint(
    config, disk, monkeypatch, what, error, changes
):
    changes = {"steps": 12, "keep_checkpoints": 1} | changes
    config = dataclasses.replace(config, **changes)
    whole, _ = run(config)
    config = dataclasses.replace(config, run_dir=str(disk / "run"))
    if what == "metrics":  # no checkpoint comes first
        save, later = loop.Checkpoints.save, [False]

        def save_first(self, state, *arguments):
            if int(state.step) <= 4 or later[0]:
                save(self, state, *arguments)

        monkeypatch.setattr(loop.Checkpoints, "save", save_first)
    with monkeypatch.context() as patch:
        full_at(6, disk, patch)
        with pytest.raises(error, match="No space left") as stopped:
            run(config)
    message = str(stopped.value)
    assert "step 4 is intact" in message and "same command again" in message
    assert str(disk / "run") in message
    if what == "metrics":
        later[0] = True
    assert (disk / "run" / "checkpoints" / "4").is_dir()
    with pytest.raises((OSError, ValueError, CheckpointError, TrainingStopped)) as again:
        run(config)  # still full
    assert "No space left" in str(again.value)
    free(disk)
    resumed, text = run(config)
    assert "resumed at step 4" in text
    assert saved_steps(config.run_dir) == [config.steps]  # no unfinished one stays
    assert_same_state(resumed.state, whole.state)
    assert rows(resumed.run_dir) == rows(whole.run_dir)


def test_a_row_that_does_not_fit_names_the_file_and_leaves_the_others(disk):
    writer = MetricsWriter(disk, 0)
    writer.write(1, "train", {"loss": 1.0})
    fill(disk)
    with pytest.raises(OSError, match=r"No space left.*metrics.jsonl|No space left.*tensorboard"):
        for step in range(2, 2000):
            writer.write(step, "train", {"loss": 1.0})
    writer.close()
    found = read_metrics(disk)
    assert [row["step"] for row in found] == list(range(1, len(found) + 1))
    free(disk)
    writer = MetricsWriter(disk, 1)
    writer.write(2, "train", {"loss": 1.0})
    writer.close()
    assert [row["step"] for row in read_metrics(disk)] == [1, 2]
