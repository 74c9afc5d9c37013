"""Plans of small steps on the devices of this machine, which is what is always there."""

import dataclasses
import importlib.util
import json

import jax
import pytest

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import train_iterator
from afn_jax.data.sources import create_source
from afn_jax.types import Batch
from tests.class_folders import write_classes
from tests.small_run import small_config
from train import loop
from train.config import AugmentConfig, ObjectiveConfig, TrainConfig
from train.parallel import split_batch
from train.plan import compile as plan_compile
from train.plan.arguments import NUM_CLASSES, batch_shape, count_classes, with_batch
from train.plan.compile import Compiled, compile_step
from train.plan.options import PlanOptions, take_plan_options
from train.plan.stage import _search, plan_stage, step_key
from train.plan.target import parse_target
from train.program import build_program
from train.recipes import RECIPES

PLAIN = {"augment": AugmentConfig(), "objective": ObjectiveConfig(flow="none")}
HERE = PlanOptions(parse_target("here"), "plan.json", 0, search=False)


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"teacher": "none"},
        {"source": "synthetic-untrimmed", "teacher": "none"},
        {"source": "video-folder", "teacher": "dis"},
        {"source": "video-folder", "teacher": "none"},
        {"source": "video-folder", "teacher": "device-tvl1"},
        {"sampling": "segments", "num_segments": 2},
    ],
    ids=str,
)
def test_batch_has_the_shapes_that_training_reads(data, tmp_path):
    config = small_config(tmp_path)
    if data.get("source") == "video-folder":
        data = {**data, "root": str(write_classes(tmp_path, "a", "b")), "index_cache": "none"}
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, **data))
    source = create_source(config.data, "train", 0)
    iterator = train_iterator(ClipReader(source, config.data), batch_size=4, seed=0)
    try:
        read = split_batch(Batch.from_arrays(next(iterator)), 2)
    finally:
        iterator.close()
    assert shapes(batch_shape(config, 2)) == shapes(read)
    if data.get("source", config.data.source) in NUM_CLASSES:
        assert count_classes(config.data)[0] == len(source.class_names)


def test_counts_classes():
    data = RECIPES["uf-tsn"]["flow"]["paper"].data
    assert count_classes(data) == (101, "the number of ucf101")
    assert count_classes(data, 7)[0] == 7
    assert count_classes(dataclasses.replace(data, classes=("a", "b")))[0] == 2
    number, why = count_classes(dataclasses.replace(data, source="video-folder"))
    assert number > 100 and "--plan-classes" in why


def test_training_and_plan_build_the_same_step():
    assert loop.build_program is build_program is plan_compile.build_program


def test_stages_with_the_same_step_are_compiled_once():
    stages = {name: scales["paper"] for name, scales in RECIPES["actionflownet"].items()}
    key = {name: step_key(config, HERE) for name, config in stages.items()}
    assert key["scratch-2f"] == key["fine-tune-2f"] and key["joint-2f"] == key["joint-2f-chairs"]
    others = (
        "scratch-2f",
        "scratch-2f-hmdb51",
        "joint",
        "flow",
        "joint-2f",
        "stacked-2f",
        "flow-2f",
    )
    assert len({key[name] for name in others}) == len(others)
    larger = dataclasses.replace(stages["joint"], batch_size=32)
    assert step_key(larger, HERE) != key["joint"]


def test_plan_here_has_the_memory_of_the_compiled_step(small_network, config):
    devices = jax.local_devices()[:2]
    config = dataclasses.replace(config, max_devices=2, **PLAIN)
    record = plan_stage(config, HERE, lambda line: None)
    program = build_program(config, 8, devices)
    state = program.create_state()
    lowered = program.train_step.lower(state, batch_shape(config, 2))
    analysis = lowered.compile().memory_analysis()
    memory = record["memory"]
    assert record["compiles"] and record["fits"] and record["devices"] == 2
    assert memory["temporaries"] == analysis.temp_size_in_bytes
    size = sum(leaf.nbytes for leaf in jax.tree.leaves((state.params, state.batch_stats)))
    assert memory["parameters"] == size
    assert memory["optimizer"] == sum(leaf.nbytes for leaf in jax.tree.leaves(state.opt_state))
    parts = sum(value for name, value in memory.items() if name != "total")
    assert memory["total"] == parts == record["needed_bytes"]
    assert record["operations"]["products"]["float32"] > 0 and record["traffic"]["memory"] > 0
    assert record["traffic"]["exchanged"] > size / 2  # the gradients


