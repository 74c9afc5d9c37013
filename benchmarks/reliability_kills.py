"""Kills training, evaluation and preparation at random, and compares what they make in the end.

    python -m benchmarks.reliability_kills --kills 100 --seed 0

Each case is run once without interruption. Then it is killed (SIGKILL, the main process or all of
them) several times, at random moments and while it writes, always continued by the same command,
and at last completed. What is in its folder must equal that of the uninterrupted run: for training
all arrays of the newest checkpoints, the position of the data iterator, the rows of metrics without
their speeds, the settings, the skipped files and the cache of frame indices; for the others all
bytes of all files. No process may outlive its main process by half a minute.
"""

import argparse
import collections
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from benchmarks.killing import Kill, run, run_and_kill, shared_memory
from benchmarks.mixed_videos import make_videos

ROOT = Path(__file__).resolve().parent.parent
STEPS = 40
FRAMES = 4 * 4 * 16 * 16 * 3  # bytes of a batch, by which its blocks of shared memory are told
KILLS_PER_RUN = 8  # of one run, before it is completed
SHARES = {"train": 0.7, "prepare": 0.16, "eval": 0.14}  # of all kills

_COMPARING = threading.Lock()  # reading checkpoints starts JAX

_DATA = [
    *("--data.source", "video-folder", "--data.root", "../videos", "--data.index-cache", "cache"),
    *("--data.short-side", "24"),
]
COMMANDS = {
    "train": [
        *(
            "benchmarks.tiny_network",
            "train",
            "actionflownet",
            "--scale",
            "toy",
            "--run-dir",
            "run",
            "--steps",
            str(STEPS),
        ),
        *_DATA,
        *("--batch-size", "4", "--data.num-frames", "4", "--data.size", "16", "16"),
        *("--data.teacher", "none", "--data.num-workers", "2", "--data.num-threads", "1"),
        *("--data.prefetch", "1", "--model.name", "tiny", "--model.width", "4"),
        *("--model.dropout-rate", "0.5", "--objective.flow", "none"),
        *("--optim.ema-decay", "0.9", "--optim.schedule", "constant"),
        # Rows of 3 steps and checkpoints of 4: some are saved between two rows.
        *("--log-every", "3", "--checkpoint-every", "4", "--test-every", "40"),
        *("--test-batches", "2", "--compilation-cache", "../jax"),
    ],
    "prepare": [
        *("afn_jax.data.prepare", "shards", *_DATA),
        *("--splits", "train", "--num-shards", "6", "--workers", "2"),
    ],
    "eval": [
        "benchmarks.tiny_network",
        "eval",
        "action",
        "--run",
        "run",
        "--batch-size",
        "4",
        "--examples",
        "3",
    ],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="number of kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of their moments")
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at a time")
    parser.add_argument("--folder", help="folder for all files; default: a temporary one")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="afn_jax-kills-"))
    faults = campaign(folder.resolve(), options.kills, options.seed, options.jobs)
    for fault in faults:
        print(f"FAULT: {fault}")
    print(f"{len(faults)} differences from the uninterrupted runs")
    if not options.folder and not faults:
        shutil.rmtree(folder)
    return bool(faults)


def campaign(folder: Path, kills: int, seed: int, jobs: int = 1) -> list[str]:
    """Runs all kills and returns the differences that they made."""
    folder.mkdir(parents=True, exist_ok=True)
    before = shared_memory(FRAMES)
    videos, damaged = 36, folder / "videos" / "class0" / "damaged.avi"
    if not damaged.exists():
        make_videos(folder / "videos", videos)
    durations = {}
    for name in ("whole", "again"):  # the first one compiles
        durations["train"] = timed_run("train", folder / name, folder)
    faults = [f"train, repeated: {d}" for d in compare("train", folder / "whole", folder / "again")]
    (folder / "whole").rename(folder / "whole-train")
    for case in ("prepare", "eval"):
        durations[case] = timed_run(case, folder / f"whole-{case}", folder)
    print("seconds without a kill:", {k: round(v, 1) for k, v in durations.items()}, flush=True)
    counts = {"train": round(kills * SHARES["train"]), "prepare": round(kills * SHARES["prepare"])}
    counts["eval"] = kills - sum(counts.values())
    for case, count in counts.items():
        faults += kill_case(case, count, folder, durations[case], seed, jobs)
    left = shared_memory(FRAMES) - before
    print(f"{len(left)} batches left in shared memory by kills of all processes")
    return faults


