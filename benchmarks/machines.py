"""Writes the tables of `docs/machines.md` from plans.

    python -m train RECIPE --stage all --plan h100 --plan-out plans/RECIPE-h100.json
    python -m benchmarks.machines plans/*.json

Stages of the same recipe and target may be in different files; the last file counts.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.plan.command import FORMAT
from train.plan.report import table
from train.recipes import RECIPES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "machines.md"
START, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def read_plans(paths: Sequence[Path]) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """Reads the entries of plan files, by target, then by recipe and stage.

    Raises:
        ValueError: a file is not a plan.
    """
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for path in paths:
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            plan = None
        if not isinstance(plan, dict) or plan.get("format") != FORMAT:
            raise ValueError(f"{path} is not a plan that `python -m train ... --plan` wrote.")
        for record in plan["plans"]:
            key = (record["recipe"], record["stage"])
            found.setdefault(plan["target"]["text"], {})[key] = record | {"jax": plan["jax"]}
    return found


def tables(plans: dict[str, dict[tuple[str, str], dict[str, Any]]]) -> str:
    """Returns a section per target with one table; stages in the order of the recipes."""
    order = [(recipe, stage) for recipe, stages in RECIPES.items() for stage in stages]
    parts = []
    for target, records in plans.items():
        keys = sorted(records, key=lambda key: order.index(key) if key in order else len(order))
        rows = [records[key] | {"stage": " ".join(filter(None, key))} for key in keys]
        versions = ", ".join(sorted({row["jax"] for row in rows}))
        missing = [f"{r} {s}".strip() for r, s in order if (r, s) not in records]
        parts.append(f"## {target}\n\nJAX {versions}.\n\n{table(rows)}\n")
        if missing:
            parts.append(f"Not compiled yet: {', '.join(missing)}.\n")
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.machines", description=__doc__.splitlines()[0]
    )
    parser.add_argument("plans", nargs="+", type=Path, help="files that --plan-out named")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to change; default: the docs")
    options = parser.parse_args(arguments)
    try:
        new = tables(read_plans(options.plans))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    before, _, rest = options.page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    options.page.write_text(before + START + new + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
