"""Shows on one machine that two processes survive a kill and equal one process.

`python -m benchmarks.cluster_demo [--steps 400] [--runs FOLDER]` trains the toy recipe with a
network of one layer, which compiles in a second:

1. on two processes with one CPU device each; kills one of them half-way, and starts the same
   command again, which continues from the last checkpoint;
2. on one process with two CPU devices.

It evaluates the first run on two processes and on one, and the second run on one, and compares
scores, parameters and accuracies. It ends with exit code 1 if they differ. `make cluster-demo` runs
it in a few minutes.
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
# `python -m train` and `python -m eval` with the small network.
TRAIN, EVAL = "tests.train.hosts.small_main", "tests.eval.small_main"


def training(run_dir: Path, steps: int) -> list[str]:
    """The run to train: it saves ten times, reports forty times, and has dropout."""
    return [
        *(TRAIN, "actionflownet", "--scale", "toy", "--run-dir", str(run_dir)),
        *("--steps", str(steps), "--batch-size", "4", "--model.dropout-rate", "0.5"),
        *("--data.num-frames", "4", "--data.size", "16", "16", "--data.test-videos", "101"),
        *("--checkpoint-every", str(max(steps // 10, 1)), "--test-every", str(steps)),
        *("--test-batches", "2", "--log-every", str(max(steps // 40, 1))),
    ]


def evaluation(run_dir: Path) -> list[str]:
    """The evaluation of a run."""
    return [EVAL, "action", "--run", str(run_dir)]


def start(arguments: list[str], devices: int) -> subprocess.Popen:
    """Starts a command, a module with its arguments, with a number of CPU devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def start_two(arguments: list[str]) -> list[subprocess.Popen]:
    """Starts a command as two processes with one CPU device each."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    several = ["--distributed", address, "--num-processes", "2", "--distributed-timeout", "60"]
    return [
        start([*arguments, *several, "--process-id", str(index)], devices=1) for index in range(2)
    ]


def rows(run_dir: Path) -> list[dict]:
    """Returns the rows of metrics that training has written so far."""
    path = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def last_step(run_dir: Path) -> int:
    """Returns the last step that training has written, 0 without any."""
    return max((row["step"] for row in rows(run_dir)), default=0)


def wait(processes: list[subprocess.Popen]) -> list[int]:
    """Waits for processes and returns their exit codes."""
    return [process.wait() for process in processes]


def check(what: str, good: bool) -> None:
    """Prints a result; a bad one ends the program with exit code 1."""
    print(f"{'ok' if good else 'FAILED'}: {what}", flush=True)
    if not good:
        sys.exit(1)


def evaluated(run_dir: Path, processes: list[subprocess.Popen]) -> tuple[dict, np.ndarray]:
    """Waits for an evaluation; returns its numbers and the scores of the videos."""
    check(f"evaluated {run_dir}", not any(wait(processes)))
    with np.load(run_dir / "scores.npz") as scores:
        return json.loads((run_dir / "eval.json").read_text()), scores["logits"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="training steps, 10 or more")
    parser.add_argument("--runs", type=Path, default=Path("runs/cluster-demo"), help="replaced")
    options = parser.parse_args()
    steps, two, one = options.steps, options.runs / "two", options.runs / "one"
    shutil.rmtree(options.runs, ignore_errors=True)

    say("Two processes train; process 1 is killed half-way.")
    processes = start_two(training(two, steps))
    while last_step(two) < steps // 2 and all(p.poll() is None for p in processes):
        time.sleep(0.02)
    processes[1].kill()
    killed = time.monotonic()
    codes = wait(processes)
    seconds = time.monotonic() - killed
    check(
        f"process 0 ended {seconds:.0f} s after the kill, with exit code {codes[0]}",
        codes[0] not in (0, 130),
    )

    say("The same command again.")
    check("both processes finished", wait(start_two(training(two, steps))) == [0, 0])

    say("One process with two devices.")
    check("it finished", wait([start(training(one, steps), devices=2)]) == [0])

    say("Evaluation on two processes, then of the same run on one, and of the other run.")
    shared, shared_scores = evaluated(two, start_two(evaluation(two)))
    alone, scores = evaluated(two, [start(evaluation(two), devices=2)])
    right, _ = evaluated(one, [start(evaluation(one), devices=2)])

    check(
        f"{len(scores)} videos have the same scores, evaluated on two processes and on one",
        np.array_equal(shared_scores, scores) and shared["top1"] == alone["top1"],
    )
    far = farthest(two, one)
    check(f"the parameters of step {steps} differ by at most {far:.1e}", far <= TOLERANCE)
    top1 = shared["top1"], right["top1"]
    check(f"top-1 of two processes {top1[0]:.4f}, of one {top1[1]:.4f}", top1[0] == top1[1])


def farthest(run_dir: Path, other: Path) -> float:
    """Returns the largest difference between the parameters of two runs."""
    import jax

    from train.checkpoint import load_state

    states = [jax.tree.leaves(load_state(run, None)["params"]) for run in (run_dir, other)]
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(*states, strict=True)
    )


def say(text: str) -> None:
    """Prints a line at once, among those of the processes."""
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()
