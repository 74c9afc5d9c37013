"""The settings of the study's arms, and a small study from end to end."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.scores import Scores
from study import __main__ as study_main
from study.data import StudyData, leave_one_group_out, open_data
from study.findings import FINDINGS, Claim, Finding, Fused, Stage
from study.results import Results
from study.runs import Place, configure, fused_arm, learning, run_arm, with_fields
from tests.network_shapes import variable_shapes
from tests.small_run import build_small_network, small_config
from train import config as config_lib
from train.graft import graft
from train.initialize import run_parts
from train.loop import train
from train.recipes import RECIPES
from train.step_metrics import Diverged


@pytest.mark.parametrize("scale", ["cpu", "gpu"])
@pytest.mark.parametrize("root", ["", "videos"])
def test_every_arm_is_a_chain_of_valid_runs_in_separate_folders(tmp_path, scale, root):
    data = StudyData("videos" if root else "synthetic-motion", root, "lists" if root else "")
    place = Place(tmp_path, data, 1, 3, scale)
    folders = {}
    for finding in FINDINGS.values():
        for claim in finding.claims:
            named = {q[0] for q in (claim.more, claim.less) if not isinstance(q, float)}
            assert named <= set(finding.arms)
        for arm in finding.arms.values():
            if isinstance(arm, Fused):
                assert {arm.spatial, arm.temporal} <= set(finding.arms)
                continue
            for count in range(1, len(arm) + 1):
                config = configure(arm[:count], place)
                if not root or finding.on_videos:
                    config_lib.check(config)
                assert config.seed == 3
                assert config.init.run == (
                    str(place.run_dir(arm[: count - 1])) if count > 1 else ""
                )
                same = folders.setdefault(config.run_dir, config)
                assert same == config  # runs with different settings never share a folder


# The same arms at another size take 15 seconds to trace.
@pytest.mark.slow
@pytest.mark.parametrize("scale", ["cpu", pytest.param("gpu", marks=pytest.mark.slow)])
def test_every_stage_can_load_the_stage_before_it(tmp_path, scale):
    """Shapes only, nothing is computed."""
    place = Place(tmp_path, StudyData("synthetic-motion"), 1, 0, scale)
    for finding in FINDINGS.values():
        for arm in finding.arms.values():
            for count in range(1, len(arm) + 1 if isinstance(arm, tuple) else 0):
                config = configure(arm[:count], place)
                variables = variable_shapes(config, 8)
                if count > 1:
                    former = variable_shapes(configure(arm[: count - 1], place), 8)
                    _, report = graft(variables, former, **run_parts(config.init))
                    assert report.loaded


@pytest.mark.parametrize("scale", ["cpu", "gpu"])
def test_compared_classifiers_have_equal_sizes(tmp_path, scale):
    place = Place(tmp_path, StudyData("synthetic-motion"), 1, 0, scale)
    learned, tvl1 = (configure(arm, place) for arm in FINDINGS["unsupervised"].arms.values())
    assert learned.data.num_frames == tvl1.data.num_frames == (3 if scale == "cpu" else 16)
    assert learned.model.width == tvl1.model.width == (16 if scale == "cpu" else 64)
    three_d = [configure(arm, place) for arm in FINDINGS["3d"].arms.values()]
    assert {c.steps for c in three_d} == {500 if scale == "cpu" else 5000}
    assert {c.data.num_frames for c in three_d} == {8 if scale == "cpu" else 16}


def test_with_fields_changes_only_the_named_fields():
    config = RECIPES["odabasi"][""]["toy"]
    changed = with_fields(config, {"data.size": (8, 8), "steps": 7})
    differ = {
        k for k, v in config_lib.flatten(changed).items() if config_lib.flatten(config)[k] != v
    }
    assert differ == {"data.size", "steps"}
    with pytest.raises(ValueError, match="DataConfig has no field 'sise'"):
        with_fields(config, {"data.sise": 1})


def test_learning_compares_the_last_tenth_with_the_first(tmp_path):
    rows = [
        {
            "step": i,
            "split": "train",
            "loss": 10.0 - i,
            "cross_entropy": 2.0 - 0.1 * i,
            "top1": i / 9,
        }
        for i in range(10)
    ]
    rows.append({"step": 9, "split": "test", "loss": 99.0})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = learning(tmp_path)
    assert found["train_top1"] == 1.0
    assert found["fall_cross_entropy"] == pytest.approx(1.1 / 2.0)
    assert found["fall_flow"] == pytest.approx((1.0 - 1.1) / (10.0 - 2.0))


def test_each_list_leaves_out_one_group(tmp_path):
    names = [f"{c}/v_{c}_g{g:02d}_c{n:02d}.avi" for c in "BA" for g in (4, 9) for n in (1, 2)]
    for name in names:
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    data = open_data("mine", str(tmp_path / "videos"), tmp_path)
    assert data.folds == (1, 2)
    lists = tmp_path / "mine" / "lists"
    assert (lists / "classInd.txt").read_text() == "1 A\n2 B\n"
    test = (lists / "testlist02.txt").read_text().splitlines()
    assert test == [
        f"{c}/v_{c}_g09_c{n:02d}.avi {k}" for k, c in ((1, "A"), (2, "B")) for n in (1, 2)
    ]
    train = (lists / "trainlist02.txt").read_text()
    assert "g04" in train and "g09" not in train
    with pytest.raises(ValueError, match="root: 'nowhere' is not a folder"):
        open_data("mine", "nowhere", tmp_path)
    with pytest.raises(ValueError, match="videos of 0 groups"):
        leave_one_group_out(lists, tmp_path / "x")


def test_scale_and_seeds_follow_the_backend():
    from study.__main__ import StudyConfig, for_backend

    def chosen(backend, **fields):
        found = for_backend(StudyConfig(**fields), backend)
        return found.scale, found.seeds

    assert chosen("cpu") == ("cpu", 3)
    assert chosen("gpu") == chosen("tpu") == chosen("cpu", scale="gpu") == ("gpu", 5)
    assert chosen("gpu", scale="cpu", seeds=1) == ("cpu", 1)


@pytest.fixture
def small_study(tmp_path, monkeypatch):
    """A study of two arms with the smallest network, and their fusion."""
    for module in ("train.program", "eval.predict"):
        monkeypatch.setattr(f"{module}.build_model", build_small_network)
    stages = {"": {"toy": dataclasses.replace(small_config(tmp_path), steps=2, run_dir="")}}
    monkeypatch.setitem(RECIPES, "small", stages)
    arms = {
        "joint": (Stage("small"),),
        "action": (Stage("small", changes=(("objective.flow", "none"),)),),
        "both": Fused("joint", "action"),
    }
    claims = (Claim(("joint", "top1"), ("action", "top1")),)
    findings = {"small": Finding("A paper", "Something.", claims, arms)}
    monkeypatch.setattr("study.findings.FINDINGS", findings)
    monkeypatch.setattr("study.report.FINDINGS", findings)
    return study_main.StudyConfig(seeds=1, scale="cpu", folder=str(tmp_path / "study"))


@pytest.mark.slow
def test_second_call_runs_nothing(small_study, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    results, data = Results(page), StudyData("synthetic-motion")
    soon = dataclasses.replace(small_study, minutes=0.0)
    assert study_main.study(soon, data, results) == study_main.TIME_IS_UP
    assert study_main.study(small_study, data, results) == study_main.DONE
    results.write_page()
    written = page.read_text()
    assert "not decided (synthetic-motion)" in written

    again = Results(page)
    monkeypatch.setattr("study.runs.run_arm", lambda *_: pytest.fail("run again"))
    assert study_main.study(small_study, data, again) == study_main.DONE
    again.write_page()
    assert page.read_text() == written


@pytest.mark.slow
def test_runs_with_different_settings_are_trained_again(small_study, tmp_path, monkeypatch):
    trained = []

    def counted(config, console):
        trained.append(config.run_dir)
        return train(config, console)

    monkeypatch.setattr("study.runs.train", counted)
    changes = (("objective.flow", "none"), ("init.run_skip", ("^flow/",)))
    stages = (Stage("small"), Stage("small", changes=changes))
    place = Place(tmp_path / "study", StudyData("synthetic-motion"), 1, 0, "cpu")
    numbers = run_arm(stages, place)
    assert len(trained) == 2
    assert run_arm(stages, place) == numbers and len(trained) == 2
    toy = RECIPES["small"][""]["toy"]
    optim = dataclasses.replace(toy.optim, learning_rate=0.03)
    monkeypatch.setitem(RECIPES["small"], "", {"toy": dataclasses.replace(toy, optim=optim)})
    assert run_arm(stages[:1], place) and len(trained) == 3
    # The run that started from it is trained again too, although its settings are the same.
    assert run_arm(stages, place) and len(trained) == 4


@pytest.mark.slow
def test_second_stage_restarts_if_the_first_is_trained_again(small_study, tmp_path, monkeypatch):
    """The second stage was interrupted; its checkpoint comes from the old first stage."""
    changes = (("objective.flow", "none"), ("init.run_skip", ("^flow/",)))
    stages = (Stage("small"), Stage("small", changes=changes))
    place = Place(tmp_path / "study", StudyData("synthetic-motion"), 1, 0, "cpu")
    run_arm(stages, place)
    half = place.run_dir(stages)
    (half / "done").unlink()
    (half / "numbers.json").unlink()
    shutil.rmtree(place.run_dir(stages[:1]))
    found = []

    def look(config, console):
        found.append((Path(config.run_dir) / "checkpoints").exists())
        return train(config, console)

    monkeypatch.setattr("study.runs.train", look)
    run_arm(stages, place)
    assert found == [False, False]


@pytest.mark.slow
def test_runs_a_changed_recipe_again(small_study, tmp_path, monkeypatch, capsys):
    page, data = tmp_path / "page.md", StudyData("synthetic-motion")
    study_main.study(small_study, data, Results(page))
    assert "run again" not in capsys.readouterr().out
    toy = RECIPES["small"][""]["toy"]
    quicker = dataclasses.replace(toy, data=dataclasses.replace(toy.data, num_threads=7))
    monkeypatch.setitem(RECIPES["small"], "", {"toy": quicker})
    monkeypatch.setattr("study.runs.run_arm", lambda *_: pytest.fail("run again"))
    study_main.study(small_study, data, Results(page))
    optim = dataclasses.replace(toy.optim, learning_rate=0.03)
    monkeypatch.setitem(RECIPES["small"], "", {"toy": dataclasses.replace(toy, optim=optim)})
    monkeypatch.setattr("study.runs.run_arm", lambda *_: {"top1": 0.125})
    monkeypatch.setattr("study.runs.fused_arm", lambda *_: {"top1": 0.25})
    study_main.study(small_study, data, Results(page))
    assert capsys.readouterr().out.count("its settings have changed since it was run") == 3
    again = Results(page)
    again.write_page()
    assert "| joint | 0.125 | 1 |" in page.read_text()
    study_main.study(small_study, data, again)
    assert "run again" not in capsys.readouterr().out


def test_page_does_not_mix_seeds_of_different_settings(small_study, tmp_path, monkeypatch):
    """Three seeds were run, the recipe changed, and then only the first seed was run again."""
    page, data = tmp_path / "page.md", StudyData("synthetic-motion")
    found = {0: 0.25, 1: 0.5, 2: 0.75}
    monkeypatch.setattr("study.runs.run_arm", lambda _, place: {"top1": found[place.seed]})
    monkeypatch.setattr("study.runs.fused_arm", lambda *_: {"top1": 0.5})
    three, one = (dataclasses.replace(small_study, seeds=seeds) for seeds in (3, 1))
    study_main.study(three, data, Results(page))
    Results(page).write_page()
    assert "| joint | 0.500 (" in page.read_text()
    toy = RECIPES["small"][""]["toy"]
    monkeypatch.setitem(RECIPES["small"], "", {"toy": dataclasses.replace(toy, batch_size=6)})
    found[0] = 0.125
    study_main.study(one, data, Results(page))
    Results(page).write_page()
    assert "| joint | 0.125 | 1 |" in page.read_text()


def test_reports_a_diverged_run_and_does_not_repeat_it(small_study, tmp_path, monkeypatch):
    def diverge(stages, place):
        raise Diverged("the loss is not finite")

    monkeypatch.setattr("study.runs.run_arm", diverge)
    page = tmp_path / "page.md"
    results = Results(page)
    assert study_main.study(small_study, StudyData("synthetic-motion"), results) == study_main.DONE
    results.write_page()
    assert "| joint | - | 0, 1 diverged |" in page.read_text()
    assert "**not run**" in page.read_text()
    monkeypatch.setattr("study.runs.run_arm", lambda *_: pytest.fail("run again"))
    study_main.study(small_study, StudyData("synthetic-motion"), Results(page))


def test_only_the_first_of_several_processes_decides_prints_and_writes(
    small_study, tmp_path, monkeypatch, capsys
):
    """This one is the second. The first has the run of seed 0 already."""
    seeds = []
    monkeypatch.setattr("study.runs.run_arm", lambda _, place: seeds.append(place.seed) or {})
    monkeypatch.setattr("study.runs.fused_arm", lambda *_: {})
    monkeypatch.setattr("jax.process_index", lambda: 1)
    answers = [(True, False)] * 3 + [(False, False)] * 3
    monkeypatch.setattr(
        "train.hosts.together._exchange", lambda value: [answers.pop(0), (False, True)]
    )
    two = dataclasses.replace(small_study, seeds=2)
    page = tmp_path / "page.md"
    assert study_main.study(two, StudyData("synthetic-motion"), Results(page)) == study_main.DONE
    assert seeds == [1, 1] and not answers
    assert capsys.readouterr().out == "" and not list(tmp_path.glob("page*"))


def test_fusion_trains_streams_whose_run_folders_are_missing(tmp_path, monkeypatch):
    """A clone of the repository has the numbers of all runs, but not their folders."""
    run = []
    monkeypatch.setattr("study.runs.run_arm", lambda stages, place: run.append(stages))
    names = ("a", "b")
    scores = Scores(
        logits=np.eye(2),
        probabilities=np.eye(2),
        labels=np.arange(2),
        names=names,
        class_names=names,
        views=np.ones(2, int),
        protocol="clips",
        run="run",
        step=1,
    )
    monkeypatch.setattr("study.runs.load_scores", lambda run_dir: scores)
    place = Place(tmp_path, StudyData("synthetic-motion"), 1, 0, "cpu")
    arms = {"one": (Stage("small"),), "other": (Stage("small", "late"),)}
    assert fused_arm(Fused("one", "other"), arms, place)["top1"] == 1
    assert run == [arms["one"], arms["other"]]
