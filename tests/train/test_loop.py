"""The real loop with the smallest network: its outputs, stopping and resuming."""

import dataclasses
import errno
import math
import signal
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import evaluation_batches
from afn_jax.data.sources import create_source
from tests.small_run import build_small_network
from tests.train.loop_runs import (
    assert_same_state,
    contents,
    elsewhere,
    rows,
    run,
    saved_steps,
    stop_at,
)
from train import loop, signals
from train.__main__ import evaluation_of
from train.checkpoint import CheckpointError, Checkpoints, load_config
from train.config import OptimConfig
from train.recipes import RECIPES
from train.signals import stop_on_signals
from train.step_metrics import TrainingStopped, read_finite
from train.writers import read_metrics

pytestmark = pytest.mark.usefixtures("small_network")


# ---------------------------------------------------------------- Outputs of a run


def test_a_run_writes_checkpoints_metrics_and_settings(config):
    config = dataclasses.replace(config, log_every=2, test_every=2)
    result, text = run(config)
    run_dir = Path(config.run_dir)
    assert result.finished and result.run_dir == run_dir and int(result.state.step) == 4
    assert [(row["step"], row["split"]) for row in read_metrics(run_dir)] == [
        (2, "train"),
        (2, "test"),
        (4, "train"),
        (4, "test"),
    ]
    for row in rows(run_dir):
        assert set(row) == {
            *("step", "split", "loss", "cross_entropy", "top1", "epe", "zero_flow_epe"),
            "gradient_norm",
        }
        assert all(math.isfinite(v) for v in row.values() if not isinstance(v, str))
        weighted = row["cross_entropy"] + config.objective.flow_weight * row["epe"]
        assert row["loss"] == pytest.approx(weighted, rel=1e-5)
    assert "steps_per_second" in read_metrics(run_dir)[2]
    assert saved_steps(run_dir) == [2, 4]
    assert load_config(run_dir) == config
    assert list((run_dir / "tensorboard").glob("events*"))
    assert "fresh start" in text and "64 training and 10 test videos of 8 classes" in text


def test_rows_are_means_since_the_last_row(config):
    every, _ = run(config)
    run(elsewhere(config, "sparse", log_every=3))
    losses = [row["loss"] for row in rows(every.run_dir)]
    sparse = rows(Path(config.run_dir).parent / "sparse")
    assert [row["step"] for row in sparse] == [3, 4]
    assert sparse[0]["loss"] == pytest.approx(np.mean(losses[:3]), rel=1e-6)
    assert sparse[1]["loss"] == pytest.approx(losses[3], rel=1e-6)


def test_test_rows_are_means_over_all_test_videos(config):
    """10 videos in batches of 4: the last batch is half padding."""
    config = dataclasses.replace(config, test_every=4)
    result, _ = run(config)
    source = create_source(config.data, "test", config.seed)
    reader = ClipReader(source, config.data)
    examples = [reader.evaluation_example(i) for i in range(10)]
    frames, labels, flows, trusted = (
        np.concatenate([example[name] for example in examples])
        for name in ("frames", "labels", "flows", "flow_mask")
    )
    state = jax.device_get(result.state)
    prediction = build_small_network(config, 8, axis_name=None).apply(
        {"params": state.params, "batch_stats": state.batch_stats},
        frames / np.float32(255),
        train=False,
    )
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(prediction.logits, labels)
    flow = np.asarray(prediction.flows[0])
    flow = 2 * jax.image.resize(flow, (*flow.shape[:2], 16, 16, 2), "bilinear")
    epe = np.linalg.norm(flow - flows, axis=-1)[trusted].mean()
    right = np.asarray(prediction.logits).argmax(-1) == labels
    (row,) = rows(config.run_dir, "test")
    assert row["cross_entropy"] == pytest.approx(float(cross_entropy.mean()), rel=1e-4)
    assert row["top1"] == pytest.approx(right.mean(), abs=1e-6)
    assert row["epe"] == pytest.approx(float(epe), rel=1e-4)


@pytest.mark.slow
def test_learning_rate_and_seed_reach_the_step(config):
    base, _ = run(dataclasses.replace(config, steps=1))
    faster = OptimConfig(learning_rate=2e-3)
    for number, change in enumerate(({"optim": faster}, {"seed": 1})):
        other, _ = run(elsewhere(config, f"other{number}", steps=1, **change))
        kernels = [np.asarray(r.state.params["Conv_0"]["kernel"]) for r in (base, other)]
        assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


# ---------------------------------------------------------------- Resuming and stopping


def test_repeating_the_command_of_a_finished_run_does_nothing(config):
    first, _ = run(config)
    metrics = (Path(config.run_dir) / "metrics.jsonl").read_bytes()
    checkpoints = contents(Path(config.run_dir) / "checkpoints")
    again, text = run(config)
    assert "nothing left to do: all 4 steps are done" in text
    assert again.finished
    assert_same_state(again.state, first.state)
    assert (Path(config.run_dir) / "metrics.jsonl").read_bytes() == metrics
    assert contents(Path(config.run_dir) / "checkpoints") == checkpoints