def kill_case(
    case: str, kills: int, folder: Path, duration: float, seed: int, jobs: int = 1
) -> list[str]:
    """Kills one command `kills` times, in several runs; returns the differences."""
    how: collections.Counter[str] = collections.Counter()
    faults, number = [], 0
    started = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        while (left := kills - how.total()) > 0:
            counts = [KILLS_PER_RUN] * (left // KILLS_PER_RUN) + [left % KILLS_PER_RUN]
            counts = [count for count in counts if count]
            rngs = [np.random.default_rng([seed, number + i]) for i in range(len(counts))]
            places = [folder / f"{case}-{number + i}" for i in range(len(counts))]
            number += len(counts)

            def one(count: int, place: Path, rng: np.random.Generator) -> None:
                found, killed = kill_run(case, count, place, folder, duration, rng)
                faults.extend(found)
                how.update(killed)
                print(f"{case}: {how.total()} of {kills} kills, {len(faults)} faults", flush=True)

            list(pool.map(one, counts, places, rngs))
    seconds = time.monotonic() - started
    print(f"{case}: {how.total()} kills of {number} runs in {seconds:.0f} s:")
    for what, count in sorted(how.items()):
        print(f"  {count:3d} {what}")
    sys.stdout.flush()
    return faults


def kill_run(
    case: str, kills: int, place: Path, folder: Path, duration: float, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Kills one run up to `kills` times and completes it.

    Returns:
        The differences from the uninterrupted run, and how it was killed each time.
    """
    how: list[str] = []
    prepare_case(case, place, folder)
    try:
        for _ in range(kills):
            what, kill = draw(case, place, duration, rng)
            if not run_and_kill(command(case), place, environment(), kill):
                break  # it was complete before the kill
            how.append(f"{what}, {'all processes' if kill.group else 'main process'}")
        output = run(command(case), place, environment())
    except RuntimeError as error:
        return [str(error)], how
    with _COMPARING:
        faults = [f"{place.name}: {f}" for f in compare(case, folder / f"whole-{case}", place)]
    if "Traceback" in output or "leaked" in output:
        faults.append(f"{place.name} printed: {output}")
    if not faults:
        shutil.rmtree(place)
    return faults, how


def command(case: str) -> list[str]:
    """Returns the command line of a case, to be run in the folder of a run of it."""
    return [sys.executable, "-m", *COMMANDS[case]]


def environment() -> dict[str, str]:
    """Returns the environment of the commands."""
    return os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}


def prepare_case(case: str, place: Path, folder: Path) -> None:
    """Makes the folder of a run; evaluation begins with a trained one."""
    place.mkdir()
    (folder / "jax").mkdir(exist_ok=True)
    (place / ".cache").mkdir()
    (place / ".cache" / "jax").symlink_to(folder / "jax")  # compiled programs, by `eval`
    if case == "eval":
        for name in ("run", "cache"):
            shutil.copytree(folder / "again" / name, place / name)


def timed_run(case: str, place: Path, folder: Path) -> float:
    """Runs a case without a kill and returns its seconds."""
    prepare_case(case, place, folder)
    started = time.monotonic()
    run(command(case), place, environment())
    return time.monotonic() - started


def draw(case: str, place: Path, duration: float, rng: np.random.Generator) -> tuple[str, Kill]:
    """Draws when to kill: at a random moment, or some milliseconds after a file appears."""
    group = bool(rng.random() < 0.5)
    signs: dict[str, Callable[[], bool]] = {
        "train": {
            "writing a checkpoint": appears(place, "run/checkpoints/*orbax-checkpoint-tmp*"),
            "after a checkpoint": appears(place, "run/checkpoints/[0-9]*[0-9]"),
            "writing metrics": grows(place / "run" / "metrics.jsonl", int(rng.integers(1, 6))),
            "writing the index cache": appears(place, "cache/*", "cache/.*"),
        },
        "prepare": {
            "writing a shard": appears(place, "shards/*.part"),
            "writing dataset.json": appears(place, "shards/.dataset*", "shards/dataset*"),
            "after a shard": appears(place, "shards/*.arrayrecord"),
            "writing the index cache": appears(place, "cache/*", "cache/.*"),
        },
        "eval": {
            "writing scores": appears(place, "run/scores.npz", "run/.scores*"),
            "writing the report": appears(place, "run/report.html", "run/.report*"),
            "writing eval.json": appears(place, "run/eval.json", "run/.eval*"),
        },
    }[case]
    if rng.random() < 0.4:
        return "random moment", Kill(float(rng.uniform(0, duration)), group=group)
    what = str(rng.choice(sorted(signs)))
    return what, Kill(float(rng.choice([0, 0, 0.005, 0.02, 0.1])), signs[what], group)


def appears(place: Path, *patterns: str) -> Callable[[], bool]:
    """Returns a function that tells whether a path exists that did not when this was called."""

    def found() -> set[Path]:
        return {path for pattern in patterns for path in place.glob(pattern)}

    before = found()
    return lambda: bool(found() - before)


def grows(file: Path, times: int) -> Callable[[], bool]:
    """Returns a function that tells whether a file was written `times` times."""
    sizes = set()

    def written() -> bool:
        sizes.add(file.stat().st_size if file.exists() else -1)
        return len(sizes) > times

    return written


def compare(case: str, right: Path, found: Path) -> list[str]:
    """Returns the differences between the folders of two completed runs of a case."""
    if case == "train":
        return [
            *_compare_files(right / "cache", found / "cache"),
            *compare_runs(right / "run", found / "run"),
        ]
    below = {"prepare": ("shards", "cache"), "eval": ("run",)}[case]
    faults = [fault for name in below for fault in _compare_files(right / name, found / name)]
    return faults


def compare_runs(right: Path, found: Path) -> list[str]:
    """Returns the differences between two run folders, bit by bit."""
    faults = []
    steps = [sorted(p.name for p in (run / "checkpoints").iterdir()) for run in (right, found)]
    if steps[0] != steps[1]:
        faults.append(f"checkpoints {steps[1]} instead of {steps[0]}")
    for step in set(steps[0]) & set(steps[1]):
        arrays = [saved_arrays(run / "checkpoints" / step) for run in (right, found)]
        names = arrays[0].keys() | arrays[1].keys()
        changed = [name for name in sorted(names) if arrays[0].get(name) != arrays[1].get(name)]
        if changed or len(arrays[0]) < 20:
            faults.append(f"step {step}: {len(changed)} of {len(names)} arrays differ: {changed}")
        positions = [(run / "checkpoints" / step / "data" / "metadata") for run in (right, found)]
        if positions[0].read_text() != positions[1].read_text():
            faults.append(f"step {step}: position {positions[1].read_text()}")
    rows = [metrics_of(run) for run in (right, found)]
    if rows[0] != rows[1]:
        faults.append(f"rows of metrics differ: {[row for row in rows[1] if row not in rows[0]]}")
    kept = [(row["step"], row["split"]) for row in rows[1]]
    if len(set(kept)) != len(kept) or len(kept) < STEPS // 3:
        faults.append(f"rows of metrics are missing or repeated: {kept}")
    # Not the reasons: at which frame a damaged video fails first depends on the clip.
    skipped = [
        sorted(path for path, _ in json.loads((run / "skipped.json").read_text()))
        for run in (right, found)
    ]
    if skipped[0] != skipped[1] or not skipped[0]:
        faults.append(f"skipped {skipped[1]} instead of {skipped[0]}")
    if (right / "config.json").read_bytes() != (found / "config.json").read_bytes():
        faults.append("config.json differs")
    return [*faults, *_compare_files(right / "data", found / "data"), *_unknown_files(found)]


def _unknown_files(run: Path) -> list[str]:
    expected = {"checkpoints", "config.json", "data", "metrics.jsonl", "skipped.json"}
    names = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    extra = names - expected - {"tensorboard", "training.lock"}
    return [f"unexpected files: {sorted(extra)}"] if extra else []


def _compare_files(right: Path, found: Path) -> list[str]:
    contents = [
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        for folder in (right, found)
    ]
    names = contents[0].keys() | contents[1].keys()
    return [
        f"{found.name}/{name} differs"
        for name in sorted(names)
        if contents[0].get(name) != contents[1].get(name)
    ]


def saved_arrays(checkpoint: Path) -> dict[str, tuple]:
    """Returns (type, bytes) of each saved array by name, read without the code under test."""
    flat = {}

    def visit(name, value):
        if isinstance(value, dict | list | tuple):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, child in items:
                visit(f"{name}/{key}", child)
        elif value is not None:
            flat[name] = (str(np.asarray(value).dtype), np.asarray(value).tobytes())

    visit("", ocp.StandardCheckpointer().restore(checkpoint / "state"))
    return flat


def metrics_of(run: Path) -> list[dict]:
    """Returns the rows of metrics without speeds, which are never the same."""
    timed = ("steps_per_second", "clips_per_second")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: v for name, v in row.items() if name not in timed} for row in rows]


if __name__ == "__main__":
    sys.exit(main())
