"""Shows on one machine that training on two processes survives a kill and equals one process.

`python -m benchmarks.cluster_demo [--steps 60] [--runs FOLDER]` trains a toy recipe

1. on two processes with one CPU device each, kills one of them half-way, and starts the same
   command again, which continues from the last checkpoint;
2. on one process with two CPU devices;

then evaluates both runs and compares parameters and results. It ends with exit code 1 if they
differ. `make cluster-demo` runs it.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

TOLERANCE = 1e-5  # of the parameters; the devices add their gradients in another order


def command(run_dir: Path, steps: int) -> list[str]:
    """The run to train: it saves ten times, and has dropout and augmentation."""
    return [
        *(sys.executable, "-m", "train", "actionflownet", "--scale", "toy"),
        *("--run-dir", str(run_dir), "--steps", str(steps), "--batch-size", "4"),
        *("--data.num-frames", "4", "--data.size", "16", "16", "--data.test-videos", "32"),
        *("--model.width", "2", "--model.dropout-rate", "0.5"),
        *("--checkpoint-every", str(max(steps // 10, 1)), "--test-every", str(steps)),
        *("--test-batches", "2", "--log-every", "1"),
    ]


def start(arguments: list[str], devices: int) -> subprocess.Popen:
    """Starts a process with a number of CPU devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        arguments, env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    )


def start_two(run_dir: Path, steps: int) -> list[subprocess.Popen]:
    """Starts two processes that train one run."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    several = ["--distributed", address, "--num-processes", "2", "--distributed-timeout", "60"]
    return [
        start([*command(run_dir, steps), *several, "--process-id", str(index)], devices=1)
        for index in range(2)
    ]


def rows(run_dir: Path) -> list[dict]:
    """Returns the rows of metrics that training has written so far."""
    path = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait(processes: list[subprocess.Popen]) -> list[int]:
    """Waits for processes and returns their exit codes."""
    return [process.wait() for process in processes]


def check(what: str, good: bool) -> None:
    """Prints a result; a bad one ends the program with exit code 1."""
    print(f"{'ok' if good else 'FAILED'}: {what}", flush=True)
    if not good:
        sys.exit(1)


def speed(run_dir: Path) -> float:
    """Returns the median of steps per second."""
    return float(
        np.median([r["steps_per_second"] for r in rows(run_dir) if "steps_per_second" in r])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60, help="training steps, 10 or more")
    parser.add_argument("--runs", type=Path, default=Path("runs/cluster-demo"), help="replaced")
    options = parser.parse_args()
    steps, two, one = options.steps, options.runs / "two", options.runs / "one"
    shutil.rmtree(options.runs, ignore_errors=True)

    print("two processes; process 1 is killed half-way", flush=True)
    processes = start_two(two, steps)
    while len(rows(two)) < steps // 2 and all(p.poll() is None for p in processes):
        time.sleep(0.1)
    processes[1].kill()
    killed = time.monotonic()
    codes = wait(processes)
    seconds = time.monotonic() - killed
    check(
        f"process 0 ended {seconds:.0f} s after the kill, with exit code {codes[0]}", codes[0] != 0
    )

    print("the same command again", flush=True)
    check("both processes finished", wait(start_two(two, steps)) == [0, 0])

    print("one process with two devices", flush=True)
    check("it finished", wait([start(command(one, steps), devices=2)]) == [0])

    results = []
    for run_dir in (two, one):
        evaluation = [sys.executable, "-m", "eval", "action", "--run", str(run_dir)]
        check(f"evaluated {run_dir}", wait([start(evaluation, devices=2)]) == [0])
        results.append(json.loads((run_dir / "eval.json").read_text()))

    from train.checkpoint import load_state

    states = [load_state(run_dir, None) for run_dir in (two, one)]
    import jax

    far = max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max())
        for a, b in zip(*(jax.tree.leaves(state["params"]) for state in states), strict=True)
    )
    check(f"the parameters of step {steps} differ by at most {far:.1e}", far <= TOLERANCE)
    top1 = [result["top1"] for result in results]
    check(f"top-1 of two processes {top1[0]}, of one {top1[1]}", top1[0] == top1[1])
    ratio = speed(two) / speed(one)
    print(f"steps per second of two processes, in units of one with two devices: {ratio:.2f}")


if __name__ == "__main__":
    main()