def test_asking_for_fewer_steps_does_not_shorten_a_run(config):
    run(config)
    _, text = run(dataclasses.replace(config, steps=3))
    assert "nothing left to do: all 3 steps are done" in text
    assert load_config(Path(config.run_dir)).steps == 4  # not "step 4 of 3" in the evaluation


def test_a_resumed_run_equals_an_uninterrupted_one(config):
    """With dropout, color jitter, noise and random crops, to the last bit."""
    assert config.model.dropout_rate and config.augment.noise and config.augment.brightness
    whole, _ = run(elsewhere(config, "whole", steps=6))
    run(dataclasses.replace(config, steps=3))
    resumed, text = run(dataclasses.replace(config, steps=6))
    assert "resumed at step 3" in text
    assert_same_state(resumed.state, whole.state)
    assert rows(config.run_dir) == rows(whole.run_dir)
    assert [row["step"] for row in rows(config.run_dir)] == [1, 2, 3, 4, 5, 6]


def test_a_damaged_checkpoint_resumes_from_the_one_before(config):
    whole, _ = run(config)
    expected = rows(config.run_dir)
    for path in (Path(config.run_dir) / "checkpoints" / "4").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again, text = run(config)
    assert "warning: skipped a damaged checkpoint, step 4" in text
    assert "resumed at step 2" in text
    assert_same_state(again.state, whole.state)
    assert rows(config.run_dir) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_continues(config, monkeypatch, number):
    whole, _ = run(elsewhere(config, "whole"))
    config = dataclasses.replace(config, checkpoint_every=100)
    with monkeypatch.context() as patch:
        stop_at(3, patch, number)
        stopped, text = run(config)
    assert not stopped.finished
    assert "stopped at step 3 and saved; the same command continues from there" in text
    assert saved_steps(config.run_dir) == [3]
    resumed, _ = run(config)
    assert resumed.finished
    assert_same_state(resumed.state, whole.state)


@pytest.mark.parametrize("asked", [True, False])
def test_a_signal_may_end_the_reading_processes(config, monkeypatch, asked):
    """A scheduler sends SIGTERM to the whole process group; the run is saved nevertheless."""
    begin = loop.train_iterator

    class Dying:
        def __init__(self, *arguments, **options):
            self.iterator, self.left = begin(*arguments, **options), 3
            self.get_state, self.close = self.iterator.get_state, self.iterator.close

        def __next__(self):
            self.left -= 1
            if self.left:
                return next(self.iterator)
            if asked:
                signal.raise_signal(signal.SIGTERM)
            raise RuntimeError("Worker process was terminated unexpectedly")

    monkeypatch.setattr(loop, "train_iterator", Dying)
    if not asked:
        with pytest.raises(
            TrainingStopped, match="terminated unexpectedly. The .* step 2 is intact"
        ):
            run(config)
        return
    result, text = run(config)
    assert not result.finished and "stopped at step 2 and saved" in text
    assert saved_steps(config.run_dir)[-1] == 2


