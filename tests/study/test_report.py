"""The study's verdicts, compared with hand-computed values, and its page."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from study.findings import Claim, Finding
from study.report import Tried, write_report
from study.results import Results
from study.verdict import Interval, interval, judge, together


def test_interval_is_student_t():
    """2, 4, 6 have mean 4 and standard deviation 2; t is 4.3027 for 2 degrees of freedom."""
    found = interval([2.0, 4.0, 6.0])
    half = 4.302653 * 2 / np.sqrt(3)
    assert (found.mean, found.count) == (4.0, 3)
    assert (found.low, found.high) == (pytest.approx(4 - half), pytest.approx(4 + half))
    assert np.isnan(interval([1.0]).low)


@pytest.mark.parametrize(
    "low, high, within, expected",
    [
        (0.01, 0.2, 0, "holds"),
        (-0.01, 0.2, 0, "not decided"),
        (-0.2, -0.01, 0, "does not hold"),
        (-0.04, 0.05, 0.05, "holds"),
        (-0.04, 0.06, 0.05, "not decided"),
        (0.06, 0.2, 0.05, "does not hold"),
    ],
)
def test_verdict_follows_from_the_interval(low, high, within, expected):
    assert judge(Interval((low + high) / 2, low, high, 3), within) == expected
    assert judge(Interval(low, float("nan"), float("nan"), 1), within) == "not decided"
    assert judge(interval([low] * 3), within) == "not decided"
    alike = [20 / 43 - 18 / 43, 18 / 43 - 16 / 43, 15 / 43 - 13 / 43]  # equal except for rounding
    assert judge(interval(alike), within) == "not decided"


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (-0.04, 0.5, "holds"),
        (0.1, 0.5, "holds"),
        (-0.06, 0.5, "not decided"),
        (-0.3, -0.06, "does not hold"),
    ],
)
def test_no_worse_is_one_sided(low, high, expected):
    assert judge(Interval((low + high) / 2, low, high, 3), 0.05, no_worse=True) == expected


def test_finding_holds_only_if_all_claims_hold():
    assert together(["holds", "holds"]) == "holds"
    assert together(["holds", "not decided"]) == "not decided"
    assert together(["not decided", "does not hold", "holds"]) == "does not hold"
    assert together(["holds", "not run"]) == "not run"


def tried(values_a, values_b):
    arms = {
        name: {(1, seed): {"top1": value} for seed, value in enumerate(values)}
        for name, values in (("a", values_a), ("b", values_b))
    }
    return Tried("synthetic-motion", "cpu", arms)


def test_differences_are_paired_by_seed():
    """The seeds differ far more than the arms do, and the third seed of b is missing."""
    result = tried([0.1, 0.5, 0.9], [0.0, 0.41])
    verdict, difference = result.verdict(Claim(("a", "top1"), ("b", "top1")))
    assert difference.count == 2 and difference.mean == pytest.approx(0.095)
    assert verdict == "holds"
    assert result.verdict(Claim(("a", "top1"), ("b", "epe")))[0] == "not run"
    assert result.verdict(Claim(1.0, ("a", "top1")))[1].mean == pytest.approx(0.5)


def test_only_seeds_that_both_arms_have_count():
    """A study was interrupted in its second seed: group 1 has two seeds of a, but one of b."""
    arms = {
        "a": {(1, 0): {"top1": 0.5}, (1, 1): {"top1": 0.9}, (2, 0): {"top1": 0.6}},
        "b": {(1, 0): {"top1": 0.4}, (2, 0): {"top1": 0.4}},
    }
    _, difference = Tried("videos", "cpu", arms).verdict(Claim(("a", "top1"), ("b", "top1")))
    assert difference.mean == pytest.approx(0.15) and difference.count == 2


def test_replications_are_groups_if_there_are_several():
    arms = {"a": {(f, s): {"top1": f / 10 + s / 100} for f in (1, 2, 3) for s in (0, 2)}}
    result = Tried("videos", "cpu", arms)
    shared = result.common([("a", "top1")])
    np.testing.assert_allclose(result.units(("a", "top1"), shared), [0.11, 0.21, 0.31])


def test_page_has_every_finding(tmp_path, monkeypatch):
    small = {
        "x": Finding(
            "A paper", "A < B.", (Claim(("b", "top1"), ("a", "top1")),), {"a": (), "b": ()}
        ),
        "y": Finding("Another", "Not run.", (), {}),
    }
    monkeypatch.setattr("study.report.FINDINGS", small)
    page = tmp_path / "page.md"
    write_report({"x": [tried([0.1, 0.2, 0.3], [0.6, 0.7, 0.81])]}, {"x": "Because."}, page)
    text = page.read_text()
    assert "| [x](#x) | A paper | holds (synthetic-motion) |" in text
    assert "| [y](#y) | Another | not run |" in text
    assert "| b top1 > a top1 | +0.503" in text and "Because." in text
    picture = (tmp_path / "page" / "x-synthetic-motion.svg").read_text()
    assert picture.count("<circle") == 6
    assert (
        "one dot per seed;" in picture
        and "dashed" not in picture
        and "stroke-dasharray" not in picture
    )
    dashed = tried([0.1, 0.2, 0.3], [0.6, 0.7, 0.81])
    for numbers in dashed.arms.values():
        for of_run in numbers.values():
            of_run["chance"] = 0.5
    write_report({"x": [dashed]}, {}, page)
    picture = (tmp_path / "page" / "x-synthetic-motion.svg").read_text()
    assert picture.count("dasharray") == 1 and "dashed: chance" in picture


def test_scales_have_separate_plots_and_verdicts(tmp_path, monkeypatch):
    small = {"x": Finding("A paper", "A < B.", (Claim(("b", "top1"), ("a", "top1")),), {"a": ()})}
    monkeypatch.setattr("study.report.FINDINGS", small)
    page = tmp_path / "page.md"
    here = tried([0.1, 0.2], [0.5, 0.61])
    larger = dataclasses.replace(tried([0.3, 0.4], [0.1, 0.21]), scale="gpu")
    write_report({"x": [here, larger]}, {}, page)
    text = page.read_text()
    assert "holds (synthetic-motion), does not hold (synthetic-motion, scale gpu)" in text
    pictures = [tmp_path / "page" / f"x-synthetic-motion{at}.svg" for at in ("", "-gpu")]
    assert pictures[0].read_text() != pictures[1].read_text()
    assert all(f"(page/{picture.name})" in text for picture in pictures)


def test_stored_page_and_plots_are_what_the_stored_results_give(tmp_path):
    docs = Path(__file__).parents[2] / "docs"
    shutil.copytree(docs / "reproduction", tmp_path / "reproduction")
    for plot in (tmp_path / "reproduction").glob("*.svg"):
        plot.unlink()
    Results(tmp_path / "reproduction.md").write_page()
    hint = "run `python -m study --report-only`"
    stored = {path.name: path.read_text() for path in (docs / "reproduction").glob("*.svg")}
    written = {p.name: p.read_text() for p in (tmp_path / "reproduction").glob("*.svg")}
    assert written == stored, hint
    assert (tmp_path / "reproduction.md").read_text() == (docs / "reproduction.md").read_text(), (
        hint
    )
