"""Starting from a former run."""

import dataclasses
import shutil

import chex
import jax
import numpy as np
import pytest
from rich.console import Console

from tests.small_run import build_small_network, small_config
from train.config import InitConfig, ObjectiveConfig
from train.initialize import command_of, from_run
from train.loop import train
from train.optim import create_optimizer
from train.recipes import RECIPES
from train.state import create_state, evaluation_variables


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    """A run that learned flow only, with a moving average, and stopped one step early."""
    folder = tmp_path_factory.mktemp("former") / "run"
    config = small_config(folder, steps=3, objective=ObjectiveConfig(action=False))
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, ema_decay=0.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.program.build_model", build_small_network)
        result = train(config, Console(quiet=True))
    # As if one more step had been requested.
    (folder / "config.json").write_text(
        (folder / "config.json").read_text().replace('"steps": 3', '"steps": 4')
    )
    return folder, jax.device_get(result.state)


def fresh_state(config):
    model = build_small_network(config, 8, axis_name=None)
    shape = (1, config.data.num_frames, *config.data.size, 3)
    return create_state(model, create_optimizer(config.optim, 1), shape, seed=9)


def test_a_run_starts_from_another(former, tmp_path):
    folder, saved = former
    config = small_config(tmp_path)
    state, report = from_run(
        fresh_state(config), InitConfig(run=str(folder), run_skip=("^classifier/",))
    )
    average = evaluation_variables(saved)["params"]
    assert np.abs(average["flow"]["kernel"] - saved.params["flow"]["kernel"]).max() > 0
    for name in ("Conv_0", "norm", "flow"):
        chex.assert_trees_all_equal(state.params[name], average[name])
    chex.assert_trees_all_equal(state.batch_stats, saved.batch_stats)
    assert int(state.step) == 0
    assert f"{folder}, step 3: " in report and "warning: it ended at step 3 of 4" in report
    assert "fresh here: classifier (bias, kernel)" in report


def test_rejects_a_run_that_learned_the_labels_of_another_split(former, tmp_path):
    """Its training videos are among the test videos of the new run."""
    config = small_config(tmp_path)
    classifier = tmp_path / "classifier"
    shutil.copytree(former[0], classifier)
    text = (classifier / "config.json").read_text()
    (classifier / "config.json").write_text(text.replace('"action": false', '"action": true'))
    other = dataclasses.replace(config.data, list_number=2)
    elsewhere = dataclasses.replace(other, source="hmdb51")  # such as HMDB51 after UCF101

    def start(folder, data):
        init = InitConfig(run=str(folder), run_skip=("^classifier/",))
        return from_run(fresh_state(config), init, data)

    with pytest.raises(ValueError, match="learned the actions of split 1 of synthetic-motion"):
        start(classifier, other)
    for folder, data in (
        (classifier, config.data),
        (classifier, elsewhere),
        (former[0], other),  # it learned flow only and saw no labels
    ):
        start(folder, data)


def test_the_average_starts_at_the_parameters(former, tmp_path):
    config = small_config(tmp_path)
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, ema_decay=0.9))
    init = InitConfig(run=str(former[0]), run_skip=("^classifier/",))
    state, _ = from_run(fresh_state(config), init)
    averaged = evaluation_variables(state)["params"]
    chex.assert_trees_all_equal(averaged, state.params)


def test_the_loop_starts_from_a_former_run_but_resumes_without(
    former, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("train.program.build_model", build_small_network)
    init = InitConfig(run=str(former[0]), run_skip=("^classifier/",))
    optim = dataclasses.replace(
        small_config(tmp_path).optim, groups=("^(Conv_0|norm|flow)/=0", ".*=1")
    )
    config = small_config(tmp_path / "run", steps=1, init=init, optim=optim)
    result = train(config)
    text = capsys.readouterr().out
    assert f"started from {former[0]}, step 3" in text
    assert "^(Conv_0|norm|flow)/=0  6 arrays" in text
    # Frozen parameters and statistics are still those of the former run.
    average = evaluation_variables(former[1])["params"]
    chex.assert_trees_all_equal(result.state.params["flow"], average["flow"])
    chex.assert_trees_all_equal(jax.device_get(result.state).batch_stats, former[1].batch_stats)
    gone = dataclasses.replace(
        config, steps=2, init=dataclasses.replace(init, run=str(tmp_path / "gone"))
    )
    assert int(train(gone).state.step) == 2


def test_a_missing_former_stage_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy = RECIPES["uf-tsn"]["warm-up"]["toy"]
    with pytest.raises(ValueError, match="uf-tsn-flow-toy holds no checkpoint") as error:
        from_run(None, toy.init)
    assert "Run the earlier stage first:\n  python -m train uf-tsn --stage flow --scale toy" in str(
        error.value
    )
    with pytest.raises(ValueError, match="--init.run DIR"):
        from_run(None, InitConfig(run="elsewhere"))
    assert command_of(RECIPES["odabasi"][""]["paper"]) == "python -m train odabasi"
