"""Rounds of labeling with a network that is never trained."""

import dataclasses
from pathlib import Path

from benchmarks.labeling_rounds import ALL, ARMS, Plan, Rows, Work, _run_arm, describe

PLAN = Plan(first=2, step=3, rounds=2)


@dataclasses.dataclass
class _Pool:
    """Twelve videos of three classes."""

    class_names = ("a", "b", "c")
    label: int = 0

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return _Pool(index % 3)


class _Work(Work):
    """Suggests the first videos that are not labeled yet; the accuracy is their share."""

    def measure(self, labeled, suggest=False):
        self.trainings.append(sorted(labeled))
        rest = [i for i in range(12) if i not in labeled]
        return len(labeled) / 12, rest[: self.plan.step] if suggest else []


def _work(seed=0):
    work = _Work(PLAN, _Pool(), _Pool(), "", Path(), seed, 1)
    work.trainings = []
    return work


def test_both_arms_start_alike_and_label_as_many_videos(tmp_path):
    rows, work = Rows(tmp_path / "rows.jsonl"), _work()
    for arm in ARMS:
        _run_arm(work, rows, arm)
    assert len(work.trainings) == 5  # the first one is shared
    found = {(row["arm"], row["round"]): row["labeled"] for row in rows.rows}
    start = found["suggested", 0]
    assert [sum(i % 3 == label for i in start) for label in range(3)] == [2, 2, 2]
    for arm in ARMS:
        assert len(found[arm, 1]) == 9 and len(found[arm, 2]) == 12
        assert set(start) < set(found[arm, 1]) < set(found[arm, 2])
    assert found["suggested", 1] == sorted({*start, *[i for i in range(12) if i not in start][:3]})


def test_finished_trainings_are_not_repeated(tmp_path):
    path = tmp_path / "rows.jsonl"
    first, again = _work(), _work()
    for arm in ARMS:
        _run_arm(first, Rows(path), arm)
    content = path.read_text()
    path.write_text("".join(content.splitlines(keepends=True)[:3]))
    for arm in ARMS:
        _run_arm(again, Rows(path), arm)
    assert len(again.trainings) == 2 and path.read_text() == content


def test_table_has_means_and_paired_differences():
    rows = [
        {"seed": seed, "arm": arm, "round": number, "top1": top1, "labeled": [0] * count}
        for seed, arm, number, top1, count in [
            (0, "suggested", 0, 0.2, 6),
            (1, "suggested", 0, 0.4, 6),
            (0, "suggested", 1, 0.5, 9),
            (1, "suggested", 1, 0.7, 9),
            (0, "random", 1, 0.6, 9),
            (1, "random", 1, 0.5, 9),
            (0, ALL, 0, 1.0, 12),
            (1, ALL, 0, 0.8, 12),
        ]
    ]
    table = describe(rows, PLAN).splitlines()
    assert table[2].startswith("| 6, the same for both | 0.300 (0.20, 0.40) |")
    assert table[3] == ("| 9 | 0.600 (0.50, 0.70) | 0.550 (0.60, 0.50) | +0.050 (-0.10, +0.20) |")
    assert table[4].startswith("| all 12 | 0.900 (1.00, 0.80) |") and len(table) == 5
