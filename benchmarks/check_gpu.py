"""Everything that this project measures on a GPU, in one command: `make check-gpu`.

Runs each step as a process of its own, with its output in a file, and goes on if one fails: the
numbers of the operators against the CPU's, the speed of operators, networks and inference, and one
recipe's toy scale to its end. `docs/benchmarks.md` gets the sections of this card. Please send
`docs/benchmarks.md` and the folder of the output.
"""

import argparse
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.extend.backend

from benchmarks.this_machine import describe_machine, one_line


@dataclasses.dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: of its output file.
        arguments: of Python.
        minutes: it is ended after that time.
    """

    name: str
    arguments: tuple[str, ...]
    minutes: float


def steps(folder: Path) -> list[Step]:
    """Returns the steps, the most important ones first."""
    run = str(folder / "toy")
    module = "-m"
    return [
        Step(
            "numbers",
            (module, "benchmarks.device_numbers", "--json", str(folder / "numbers.json")),
            10,
        ),
        Step("motion-ops", ("benchmarks/motion_ops.py",), 30),
        Step("networks", ("benchmarks/networks.py",), 40),
        Step(
            "inference",
            (
                *(module, "benchmarks.inference", "--write-docs"),
                *("--json", str(folder / "inference.json")),
            ),
            40,
        ),
        Step(
            "train",
            (module, "train", "actionflownet", "--scale", "toy", "--run-dir", run),
            30,
        ),
        Step("evaluate", (module, "eval", "action", "--run", run), 10),
        Step(
            "throughput",
            (module, "benchmarks.throughput", "actionflownet", "--scale", "paper")
            + ("--data", "synthetic-motion", "--data.teacher", "none"),
            20,
        ),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 if a step failed, 2 without an accelerator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/check-gpu"), help="folder")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="these steps, by name")
    options = parser.parse_args(arguments)
    chosen = steps(options.out)
    names = [step.name for step in chosen]
    for name in options.only or ():
        if name not in names:
            parser.error(f"--only: got {name!r}; the steps are {', '.join(names)}")
    if jax.default_backend() == "cpu":
        print(
            "error: JAX finds no GPU or TPU on this machine. Install its wheels (make "
            "ACCELERATOR=cuda12 train, or pip install 'jax[cuda12]') and see that nvidia-smi lists "
            "the card.",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    print(one_line(describe_machine()))
    _free_the_device()
    failed = [
        step.name
        for step in chosen
        if step.name in (options.only or names) and not run(step, options.out)
    ]
    print(f"output in {options.out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return int(bool(failed))


def run(step: Step, folder: Path) -> bool:
    """Runs a step; prints its last line. Returns whether it succeeded."""
    log, started = folder / f"{step.name}.txt", time.monotonic()
    with open(log, "w", encoding="utf-8") as output:
        try:
            code = subprocess.run(
                [sys.executable, *step.arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=60 * step.minutes,
                check=False,
            ).returncode
            how = "ok" if not code else f"failed with exit code {code}"
        except subprocess.TimeoutExpired:
            code, how = 1, f"ended after {step.minutes:g} minutes"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    print(f"{step.name}: {how}, {time.monotonic() - started:.0f} s: {lines[-1]}", flush=True)
    return code == 0


def _free_the_device() -> None:
    """Gives back the memory that JAX took when it looked for the device; the steps need it."""
    jax.clear_caches()
    jax.extend.backend.clear_backends()


if __name__ == "__main__":
    sys.exit(main())
