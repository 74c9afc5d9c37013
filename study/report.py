"""Writes `docs/reproduction.md`: for each finding its numbers, a plot and a verdict."""

import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from study.findings import FINDINGS, Claim, Finding, Quantity
from study.verdict import Interval, Verdict, interval, judge, together

# (fold, seed) -> numbers of one arm
Numbers = dict[tuple[int, int], dict[str, float]]

DIVERGED = "diverged"  # the only number of a run that diverged
WIDTH, ROW, LEFT, RIGHT = 560, 26, 190, 20


@dataclasses.dataclass(frozen=True)
class Tried:
    """The results of a finding on one dataset and scale: the numbers of its arms, by name."""

    data: str
    scale: str
    arms: dict[str, Numbers]

    @property
    def where(self) -> str:
        """The dataset, with the scale unless it is cpu."""
        return self.data if self.scale == "cpu" else f"{self.data}, scale {self.scale}"

    def units(self, quantity: Quantity, shared: Sequence[tuple[int, int]]) -> np.ndarray:
        """Returns the independent values of a quantity, `[units]`.

        A unit is a fold, whose value is the mean over its seeds; with a single fold, a seed.

        Args:
            quantity: the number of an arm, or a constant.
            shared: the (fold, seed) pairs to use.
        """
        by_unit: dict[int, list[float]] = {}
        for fold, seed in shared:
            value = quantity
            if not isinstance(quantity, float):
                value = self.arms[quantity[0]][fold, seed][quantity[1]]
            by_unit.setdefault(fold if self.several_folds() else seed, []).append(value)
        return np.array([np.mean(values) for _, values in sorted(by_unit.items())])

    def several_folds(self) -> bool:
        return len({fold for numbers in self.arms.values() for fold, _ in numbers}) > 1

    def common(self, quantities: Sequence[Quantity]) -> list[tuple[int, int]]:
        """Returns the (fold, seed) pairs that have a number for each of these quantities."""
        there = [
            {place for place, numbers in self.arms[q[0]].items() if q[1] in numbers}
            for q in quantities
            if not isinstance(q, float)
        ]
        return sorted(set.intersection(*there)) if there else []

    def verdict(self, claim: Claim) -> tuple[Verdict, Interval | None]:
        """Judges a claim by paired differences. The interval is None if nothing was run."""
        shared = self.common([claim.more, claim.less])
        if not shared:
            return "not run", None
        difference = interval(self.units(claim.more, shared) - self.units(claim.less, shared))
        return judge(difference, claim.within, claim.no_worse), difference


def write_report(tried: dict[str, list[Tried]], remarks: dict[str, str], path: Path) -> None:
    """Writes the page, and one plot per finding and dataset.

    Args:
        tried: for each finding, its results on each dataset.
        remarks: for each finding, a comment on its results.
        path: the page; plots go into the folder of the same name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = path.with_suffix("")
    pictures.mkdir(exist_ok=True)
    summary, details = [], []
    for key, finding in FINDINGS.items():
        results = [t for t in tried.get(key, []) if any(t.arms.values())]
        verdicts = [together([t.verdict(claim)[0] for claim in finding.claims]) for t in results]
        cells = ", ".join(
            f"{verdict} ({t.where})" for verdict, t in zip(verdicts, results, strict=True)
        )
        summary.append(f"| [{key}](#{key}) | {finding.paper} | {cells or 'not run'} |")
        details.append(_section(key, finding, results, verdicts, remarks.get(key, ""), pictures))
    path.write_text(
        HEAD
        + "\n".join(["| finding | paper | verdict |", "|---|---|---|", *summary])
        + "\n\n"
        + "\n".join(details)
    )


HEAD = """# Do the papers' findings hold here?

`python -m study` writes this page. It tests each finding of the papers with a small experiment that
needs no large dataset: the recipes' toy scales (32 x 32, minutes on two CPU cores) on built-in
motion data, and some findings also on real videos. The arms of a comparison, including their seeds
and test clips, differ only in what the finding is about, unless its section says otherwise.

On videos, frames are 48 x 48, and training takes a third of the recipe's steps, except that
UF-TSN's flow and Hidden Two-Stream take all steps and `3d` takes 500 steps on every dataset. The
streams of Hidden Two-Stream train at 0.3 of the recipe's learning rate.

Recipes and arms were tuned on the same built-in data, mostly with seed 0, so not every replication
is independent of the tuning. The learning rate of Hidden Two-Stream's streams on videos was tuned
with the first sequence of UT-Interaction left out.

