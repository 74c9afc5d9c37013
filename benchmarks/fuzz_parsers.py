"""Fuzzing of every parser of users' files.

    python -m benchmarks.fuzz_parsers --inputs 200000 --seed 0 --jobs 1

Small sound files are mutated: bits, runs of bytes, cuts, insertions, repeats, mixtures of two
files, extreme numbers in headers; in text tokens, lines, huge numbers, nan, odd Unicode, very long
lines; in JSON types, keys and depth. In half of the inputs checksums and lengths are set right, so
that what is behind them is reached.

Each input must end in an error that the parser documents or in a result that satisfies its
promises, within 5 s of processor time and 2 GB of memory. Anything else is a violation: its input
is saved under --output and the campaign goes on. Time and memory are those of an input alone,
without the imports.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.fuzzing.campaign import Tally, Worker, parsers, run_parser


def shares(names: list[str], inputs: int, least: int) -> dict[str, int]:
    """Divides the inputs among parsers, fewer for expensive ones, but at least `least` each."""
    costs = {name: parsers()[name].cost for name in names}
    whole = sum(1 / cost for cost in costs.values())
    return {name: max(least, round(inputs / costs[name] / whole)) for name in names}


def run_campaign(
    counts: dict[str, int], seed: int, jobs: int, saved: Path | None, report=lambda tally: None
) -> list[Tally]:
    """Runs all parsers; `report` is called with each tally as it is done."""
    chunks = [(name, part) for name, count in counts.items() for part in _parts(count, jobs)]
    groups = [chunks[i::jobs] for i in range(jobs)]

    def work(group) -> list[Tally]:
        with Worker() as worker:
            tallies = []
            for name, numbers in group:
                tallies.append(run_parser(name, seed, numbers, saved, worker))
                report(tallies[-1])
            return tallies

    with ThreadPoolExecutor(jobs) as pool:
        found = [tally for tallies in pool.map(work, groups) for tally in tallies]
    return [_joined([t for t in found if t.name == name]) for name in counts]


def _parts(count: int, jobs: int) -> list[range]:
    ends = [round(count * i / jobs) for i in range(jobs + 1)]
    return [range(start, end) for start, end in zip(ends, ends[1:], strict=False) if end > start]


def _joined(tallies: list[Tally]) -> Tally:
    first, *others = tallies
    for other in others:
        for name in ("inputs", "right", "errors", "violations"):
            setattr(first, name, getattr(first, name) + getattr(other, name))
        first.slowest_ms = max(first.slowest_ms, other.slowest_ms)
        first.highest_mb = max(first.highest_mb, other.highest_mb)
        first.found += [what for what in other.found if what not in first.found]
    return first


def table(tallies: list[Tally]) -> str:
    """The results as Markdown."""
    lines = [
        "| parser | functions | documented errors | inputs | right | error | violations "
        "| slowest, ms | memory, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for tally in tallies:
        parser = parsers()[tally.name]
        lines.append(
            f"| {tally.name} | {parser.reads} | {', '.join(parser.errors) or 'none'} "
            f"| {tally.inputs:,} | {tally.right:,} | {tally.errors:,} | {tally.violations:,} "
            f"| {tally.slowest_ms:,.0f} | {tally.highest_mb:,.0f} |"
        )
    sums = [
        sum(getattr(t, n) for t in tallies) for n in ("inputs", "right", "errors", "violations")
    ]
    worst = max(t.slowest_ms for t in tallies), max(t.highest_mb for t in tallies)
    counts = " | ".join(f"{value:,}" for value in sums)
    lines.append(f"| all | | | {counts} | {worst[0]:,.0f} | {worst[1]:,.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--inputs", type=int, default=200_000, help="over all parsers")
    options.add_argument("--least", type=int, default=2000, help="inputs of each parser")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int, default=1, help="worker processes")
    options.add_argument("--parser", nargs="+", default=[], help="beginnings of names; all")
    options.add_argument("--output", type=Path, default=Path("runs/fuzz"))
    given = options.parse_args()
    names = [n for n in parsers() if not given.parser or n.startswith(tuple(given.parser))]
    if not names:
        options.error(f"--parser: none of {', '.join(parsers())} begins with {given.parser}")
    given.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def report(tally: Tally) -> None:
        print(
            f"{time.monotonic() - started:6.0f} s  {tally.name}: {tally.inputs} inputs, "
            f"{tally.right} right, {tally.errors} errors, {tally.violations} violations, slowest "
            f"{tally.slowest_ms:.0f} ms, {tally.highest_mb:.0f} MB",
            *(f"\n    {what}" for what in tally.found[:20]),
            flush=True,
        )

    counts = shares(names, given.inputs, given.least)
    tallies = run_campaign(counts, given.seed, given.jobs, given.output, report)
    (given.output / "results.md").write_text(table(tallies))
    rows = [vars(tally) for tally in tallies]
    (given.output / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{table(tallies)}\n{time.monotonic() - started:.0f} s, seed {given.seed}")
    sys.exit(any(tally.violations for tally in tallies))


if __name__ == "__main__":
    main()
