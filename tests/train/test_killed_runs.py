"""What a kill between two writes of a run must not lose."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.killing import processes_of
from tests.train.loop_runs import assert_same_state, elsewhere, rows, run, stop_at
from train import loop

ROOT = Path(__file__).resolve().parents[2]


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is written."""


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize("steps", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_a_test_row_that_a_kill_prevented_is_written_on_resuming(config, monkeypatch, steps):
    config = dataclasses.replace(config, steps=steps, test_every=4, checkpoint_every=4)
    whole, _ = run(elsewhere(config, "whole"))

    def kill(*arguments):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "evaluate_test_clips", kill)
        run(config)
    assert rows(config.run_dir, "test") == []
    resumed, text = run(config)
    assert "resumed at step 4" in text
    assert rows(resumed.run_dir, "test") == rows(whole.run_dir, "test")
    assert [row["step"] for row in rows(resumed.run_dir, "test")] == list(range(4, steps + 1, 4))
    assert_same_state(resumed.state, whole.state)
    run(config)  # a finished run is not tested again
    assert rows(resumed.run_dir, "test") == rows(whole.run_dir, "test")


@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_row_is_the_mean_over_all_of_its_steps_although_the_run_stopped_between(
    config, monkeypatch
):
    config = dataclasses.replace(config, steps=10, log_every=5, checkpoint_every=100)
    whole, _ = run(elsewhere(config, "whole"))
    with monkeypatch.context() as patch:
        stop_at(6, patch)
        stopped, _ = run(config)
    assert not stopped.finished and int(stopped.state.step) % 5
    resumed, _ = run(config)
    assert rows(resumed.run_dir) == rows(whole.run_dir)
    assert [row["step"] for row in rows(resumed.run_dir)] == [5, 10]


READ = """
import sys, time
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import evaluation_batches, train_iterator
from tests.counted_videos import SMALL, CountedSource
import dataclasses
if __name__ == "__main__":
    config = dataclasses.replace(SMALL, num_workers=2)
    batches = train_iterator(ClipReader(CountedSource(), config), batch_size=4, seed=0)
    for _ in range(5):
        next(batches)
    if sys.argv[1] == "finish":
        batches.close()
        reader = ClipReader(CountedSource(), config)
        assert len(list(evaluation_batches(reader, batch_size=4))) == 3
        sys.exit()
    print("ready", flush=True)
    time.sleep(600)
"""


def start_reading(tmp_path, what):
    program = tmp_path / "read.py"
    program.write_text(READ)
    return subprocess.Popen(
        [sys.executable, str(program), what],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_reading_processes_end_when_their_parent_is_killed(tmp_path):
    process = start_reading(tmp_path, "wait")
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    assert len(processes_of(process.pid)) >= 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while (left := processes_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


@pytest.mark.slow
def test_reading_processes_leave_no_shared_memory_and_no_warning(tmp_path):
    _, errors = (process := start_reading(tmp_path, "finish")).communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