Verdicts are based on the 95 % confidence interval (Student's t) of the paired difference:

- **holds**: the interval is on the claimed side of zero. If the paper says "as good as", it is
  within 5 points of zero; if "no worse", it is not more than 5 points below zero. The 5 points are
  our choice.
- **does not hold**: the interval is entirely on the other side of zero, or outside that range.
- **not decided**: neither; more replications could decide.

Replications are seeds. On videos that are split by leaving out one group at a time, they are the
groups. The groups share most of their training videos, so these intervals are somewhat too narrow.
On arid6, all seeds share the same 43 test videos, so the intervals do not include the variation
between test videos.

The networks and clips here are much smaller than the papers'. If a finding fails here, that says
something about this scale only.

    python -m study --list                    # list the findings
    python -m study joint --seeds 3           # run one finding and write this page again
    python -m study --data ut-interaction --root VIDEOS     # on real videos
    python -m study --scale gpu --seeds 5     # the default on a GPU: 64 x 64, more steps

An interrupted study continues where it stopped. After the time that `--minutes` sets, it starts no
more runs and exits with code 3. The results are in `results.jsonl` beside the plots, and the
settings of the runs are in `settings.jsonl`: a run whose settings have changed since is run again.
To repeat all runs, write to a different place: `--page again.md --folder runs/again`.

"""


def _section(
    key: str,
    finding: Finding,
    results: list[Tried],
    verdicts: list[Verdict],
    remark: str,
    pictures: Path,
) -> str:
    lines = [f"## {key}", "", f"{finding.paper}. {finding.says}", ""]
    for result, verdict in zip(results, verdicts, strict=True):
        lines += [f"On {result.where}: **{verdict}**.", ""]
        measures = sorted(
            {q[1] for claim in finding.claims for q in (claim.more, claim.less) if q != 1.0}
            | {"top1"}
        )
        lines += [
            "| | " + " | ".join(measures) + " | runs |",
            "|---|" + "---|" * (1 + len(measures)),
        ]
        for arm in finding.arms:
            cells = []
            for measure in measures:
                shared = result.common([(arm, measure)])
                units = result.units((arm, measure), shared) if shared else ()
                cells.append(_text(interval(units)) if len(units) else "-")
            runs = result.arms.get(arm, {}).values()
            diverged = sum(DIVERGED in numbers for numbers in runs)
            count = f"{len(runs) - diverged}" + (f", {diverged} diverged" if diverged else "")
            lines.append(f"| {arm} | " + " | ".join(cells) + f" | {count} |")
        lines += ["", "| claim | difference | |", "|---|---|---|"]
        for claim in finding.claims:
            said, difference = result.verdict(claim)
            text = _text(difference, sign=True) if difference else "-"
            lines.append(f"| {_claim_text(claim)} | {text} | {said} |")
        at = "" if result.scale == "cpu" else f"-{result.scale}"
        name = f"{key}-{result.data}{at}.svg"
        (pictures / name).write_text(_picture(finding, result))
        lines += ["", f"![{key} on {result.where}]({pictures.name}/{name})", ""]
    if remark:
        lines += [remark, ""]
    if not results:
        lines += ["Not run.", ""]
    return "\n".join([*lines, f"    python -m study {key}", ""])


def _text(found: Interval, sign: bool = False) -> str:
    mean = f"{found.mean:+.3f}" if sign else f"{found.mean:.3f}"
    if not np.isfinite(found.low):
        return mean
    return f"{mean} ({found.low:.3f} to {found.high:.3f})"


def _claim_text(claim: Claim) -> str:
    more, less = (
        f"{q:g}" if isinstance(q, float) else " ".join(q) for q in (claim.more, claim.less)
    )
    if claim.no_worse:
        return f"{more} >= {less} - {claim.within:g}"
    return f"{more} = {less} +- {claim.within:g}" if claim.within else f"{more} > {less}"


def _picture(finding: Finding, result: Tried) -> str:
    """Plots the accuracy of each arm as SVG: a dot per replication, the mean and its interval."""
    names = [arm for arm in finding.arms if result.arms.get(arm)]
    values = {arm: result.units((arm, "top1"), result.common([(arm, "top1")])) for arm in names}
    height = ROW * len(names) + 62
    bottom = height - 50
    scale = (WIDTH - LEFT - RIGHT) / 1.0
    parts = []
    for tick in np.linspace(0, 1, 6):
        x = LEFT + tick * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="8" x2="{x:.1f}" y2="{bottom}" stroke="#d5d8dd"/>'
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{100 * tick:.0f}</text>'
        )
    known = {n["chance"] for arm in names for n in result.arms[arm].values() if "chance" in n}
    for chance in known:
        x = LEFT + chance * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="8" x2="{x:.1f}" y2="{bottom}" stroke="#b3402a" '
            'stroke-dasharray="4 3"/>'
        )
    for row, arm in enumerate(names):
        y = 8 + ROW * (row + 0.5)
        found = interval(values[arm]) if len(values[arm]) else None
        parts.append(
            f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{html.escape(arm)}</text>'
        )
        if found is None:
            continue
        if np.isfinite(found.low):
            low, high = (
                LEFT + float(np.clip(end, 0, 1)) * scale for end in (found.low, found.high)
            )
            parts.append(
                f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="#2563c9" '
                'stroke-width="8" stroke-opacity=".25"/>'
            )
        for value in values[arm]:
            x = LEFT + value * scale
            parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="3" fill="#2563c9" fill-opacity=".55"/>')
        x = LEFT + found.mean * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="{y - 8}" x2="{x:.1f}" y2="{y + 8}" stroke="#2563c9" '
            'stroke-width="2.5"/>'
        )
    middle = LEFT + scale / 2
    dot = "left-out group" if result.several_folds() else "seed"
    dashed = "; dashed: chance" if known else ""
    legend = f"one dot per {dot}; bar and band: mean and 95 % interval{dashed}"
    parts.append(
        f'<text x="{middle:.1f}" y="{bottom + 31}" text-anchor="middle">top-1 accuracy, %</text>'
        f'<text x="{WIDTH / 2}" y="{height - 4}" text-anchor="middle" font-size="11" '
        f'fill="#666">{legend}</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12" fill="#333">'
        '<rect width="100%" height="100%" fill="#fff"/>' + "".join(parts) + "</svg>\n"
    )
