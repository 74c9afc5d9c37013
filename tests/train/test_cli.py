import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.cli import parse, parse_chain
from train.flow_losses import FLOW_LOSSES
from train.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[2]
TOY = RECIPES["actionflownet"][""]["toy"]


def failure(arguments, capsys):
    """Returns the exit code and the output of a command line that ends the program."""
    with pytest.raises(SystemExit) as stop:
        parse(arguments)
    captured = capsys.readouterr()
    return stop.value.code, captured.out + captured.err


def test_recipe_defaults_to_the_published_settings():
    assert parse(["actionflownet"]) == RECIPES["actionflownet"][""]["paper"]


@pytest.mark.parametrize("scale", [["--scale", "toy"], ["--scale=toy"]])
def test_scale_chooses_the_settings(scale):
    assert parse(["actionflownet", *scale]) == TOY
    changed = parse(["actionflownet", "--steps", "7", *scale, "--seed", "3"])
    assert (changed.steps, changed.seed, changed.model) == (7, 3, TOY.model)


@pytest.mark.parametrize("data", [["--data", "video-folder"], ["--data=video-folder"]])
def test_data_is_short_for_data_source(data):
    config = parse(["actionflownet", "--scale", "toy", *data, "--data.root", "my videos"])
    assert (config.data.source, config.data.root) == ("video-folder", "my videos")
    assert config.data.num_frames == TOY.data.num_frames


def test_sets_any_field():
    config = parse(
        "actionflownet --data.size 48 64 --data.crop-scales 1.0 0.5 --optim.learning-rate 1e-5 "
        "--objective.no-action --no-resume --data.no-flip --model.dropout-rate 0 "
        "--run-dir x".split()
    )
    assert config.data.size == (48, 64) and config.data.crop_scales == (1.0, 0.5)
    assert config.optim.learning_rate == 1e-5 and not config.objective.action
    assert (config.resume, config.data.flip, config.model.dropout_rate) == (False, False, 0.0)
    assert config.run_dir == "x"


@pytest.mark.parametrize("option", [["--objective.kind", "flow"], ["--objective.kind=flow"]])
def test_rejects_the_old_objective_and_suggests_the_new_options(option, capsys):
    code, text = failure(["actionflownet", *option], capsys)
    assert code == 2 and len(text.splitlines()) == 1
    assert "write --objective.flow endpoint --objective.no-action" in text


def test_rejects_the_old_map_of_a_former_run_and_suggests_the_new_options(capsys):
    code, text = failure(["actionflownet", "--init.run-map", "->motionnet/"], capsys)
    assert code == 2 and len(text.splitlines()) == 1 and "--init.run-at NEW" in text


def test_help_lists_the_flow_losses(capsys):
    code, text = failure(["actionflownet", "--help"], capsys)
    assert code == 0 and all(f"  {name}: " in text for name in FLOW_LOSSES)


def test_chooses_a_stage():
    config = parse(["uf-tsn", "--stage", "warm-up", "--scale", "toy", "--seed", "3"])
    right = dataclasses.replace(RECIPES["uf-tsn"]["warm-up"]["toy"], seed=3)
    assert config == right and config.init.run == "runs/uf-tsn-flow-toy"
    assert parse(["actionflownet", "--stage=joint"]) == RECIPES["actionflownet"]["joint"]["paper"]


def test_all_stands_for_every_stage():
    chain = parse_chain(["actionflownet", "--stage", "all", "--scale", "toy", "--steps", "7"])
    assert [config.stage for config in chain] == [s for s in RECIPES["actionflownet"] if s]
    assert {config.steps for config in chain} == {7}
    assert parse_chain(["odabasi", "--scale=toy"]) == [RECIPES["odabasi"][""]["toy"]]