def test_a_failing_evaluation_on_test_clips_loses_no_step(config, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(loop, "evaluate_test_clips", fail)
    config = dataclasses.replace(config, test_every=3, checkpoint_every=3)
    with pytest.raises(MemoryError):
        run(config)
    assert saved_steps(config.run_dir) == [3]


@pytest.mark.parametrize("second, later", [(signal.SIGTERM, 0.0), (signal.SIGINT, 1.5)])
def test_a_second_signal_interrupts(monkeypatch, second, later):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    now = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    with stop_on_signals() as stop:
        assert not stop.requested
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        signal.raise_signal(signal.SIGINT)  # both signals within a second are one request
        now[0] += later
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# ---------------------------------------------------------------- Errors during a run


def test_test_clips_are_spread_over_the_classes():
    data = DataConfig(num_frames=2, size=(16, 16), test_videos=64, num_threads=1)
    source = create_source(data, "test", 0)
    reader = ClipReader(source, data)
    batches = evaluation_batches(reader, batch_size=8, most=24)
    indices = np.concatenate([batch["indices"] for batch in batches])
    again = evaluation_batches(reader, batch_size=8, most=24)
    np.testing.assert_array_equal(indices, np.concatenate([b["indices"] for b in again]))
    assert len(set(indices)) == 24 and indices.max() >= 40
    assert len({source[i].label for i in indices}) >= 6


def test_a_nonfinite_gradient_stops_the_run():
    class Saved:
        def latest_step(self):
            return 3

    with pytest.raises(
        TrainingStopped, match="gradient is not finite at step 7.*another --run-dir"
    ):
        read_finite(7, {"loss": np.float32(1), "gradient_norm": np.float32(np.nan)}, Saved())


@pytest.mark.parametrize("log_every, checkpoint_every", [(1, 1), (100, 1), (100, 100)])
def test_a_nonfinite_loss_stops_the_run(config, log_every, checkpoint_every):
    absurd = dataclasses.replace(
        config,
        optim=OptimConfig(learning_rate=1e30),
        log_every=log_every,
        checkpoint_every=checkpoint_every,
    )
    with pytest.raises(TrainingStopped, match="not finite at step 2 .*cross_entropy.*epe") as error:
        run(absurd)
    assert "--optim.learning-rate" in str(error.value)
    intact = "The checkpoint of step 1 is intact" in str(error.value)
    assert intact == (checkpoint_every == 1)
    # The state after step 2 is not saved.
    assert saved_steps(config.run_dir) == ([1] if intact else [])
    checkpoints = Checkpoints(Path(config.run_dir))
    assert checkpoints.latest_step() == (1 if intact else None)
    checkpoints.close()


def test_the_command_reports_a_nonfinite_loss(config, monkeypatch, run_main):
    absurd = dataclasses.replace(config, optim=OptimConfig(learning_rate=1e30))
    monkeypatch.setattr("train.cli.parse_chain", lambda arguments: [absurd])
    code, _, stderr = run_main("train")
    assert code == 1
    assert (
        "error: the loss or its gradient is not finite at step 2" in stderr
        and "Traceback" not in stderr
    )


@pytest.mark.slow
def test_the_command_reports_a_full_disk(config, monkeypatch, run_main):
    whole, _ = run(elsewhere(config, "whole"))
    monkeypatch.setattr("train.cli.parse_chain", lambda arguments: [config])
    with monkeypatch.context() as patch:
        from orbax.checkpoint import CheckpointManager

        def save(manager, step, *args, original=CheckpointManager.save, **kwargs):
            if step == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(manager, step, *args, **kwargs)

        patch.setattr(CheckpointManager, "save", save)
        code, _, stderr = run_main("train")
    assert code == 1
    assert "cannot write the checkpoint of step 4" in stderr and "No space left" in stderr
    assert "the checkpoint of step 2 is intact" in stderr and "Traceback" not in stderr
    assert saved_steps(config.run_dir) == [2]
    code, stdout, stderr = run_main("train")
    assert (code, stderr) == (0, "")
    assert "resumed at step 2" in stdout
    assert rows(config.run_dir) == rows(whole.run_dir)
    checkpoints = Checkpoints(Path(config.run_dir))
    assert_same_state(checkpoints.restore(whole.state)[0], whole.state)
    checkpoints.close()


def test_does_not_train_over_damaged_checkpoints(config):
    run(config)
    for path in (Path(config.run_dir) / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = contents(config.run_dir)
    with pytest.raises(CheckpointError, match="nothing was changed"):
        run(config)
    assert contents(config.run_dir) == before


def test_a_signal_gives_exit_code_130(config, monkeypatch, run_main):
    monkeypatch.setattr("train.cli.parse_chain", lambda arguments: [config])
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        assert run_main("train")[0] == 130
    code, stdout, _ = run_main("train")
    assert code == 0
    assert f"evaluate it with: python -m eval action --run {config.run_dir}" in stdout


@pytest.mark.slow
def test_a_signal_at_the_end_of_a_stage_ends_the_chain(config, monkeypatch, run_main):
    first = dataclasses.replace(config, test_every=config.steps)
    second = dataclasses.replace(config, run_dir=config.run_dir + "-second")
    monkeypatch.setattr("train.cli.parse_chain", lambda arguments: [first, second])
    evaluate = loop.evaluate_test_clips

    def slow(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate_test_clips", slow)
        code, stdout, _ = run_main("train")
    assert code == 130 and f"--run {first.run_dir}\n" in stdout
    assert not Path(second.run_dir).exists()
    code, stdout, _ = run_main("train")
    assert code == 0 and f"--run {second.run_dir}\n" in stdout


def test_prints_the_evaluation_command_with_the_protocol_of_the_paper():
    paper, toy = (
        evaluation_of(RECIPES["uf-tsn"]["end-to-end"][scale], "x") for scale in ("paper", "toy")
    )
    assert paper == "python -m eval action --run x --protocol uf-tsn"
    assert toy == "python -m eval action --run x"
    odabasi = RECIPES["odabasi"][""]["paper"]
    assert evaluation_of(odabasi, "x") == "python -m eval action --run x"
    motionnet = RECIPES["hidden-two-stream"]["motionnet"]["paper"]  # it does not classify
    assert evaluation_of(motionnet, "x") == "python -m eval action --run x"


def test_rejects_a_batch_that_devices_cannot_share(config):
    with pytest.raises(ValueError, match="batch_size: got 6, which 4 devices"):
        run(dataclasses.replace(config, batch_size=6))
    assert not Path(config.run_dir).exists()
