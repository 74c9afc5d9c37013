"""Compares the speed of training on two processes with that on one, with the same two CPU devices.

    python -m benchmarks.host_costs [--steps 40] [--rounds 3] [--runs FOLDER]

Each round trains the toy recipe of ActionFlowNet for a few steps in each of these ways, one after
the other; the median of the steps per second, without the first ten steps, is compared:

- one process with two devices;
- two processes with one device each.

About five minutes on two cores. The first runs compile; the others find the programs in a cache.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks.cluster_demo import check, rows, start, start_two, wait

COMPILES = 10  # steps that are left out
ONE, TWO = "one process", "two processes"


def training(run_dir: Path, steps: int, cache: Path) -> list[str]:
    """The run that is timed."""
    return [
        *("train", "actionflownet", "--scale", "toy", "--run-dir", str(run_dir)),
        *("--steps", str(steps), "--log-every", "1", "--test-every", "0"),
        *("--checkpoint-every", str(steps), "--compilation-cache", str(cache)),
    ]


def run(way: str, arguments: list[str]) -> None:
    """Trains in one of the ways."""
    processes = [start(arguments, devices=2)] if way == ONE else start_two(arguments)
    check(way, wait(processes) == [0] * len(processes))


def speed(run_dir: Path) -> float:
    """Returns the median of steps per second."""
    found = [row for row in rows(run_dir) if row["step"] > COMPILES and row["split"] == "train"]
    return statistics.median(row["steps_per_second"] for row in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="of each run, more than 10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=Path, help="replaced; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.runs or Path(temporary) / "runs"
        speeds = {ONE: [], TWO: []}
        for number in range(options.rounds):
            for way, found in speeds.items():
                run_dir = folder / str(number) / way.replace(" ", "-")
                shutil.rmtree(run_dir, ignore_errors=True)
                run(way, training(run_dir, options.steps, folder / "cache"))
                found.append(speed(run_dir))
    for way, found in speeds.items():
        ratios = [value / one for value, one in zip(found, speeds[ONE], strict=True)]
        print(
            f"{way}: {statistics.median(found):.3g} steps/s, ratio {statistics.median(ratios):.2f} "
            f"(rounds {', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        )


if __name__ == "__main__":
    main()
