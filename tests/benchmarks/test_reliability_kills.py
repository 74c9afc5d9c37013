"""A few kills of the reliability benchmark, and differences that it must find."""

import json

import numpy as np
import pytest

from benchmarks import reliability_kills
from benchmarks.reliability_kills import campaign, compare_runs


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_runs_end_as_uninterrupted_ones(tmp_path, monkeypatch):
    shares = {"train": 0.5, "prepare": 0.25, "eval": 0.25}
    monkeypatch.setattr(reliability_kills, "SHARES", shares)
    assert campaign(tmp_path, kills=4, seed=1) == []
    right, found = (tmp_path / name / "run" for name in ("whole-train", "again"))
    assert compare_runs(right, found) == []
    rows = (found / "metrics.jsonl").read_text().splitlines()
    changed = json.dumps(json.loads(rows[3]) | {"loss": 1.5})
    (found / "metrics.jsonl").write_text("\n".join([*rows[:3], changed, *rows[4:], rows[5]]) + "\n")
    (found / "checkpoints" / "40").rename(found / "checkpoints" / "41")
    faults = compare_runs(right, found)
    assert [fault.split()[0] for fault in faults] == ["checkpoints", "rows", "rows"]


def test_each_kind_of_kill_is_drawn(tmp_path):
    for case, count in (("train", 5), ("prepare", 5), ("eval", 4)):
        rng = np.random.default_rng(0)
        drawn = [reliability_kills.draw(case, tmp_path, 10.0, rng) for _ in range(100)]
        assert len({what for what, _ in drawn}) == count
        assert {kill.group for _, kill in drawn} == {True, False}
        assert all(0 <= kill.after <= 10 for _, kill in drawn)
