"""The stages of every recipe with narrow, shallow networks: trained, saved, resumed, evaluated."""

import dataclasses
import io
import math

import jax
import pytest
from flax.traverse_util import flatten_dict
from rich.console import Console

from afn_jax.data.sources import source_spec
from eval.action import ActionConfig, run_action
from tests.network_shapes import variable_shapes
from tests.train.narrow import narrowed
from train.config import default_run_dir
from train.graft import graft
from train.initialize import run_parts
from train.loop import train
from train.optim import decayed
from train.param_groups import group_factors
from train.recipes import RECIPES
from train.writers import read_metrics

EVERY_CHAIN = [
    (recipe, tuple(stages))
    for recipe, stages in RECIPES.items()
    # Others need files.
    if all("toy" in s and not source_spec(s["toy"].data.source).root for s in stages.values())
]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("shallow_resnets")
@pytest.mark.parametrize(
    "recipe, stages",
    [pytest.param(*chain, id=chain[0]) for chain in EVERY_CHAIN],
)
def test_stages_run_resume_and_evaluate(recipe, stages, tmp_path, monkeypatch):
    """Two steps each. The first stage is resumed; those with a network of their own, evaluated."""
    monkeypatch.chdir(tmp_path)
    known = set()
    for stage in stages:
        config = RECIPES[recipe][stage]["toy"]
        output = io.StringIO()
        for steps in (2,) if known else (1, 2):
            result = train(narrowed(config, steps), Console(file=output, width=200, soft_wrap=True))
            assert result.finished and int(result.state.step) == steps
        assert known or "resumed at step 1" in output.getvalue()
        if config.init.run:
            assert f"started from {config.init.run}, step 2: " in output.getvalue()
        assert str(result.run_dir) == default_run_dir(config)
        rows = [row for row in read_metrics(result.run_dir) if row["split"] == "train"]
        assert [row["step"] for row in rows] == [1, 2]
        for row in rows:
            assert all(math.isfinite(v) for v in row.values() if not isinstance(v, str)), row
        if (config.model, config.objective) not in known:
            check_evaluation(config.objective, result.run_dir)
        known.add((config.model, config.objective))
        jax.clear_caches()  # as between the stages of `python -m train --stage all`


def check_evaluation(objective, run_dir):
    options = ActionConfig(run=(str(run_dir),), examples=0)
    values = run_action(options, Console(file=io.StringIO()))[0]
    if objective.action:
        assert 0 <= values["top1"] <= 1
    if objective.flow != "none":
        assert math.isfinite(values["epe"]) and values["zero_flow_epe"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_stage_of_the_papers_finds_its_start(recipe):
    """At paper size, without computing: former and new networks fit under the rules of `init`."""
    by_folder = {default_run_dir(s["paper"]): s["paper"] for s in RECIPES[recipe].values()}
    for config in by_folder.values():
        if config.optim.no_decay:  # raises if an entry matches no path
            decayed(variable_shapes(config, 101)["params"], config.optim.no_decay)
        if config.init.run:
            assert config.init.run in by_folder, config.stage
            former = by_folder[config.init.run]
            classes = 101 if config.data.source == former.data.source else 51
            _, report = graft(
                variable_shapes(config, classes),
                variable_shapes(former, 101),
                **run_parts(config.init),
            )
            assert report.loaded
            # Only flow decoders and classifiers stay unused.
            left = {path.split("/")[0] for path in report.unused}
            assert left <= {"decoder", "classifier", "flow_stream", "rgb_stream"}, config.stage


@pytest.mark.parametrize("composition", ["flow", "flow-of-flow", "flow-conv-flow"])
def test_parameters_of_the_flow_layer_have_a_hundredth_of_the_learning_rate(composition):
    """Representation Flow, appendix A: at both scales, and no other parameters have it."""
    for scale in ("paper", "toy"):
        config = RECIPES["representation-flow"]["mini-kinetics"][scale]
        options = (*config.model.options, f"composition={composition}")
        model = dataclasses.replace(config.model, options=options)
        params = variable_shapes(dataclasses.replace(config, model=model), 5)["params"]
        factors = flatten_dict(group_factors(config.optim.groups, params), sep="/")
        slow = {path for path, factor in factors.items() if factor == 0.01}
        learned = {"tau", "lam", "theta", "divergence"}
        assert slow == {path for path in factors if path.split("/")[-1] in learned}
        assert len(slow) == len(learned) * (1 if composition == "flow" else 2)
        assert {factors[path] for path in factors if path not in slow} == {1.0}
