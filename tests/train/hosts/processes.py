"""Starts a command as several processes on this machine, with the smallest network."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from train.writers import read_metrics

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = (
    *("actionflownet", "--scale", "toy", "--steps", "4", "--batch-size", "4"),
    *("--data.num-frames", "4", "--data.size", "16", "16", "--data.train-videos", "30"),
    *("--data.num-threads", "1", "--data.prefetch", "1", "--data.test-videos", "9"),
    *("--model.width", "2", "--model.flow-stride", "4", "--model.dropout-rate", "0.5"),
    *("--augment.brightness", "0.2", "--augment.contrast", "0.2", "--augment.noise", "0.02"),
    *("--log-every", "1", "--test-every", "0", "--checkpoint-every", "2"),
    *("--compilation-cache", str(ROOT / ".cache" / "jax-tests")),
)
# Programs with their first arguments.
TRAIN, EVAL = ("tests.train.hosts.small_main", *OPTIONS), ("tests.eval.small_main",)


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def start(options, *, program=TRAIN, devices=1, cwd=ROOT):
    """Starts one process of a run, with a number of CPU devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", *program, *map(str, options)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
    )


def start_several(options, *, count=2, timeout=20, own=({}, {}), **same):
    """Starts all processes of a run; `same` and, by process, `own` are arguments of `start`."""
    port, processes = free_port(), []
    for index in range(count):
        other = dict(own[index])
        connection = (
            *("--distributed", f"localhost:{port}", "--num-processes", count),
            *("--process-id", index, "--distributed-timeout", timeout),
        )
        whole = (*options, *other.pop("options", ()), *connection)
        processes.append(start(whole, **same, **other))
    return processes


def finish(processes, timeout=120):
    """Waits for processes; returns (exit code, stdout, stderr) of each, without Gloo's lines."""
    try:
        ends = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, re.sub(r"\[Gloo\][^\n]*\n?", "", out), err)
        for process, (out, err) in zip(processes, ends, strict=True)
    ]


def train_in(run_dir, *options, count=1, devices=1):
    """Trains to the end; returns the output of process 0."""
    options = ("--run-dir", run_dir, *options)
    if count == 1:
        processes = [start(options, devices=devices)]
    else:
        processes = start_several(options, count=count, devices=devices)
    ends = finish(processes)
    assert [code for code, _, _ in ends] == [0] * count, ends
    assert all(out == "" for _, out, _ in ends[1:]), ends
    return ends[0][1]


def saved_arrays(run_dir, step):
    """Reads each saved array by name, without the code under test."""
    state = ocp.StandardCheckpointer().restore(Path(run_dir) / "checkpoints" / str(step) / "state")
    flat = {}

    def visit(name, value):
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, child in items:
                visit(f"{name}/{key}", child)
        elif value is not None:
            flat[name] = np.asarray(value)

    visit("", state)
    return flat


def assert_same_arrays(found_dir, right_dir, step, tolerance):
    found, right = saved_arrays(found_dir, step), saved_arrays(right_dir, step)
    assert found.keys() == right.keys() and len(right) > 20
    for name, value in right.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


def losses(run_dir, split="train"):
    return [
        (row["step"], row["loss" if split == "train" else "cross_entropy"])
        for row in read_metrics(run_dir)
        if row["split"] == split
    ]


def saved_steps(run_dir):
    return sorted(int(p.name) for p in (Path(run_dir) / "checkpoints").iterdir())
