"""The number of cores that reading needs: rows, stages that read alike, files that are no plans."""

import dataclasses
import json

import pytest

from benchmarks import data_loading
from benchmarks.data_loading import Seconds, main, read_plans, reading_of
from benchmarks.mixed_videos import make_videos
from train.recipes import RECIPES


def plan(recipe, stage, clips_per_second=None):
    record = {"recipe": recipe, "stage": stage, "scale": "paper"}
    estimate = {"estimate": {"clips_per_second": clips_per_second}} if clips_per_second else {}
    return record | estimate


def test_cores_are_the_clips_needed_times_the_time_of_one(monkeypatch, capsys, tmp_path):
    calls = []

    def measure(reading, *_):
        calls.append(reading)
        return Seconds(files=0.05, shards=0.01)

    monkeypatch.setattr(data_loading, "measure", measure)
    stages = ("joint", "joint-hmdb51", "fine-tune")
    plans = [plan("actionflownet", stage, 200.0) for stage in stages]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"plans": [*plans, plan("odabasi", "")]}))
    assert main(["videos", str(path)]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows[0] == "| actionflownet | joint | 200 | 50.0 | 10.0 | 10.0 | 2.0 |"
    assert rows[3] == "| odabasi | - | - | 50.0 | - | 10.0 | - |"
    # joint-hmdb51 reads like joint; fine-tune reads no flow.
    assert [(r.data.teacher, bool(r.flow_starts)) for r in calls[:2]] == [
        ("dis", True),
        ("none", False),
    ]
    assert len(calls) == 3


def test_two_frame_networks_read_no_third_frame():
    assert reading_of(RECIPES["actionflownet"]["flow-2f"]["paper"]).flow_starts == (0,)


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"plans": [{}]}', '{"plans": [{"recipe": "x", "stage": "", "scale": ""}]}'],
)
def test_names_a_file_that_is_no_plan(tmp_path, capsys, content):
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"plan.json is not a plan of python -m train"):
        read_plans(path)
    assert main(["videos", str(path)]) == 2
    assert "plan.json is not a plan" in capsys.readouterr().err


@pytest.mark.slow
def test_measures_files_and_shards(tmp_path):
    make_videos(tmp_path / "videos", 8)
    config = RECIPES["actionflownet"]["flow-2f"]["paper"]
    data = dataclasses.replace(config.data, size=(16, 16), short_side=24)
    reading = reading_of(dataclasses.replace(config, data=data))
    seconds = data_loading.measure(reading, str(tmp_path / "videos"), tmp_path / "shards", 2)
    assert 0 < seconds.shards < 1 and 0 < seconds.files < 1
    assert (tmp_path / "shards" / "24-dis-1" / "dataset.json").exists()
    config = RECIPES["actionflownet"]["flow-2f-chairs"]["paper"]
    assert "pairs" in data_loading.measure(reading_of(config), "", tmp_path, 1)
