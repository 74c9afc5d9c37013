"""The first claim of ActionFlowNet on synthetic motion: learning flow helps to learn the action.

    python -m study.first_claim [--seeds 3] [--train-videos 512] [--steps 1500]

For each seed, three networks are trained on the same few clips for the same number of steps: flow
and action jointly, the action alone (same encoder, no decoder), and a 2D ResNet-18 on single
frames. Each is evaluated on held-out clips. Every run is a separate `python -m train` run, so an
interrupted study continues where it stopped. Writes `table.md` and `results.json` into the folder
of the study.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from study.verdict import interval

VARIANTS = {
    "joint flow + action": ["--objective.flow", "endpoint"],
    "action only": ["--objective.flow", "none"],
    "single frames (2D ResNet-18)": ["--objective.flow", "none", "--model.name", "resnet18"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m study.first_claim", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs per network, 2 or more")
    parser.add_argument("--train-videos", type=int, default=512, help="number of training clips")
    parser.add_argument("--steps", type=int, default=1500, help="training steps per run")
    parser.add_argument("--folder", type=Path, default=Path("runs/first-claim"))
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds: got {options.seeds}; an interval needs 2 or more")

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
    """Runs `python -m MODULE` with these arguments and prints the command first."""
    command = [sys.executable, "-m", module, *(word for part in arguments for word in part)]
    print("$", " ".join(["python", *command[1:]]), flush=True)
    subprocess.run(command, check=True)


def table_of(results: dict[str, list[dict]]) -> str:
    """Returns a Markdown table with one row per network.

    Args:
        results: by network, the values of `eval.json` for each seed; two seeds or more.
    """
    rows = [
        "| network | top-1 by seed | mean, 95 % interval | EPE / EPE of zero flow |",
        "|---|---|---|---|",
    ]
    for name, values in results.items():
        scores = [value["top1"] for value in values]
        found = interval(scores)
        flow = "-"
        if "epe" in values[0]:
            epe, zero = (statistics.mean(v[k] for v in values) for k in ("epe", "zero_flow_epe"))
            flow = f"{epe:.2f} / {zero:.2f}"
        by_seed = ", ".join(f"{score:.3f}" for score in scores)
        rows.append(
            f"| {name} | {by_seed} | {found.mean:.3f} ± {found.high - found.mean:.3f} | {flow} |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
