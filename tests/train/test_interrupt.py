"""A real run of the command, stopped by SIGTERM, SIGINT and SIGKILL in turn and resumed.

Each stop takes a separate process with the real network, so all three share one run folder.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orbax.checkpoint as ocp
import pytest

from train.writers import read_metrics

ROOT = Path(__file__).resolve().parents[2]
STEPS = 240


def command(run_dir):
    return [
        *(sys.executable, "-m", "train", "actionflownet", "--scale", "toy"),
        *("--run-dir", str(run_dir), "--steps", str(STEPS), "--batch-size", "2"),
        *("--data.num-frames", "4", "--data.size", "16", "16", "--data.train-videos", "1000"),
        *("--data.num-threads", "1", "--data.prefetch", "1", "--data.test-videos", "8"),
        *("--model.width", "2", "--model.flow-stride", "4", "--model.dropout-rate", "0.5"),
        *("--augment.brightness", "0.2", "--augment.contrast", "0.2", "--augment.noise", "0.02"),
        *("--log-every", "1", "--test-every", "0", "--checkpoint-every", "25"),
        *("--compilation-cache", str(ROOT / ".cache" / "jax-tests")),
    ]


def start(run_dir):
    return subprocess.Popen(
        command(run_dir),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def last_step(run_dir):
    rows = read_metrics(run_dir)
    return rows[-1]["step"] if rows else 0


def stop(run_dir, number, at):
    """Sends the signal once step `at` is under way; returns (exit code, stdout, stderr)."""
    process = start(run_dir)
    try:
        while last_step(run_dir) < at and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert last_step(run_dir) < STEPS, "it ended before the signal came: raise STEPS"
    return process.returncode, out, err


def finish(run_dir):
    process = start(run_dir)
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert err == ""
    return out


def saved_steps(run_dir):
    folder = run_dir / "checkpoints"
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def saved_arrays(run_dir):
    """Returns the bytes of each saved array by name, read without the code under test."""
    arrays = ocp.StandardCheckpointer().restore(run_dir / "checkpoints" / str(STEPS) / "state")
    flat = {}

    def visit(name, value):
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, child in items:
                visit(f"{name}/{key}", child)
        elif value is not None:
            flat[name] = (value.dtype, value.tobytes())

    visit("", arrays)
    return flat


@pytest.mark.slow  # test_loop.py tests signals and resuming within one process
@pytest.mark.timeout(900)
def test_resumes_after_every_way_of_stopping(tmp_path):
    whole, run_dir = tmp_path / "whole", tmp_path / "run"
    assert "fresh start" in finish(whole)

    code, out, err = stop(run_dir, signal.SIGTERM, at=5)
    assert (code, err) == (130, "")
    assert "saved; the same command continues from there" in out
    (saved,) = saved_steps(run_dir)[-1:]
    assert saved == last_step(run_dir) >= 5

    code, out, err = stop(run_dir, signal.SIGINT, at=saved + 5)
    assert f"resumed at step {saved}" in out
    assert (code, err) == (130, "")
    assert saved_steps(run_dir)[-1] >= saved + 5

    # SIGKILL leaves no time to save: the steps since the last checkpoint are repeated.
    saved = saved_steps(run_dir)[-1]
    code, out, _ = stop(run_dir, signal.SIGKILL, at=saved + 30)
    assert code == -signal.SIGKILL
    last = saved_steps(run_dir)[-1]
    assert last % 25 == 0 and saved < last < STEPS

    out = finish(run_dir)
    assert f"resumed at step {last}" in out

    found, right = saved_arrays(run_dir), saved_arrays(whole)
    assert found.keys() == right.keys() and len(right) > 100
    assert [name for name in right if found[name] != right[name]] == []
    losses = [[(row["step"], row["loss"]) for row in read_metrics(d)] for d in (run_dir, whole)]
    assert losses[0] == losses[1]
    assert [step for step, _ in losses[1]] == list(range(1, STEPS + 1))
    assert json.loads((run_dir / "config.json").read_text())["steps"] == STEPS