def test_search_goes_through_batches_and_parts(config):
    def compiled(batch_size, parts):
        part = batch_size // 2 // parts
        return Compiled("", 0.0, None, refused=100.0 + 10 * part)

    def search(batch_size, parts, usable):
        asked = with_batch(config, batch_size, parts)
        needs = compiled(batch_size, parts).needs
        found = _search(asked, 2, needs, usable, compiled)
        return found["largest_batch"], found["largest_batch_is_exact"], found["fewest_parts"]

    assert search(16, 1, 180) == (16, True, 1)
    assert search(16, 1, 150) == (10, True, 2)  # 5 examples at a time; 4 divide a share of 8
    assert search(16, 4, 180) == (64, True, 1)
    assert search(16, 1, 105) == (None, True, None)
    assert search(16, 1, 1e6) == (16 * 32, False, 1)


def test_more_parts_need_less_memory(small_network, config):
    config = dataclasses.replace(config, batch_size=16, **PLAIN)
    whole = compile_step(config, 8, jax.local_devices()[:1])
    optim = dataclasses.replace(config.optim, accumulate=8)
    parts = compile_step(dataclasses.replace(config, optim=optim), 8, jax.local_devices()[:1])
    assert whole.needs is not None and parts.needs is not None
    assert parts.memory.temporaries < whole.memory.temporaries


def test_command_writes_the_plan_and_touches_no_run_folder(
    small_network, run_main, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_main(
        *"train actionflownet --scale toy --plan here --no-plan-search --max-devices 1".split()
    )
    assert code == 0, errors
    assert "compiles" in output and "per device of" in output and "An estimate" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["target"]["text"] == "here" and plan["format"] == 1
    (record,) = plan["plans"]
    assert record["recipe"] == "actionflownet" and record["num_classes"] == 8 and record["compiles"]


def test_every_stage_has_a_row_and_a_wrong_one_does_not_stop_the_others(
    small_network, run_main, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    stages = [stage for stage in RECIPES["uf-tsn"] if stage]
    monkeypatch.setattr("train.plan.command.plan_stage", _only_flow_fits)
    code, output, _ = run_main(
        "train", *"uf-tsn --scale toy --stage all --plan here --plan-out p.json".split()
    )
    assert code == 1
    assert [r["stage"] for r in json.loads((tmp_path / "p.json").read_text())["plans"]] == stages
    rows = [line for line in output.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(stages)
    assert "no good" in output


def _only_flow_fits(config: TrainConfig, options, tell):
    if config.stage != "flow":
        raise ValueError("no good")
    return {
        **{"recipe": config.recipe, "stage": "flow", "scale": "toy", "batch_size": 4},
        **{"accumulate": 1, "compiles": True, "compile_seconds": 1.0, "error": "", "fits": True},
    }


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("--plan h10", ("Did you mean h100",)),
        ("--plan", ("--plan needs a value",)),
        ("--plan here --plan-classes many", ("--plan-classes", "'many'")),
        ("--plan-out x.json", ("need --plan",)),
        ("--plan here --plan-out nowhere/x.json", ("no folder nowhere",)),
        ("--plan here --batch-size 5 --max-devices 2", ("2 devices cannot share",)),
        ("--plan here --max-devices 1 --optim.accumulate 3", ("accumulate 2",)),
    ],
)
def test_wrong_options_end_with_a_message(arguments, words, run_main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, errors = run_main("train", "odabasi", "--scale", "toy", *arguments.split())
    assert code in (1, 2) and all(word in errors for word in words), errors
    assert not list(tmp_path.iterdir())


def test_options_are_taken_from_the_command_line():
    plan, rest = take_plan_options(["odabasi", "--plan=v5e:2x4", "--seed", "3", "--plan-out", "p"])
    assert plan is not None and (plan.target.text, plan.out, plan.search) == ("v5e:2x4", "p", True)
    assert rest == ["odabasi", "--seed", "3"]
    assert take_plan_options(["odabasi"]) == (None, ["odabasi"])


def test_missing_wheels_are_reported(run_main, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("train.plan.command.missing_wheels", lambda target: "install it")
    monkeypatch.setattr("train.plan.target.os.environ", {})
    code, _, errors = run_main("train", "odabasi", "--scale", "toy", "--plan", "h100")
    assert code == 1 and "install it" in errors


@pytest.mark.slow
@pytest.mark.parametrize("target, module", [("h100:2", "jax_cuda12_plugin"), ("v5e:2x2", "libtpu")])
def test_plans_for_devices_that_are_not_here(target, module, small_network, config):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    record = plan_stage(config, PlanOptions(parse_target(target), "", 0, False), lambda line: None)
    assert record["compiles"] and record["fits"] and record["estimate"]["total"] > 0
    assert record["traffic"]["sent"] > 0
