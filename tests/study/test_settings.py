"""Stored rows are recognized by the settings that they were trained with."""

import dataclasses
import json
from pathlib import Path

import pytest

from study.data import StudyData
from study.findings import FINDINGS
from study.results import Results
from study.runs import Place
from study.settings import fingerprint, settings_of, today
from train.recipes import RECIPES

PAGE = Path(__file__).parents[2] / "docs" / "reproduction.md"
STORED = PAGE.with_suffix("")
DATA = {
    "synthetic-motion": StudyData("synthetic-motion"),
    "arid6": StudyData("arid6", "videos", dark=True),
    "ut-interaction": StudyData("ut-interaction", "videos", "lists", tuple(range(1, 17))),
}


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (STORED / name).read_text().splitlines()]


def recognized() -> dict[tuple, bool]:
    """For each stored run, whether it has the settings that its arm has today."""
    results, found = Results(PAGE), {}
    for row in lines("results.jsonl"):
        finding, arm, data, scale, fold, seed = row["run"]
        place = Place(Path("runs"), DATA[data], fold, seed, scale)
        arms = FINDINGS[finding].arms
        settings = settings_of(arms[arm], arms, place)
        has = results.has(finding, arm, place, settings)
        assert results.was_other(finding, arm, place, settings) != has
        found[tuple(row["run"])] = has
    return found


def test_recognizes_every_stored_row():
    found = recognized()
    assert len(found) == len(lines("results.jsonl")) == 366
    assert [run for run, has in found.items() if not has] == []


def test_stored_settings_have_the_fingerprints_of_the_rows():
    stored = {line.pop("settings"): line for line in lines("settings.jsonl")}
    assert {fingerprint(line) for line in stored.values()} == set(stored)
    assert all(fingerprint(line) == name for name, line in stored.items())
    assert {row["settings"] for row in lines("results.jsonl")} == set(stored)


def test_rejects_stored_rows_of_a_recipe_that_has_changed(monkeypatch):
    toy = RECIPES["hidden-two-stream"]["temporal-c"]["toy"]
    optim = dataclasses.replace(toy.optim, weight_decay=0.5)
    changed = {"toy": dataclasses.replace(toy, optim=optim)}
    monkeypatch.setitem(RECIPES["hidden-two-stream"], "temporal-c", changed)
    rejected = {run[:2] for run, has in recognized().items() if not has}
    assert rejected == {
        ("fine-tuning", "(c)"),
        ("two-stream", "temporal"),
        ("two-stream", "fused"),  # one of its streams has changed
    }


def test_reads_settings_with_their_former_names():
    stored = {
        "objective.kind": "motionnet-flow",
        "init.run_map": ["->motionnet/"],
        "init.run_skip": ["^temporal/"],
        "data.size": [48, 48],
        "steps": 7,
    }
    current = {
        "objective.flow": "motionnet",
        "objective.action": False,
        "init.run_at": "motionnet",
        "data.size": (48, 48),
        "steps": 7,
    }
    assert today({"stages": [stored]}) == {"stages": [current]}
    fused = {"streams": [[stored], [stored]], "weights": [1.0, 1.5]}
    assert today(fused) == {"streams": [[current], [current]], "weights": [1.0, 1.5]}
    with pytest.raises(ValueError, match="unknown field 'stepps'"):
        today({"stages": [{"stepps": 7}]})


def test_runs_again_what_has_unknown_settings_but_keeps_its_numbers(tmp_path):
    page, place = tmp_path / "page.md", Place(tmp_path, DATA["arid6"], 1, 0, "cpu")
    arms = FINDINGS["joint"].arms
    settings = settings_of(arms["joint"], arms, place)
    Results(page).add("joint", "joint", place, settings, {"top1": 0.25})
    assert Results(page).has("joint", "joint", place, settings)
    stored = tmp_path / "page" / "settings.jsonl"
    line = stored.read_text()
    for unreadable in (line.replace('"recipe"', '"receipt"'), line[:-9], ""):
        stored.write_text(unreadable)
        results = Results(page)
        assert not results.has("joint", "joint", place, settings)
        assert results.was_other("joint", "joint", place, settings)
        results.write_page()
        assert "| joint | 0.250 | 1 |" in page.read_text()
    stored.write_text(line[:-9])
    Results(page).add("joint", "joint", place, settings, {"top1": 0.5})
    assert Results(page).has("joint", "joint", place, settings)
