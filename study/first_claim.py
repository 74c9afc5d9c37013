"""The paper's first claim on `synthetic_motion`: learning flow jointly helps to learn the action.

    python study/first_claim.py [--seeds 3] [--train-videos 512] [--steps 1500]

Trains, on the same few clips and for the same number of steps, three networks for each seed: joint
flow and action; action alone (the same encoder, no decoder); and a 2D ResNet-18 on single frames.
Evaluates each on held-out clips. Every run is a `python -m train` run of its own, so an interrupted
study goes on where it stopped. Writes `table.md` and `results.json` into the folder of the study.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

VARIANTS = {
    "joint flow + action": ["--objective.kind", "joint"],
    "action only": ["--objective.kind", "action"],
    "single frames (2D ResNet-18)": ["--objective.kind", "action", "--model.name", "resnet18"],
}
# 97.5 % quantiles of Student's t by degrees of freedom, for the interval over seeds.
STUDENT_T = {
    1: 12.71,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    6: 2.447,
    7: 2.365,
    8: 2.306,
    9: 2.262,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-videos", type=int, default=512)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--folder", type=Path, default=Path("runs/first-claim"))
    options = parser.parse_args()
    if not 2 <= options.seeds <= 10:
        parser.error("--seeds must be 2 to 10: an interval needs several runs")

    results: dict[str, list[dict]] = {name: [] for name in VARIANTS}
    for seed in range(options.seeds):
        for name, overrides in VARIANTS.items():
            run_dir = options.folder / f"{name.split()[0]}-{seed}"
            run(
                "train",
                ["actionflownet", "--scale", "toy", "--run-dir", str(run_dir)],
                ["--seed", str(seed), "--steps", str(options.steps), "--test-every", "0"],
                ["--data.train-videos", str(options.train_videos), *overrides],
            )
            run("eval", ["action", "--run", str(run_dir)])
            results[name].append(json.loads((run_dir / "eval.json").read_text()))

    table = table_of(results)
    (options.folder / "table.md").write_text(table)
    (options.folder / "results.json").write_text(json.dumps(results, indent=1))
    print(table)


def run(module: str, *arguments: list[str]) -> None:
    command = [sys.executable, "-m", module, *(word for part in arguments for word in part)]
    print("$", " ".join(["python", *command[1:]]), flush=True)
    subprocess.run(command, check=True)


def table_of(results: dict[str, list[dict]]) -> str:
    rows = [
        "| network | top-1 by seed | mean, 95 % interval | EPE / EPE of zero flow |",
        "|---|---|---|---|",
    ]
    for name, values in results.items():
        scores = [value["top1"] for value in values]
        half = STUDENT_T[len(scores) - 1] * statistics.stdev(scores) / math.sqrt(len(scores))
        flow = "-"
        if "epe" in values[0]:
            epe, zero = (statistics.mean(v[k] for v in values) for k in ("epe", "zero_flow_epe"))
            flow = f"{epe:.2f} / {zero:.2f}"
        by_seed = ", ".join(f"{score:.3f}" for score in scores)
        rows.append(f"| {name} | {by_seed} | {statistics.mean(scores):.3f} ± {half:.3f} | {flow} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