def test_rejects_unknown_stages(capsys):
    code, text = failure(["uf-tsn"], capsys)
    assert code == 2 and "add --stage all" in text and "  end-to-end\n" in text
    code, text = failure(["uf-tsn", "--stage", "warmup"], capsys)
    assert code == 2 and "got 'warmup'. Did you mean warm-up?" in text
    code, text = failure(["odabasi", "--stage", "flow"], capsys)
    assert code == 2 and "odabasi has no stages" in text
    code, text = failure(["uf-tsn", "--stage", "all", "--run-dir", "x"], capsys)
    assert code == 2 and "--run-dir is for a single run" in text


def test_parses_lists():
    config = parse(
        "actionflownet --optim.groups ^encoder/=0 .*=1 --optim.schedule steps "
        "--optim.boundaries 10 20 --init.run-at flownet --objective.term-weights epe=2".split()
    )
    assert config.optim.groups == ("^encoder/=0", ".*=1")
    assert (config.optim.schedule, config.optim.boundaries) == ("steps", (10, 20))
    assert config.init.run_at == "flownet"
    assert config.objective.term_weights == ("epe=2",)


def test_accepts_underscores_in_options():
    assert parse(["actionflownet", "--batch_size", "5"]).batch_size == 5


def test_rejects_an_unknown_recipe_and_suggests_a_near_one(capsys):
    code, text = failure(["actionflow"], capsys)
    assert code == 2
    assert "no recipe 'actionflow'" in text and "Did you mean actionflownet" in text
    code, text = failure(["zzz"], capsys)
    assert code == 2 and "Did you mean" not in text
    assert all(name in text for name in RECIPES)


def test_rejects_an_unknown_scale_and_lists_the_scales(capsys):
    code, text = failure(["actionflownet", "--scale", "tiny"], capsys)
    assert code == 2 and "--scale: got 'tiny', recipe actionflownet has paper, toy" in text
    code, text = failure(["actionflownet", "--scale"], capsys)
    assert code == 2 and "--scale needs a value" in text


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--optim.learnin-rate", "1"], ["learnin-rate", "--optim.learning-rate"]),
        (["--steps", "many"], ["--steps", "many"]),
        (["--data", "youtube"], ["--data.source", "youtube", "video-folder", "synthetic-motion"]),
        (["--data.size", "32"], ["--data.size"]),
        (["--steps"], ["--steps"]),
    ],
)
def test_rejects_wrong_fields_and_values(arguments, words, capsys):
    code, text = failure(["actionflownet", *arguments], capsys)
    assert code == 2
    assert "Traceback" not in text
    for word in words:
        assert word in text


def test_help_lists_every_field(capsys):
    code, text = failure(["actionflownet", "--scale", "toy", "--help"], capsys)
    assert code == 0
    for name in ("--steps", "--data.root", "--optim.learning-rate", "--model.width", "--no-resume"):
        assert name in text, name
    assert "Peak learning rate" in text and str(TOY.batch_size) in text


def test_help_without_a_recipe_lists_the_recipes(capsys):
    code, text = failure(["--help"], capsys)
    assert code == 0 and "usage: python -m train RECIPE" in text


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "train", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def test_the_command_without_arguments_lists_recipes():
    done = run()
    assert done.returncode == 2
    for name, stages in RECIPES.items():
        scales = " or ".join(next(iter(stages.values())))
        assert f"{name}  (--scale {scales})" in done.stdout
        assert all(f"      --stage {stage}\n" in done.stdout for stage in stages if stage)
    assert done.stderr == ""


def test_repeated_options_of_names_add_up():
    """tyro alone would use the last one and drop the others silently."""
    line = (
        "actionflownet --scale toy --init.rename a=b c=d --steps 3 --init.rename e=f "
        "--init.skip=x --init.skip y --init.run-skip ^p --model.options q=1 --model.options r=2"
    )
    config = parse(line.split())
    assert config.init.rename == ("a=b", "c=d", "e=f")
    assert config.init.skip == ("x", "y") and config.init.run_skip == ("^p",)
    assert config.model.options == ("q=1", "r=2") and config.steps == 3
    # Numbers: the last one replaces the others.
    assert parse("actionflownet --data.size 32 32 --data.size 64 64".split()).data.size == (64, 64)
