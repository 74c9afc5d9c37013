"""Makes a plan: compiles each stage for the target, prints what was found, writes plan.json."""

import json
import shlex
import sys
from pathlib import Path

import jax

from afn_jax.atomic import write_atomically
from train.config import TrainConfig
from train.plan.options import PlanOptions
from train.plan.report import assumptions, describe, table
from train.plan.stage import Record, failed, now, plan_stage, step_key
from train.plan.target import missing_wheels

FORMAT = 1


def make_plan(configs: list[TrainConfig], options: PlanOptions) -> int:
    """Plans one or several stages. Returns the exit code: 0 if all compile and fit, otherwise 1.

    The file is written after each stage. One stage whose settings are wrong does not keep the
    others from being planned.

    Raises:
        ValueError: the wheels of the target are missing, or the settings of the only stage are
            wrong.
    """
    if message := missing_wheels(options.target):
        raise ValueError(message)
    out = Path(options.out)
    if not out.parent.is_dir():
        raise ValueError(f"--plan-out: got {options.out!r}, but there is no folder {out.parent}.")
    records: list[Record] = []
    by_step: dict[str, Record] = {}
    for config in configs:
        try:
            key = step_key(config, options)
            if key not in by_step:
                by_step[key] = plan_stage(config, options, _tell)
            records.append(by_step[key] | {"recipe": config.recipe, "stage": config.stage})
        except ValueError as error:
            if len(configs) == 1:
                raise
            records.append(failed(config, str(error)))
        print(describe(records[-1]), end="\n\n", flush=True)
        _write(out, options, records)
        jax.clear_caches()
    if len(records) > 1:
        print(table(records), end="\n\n")
    print(assumptions())
    print(f"written to {out}; how many cores then have to read, on this machine:")
    print(f"  python -m benchmarks.data_loading VIDEOS {shlex.quote(options.out)}")
    return 0 if all(record["compiles"] and record.get("fits") for record in records) else 1


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(out: Path, options: PlanOptions, records: list[Record]) -> None:
    target = options.target
    plan = {
        "format": FORMAT,
        "made": now(),
        "command": "python -m train " + shlex.join(sys.argv[1:]),
        "jax": jax.__version__,
        "target": {"text": target.text, "hosts": target.hosts, "per_host": target.per_host},
        "plans": records,
    }
    write_atomically(out, json.dumps(plan, indent=1) + "\n")
