import dataclasses
import json
from pathlib import Path

import pytest

from afn_jax.data.config import DataConfig
from train import config as config_lib
from train import config_file
from train.config import ModelConfig, ObjectiveConfig, OptimConfig, TrainConfig
from train.recipes import RECIPES

EVERY_RECIPE = [
    pytest.param(name, stage, scale, config, id=f"{name}-{stage}-{scale}")
    for name, stages in RECIPES.items()
    for stage, scales in stages.items()
    for scale, config in scales.items()
]
SYNTHETIC = DataConfig(flip=False)
VALID = TrainConfig(data=SYNTHETIC)


@pytest.mark.parametrize("name, stage, scale, config", EVERY_RECIPE)
def test_recipes_have_their_names_and_round_trip_through_json(name, stage, scale, config, tmp_path):
    assert (config.recipe, config.stage, config.scale) == (name, stage, scale)
    config_lib.check(config)
    path = tmp_path / "config.json"
    config_file.save(config, path)
    loaded = config_file.load(path)
    assert loaded == config
    assert isinstance(loaded.data.size, tuple) and isinstance(loaded.optim.groups, tuple)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_default_run_folders():
    assert config_lib.default_run_dir(RECIPES["actionflownet"][""]["toy"]) == (
        "runs/actionflownet-toy"
    )
    assert config_lib.default_run_dir(RECIPES["uf-tsn"]["warm-up"]["paper"]) == (
        "runs/uf-tsn-warm-up-paper"
    )


def test_reads_the_settings_of_an_older_run():
    """old_config.json is the file of a run from before `objective.flow` and `objective.action`."""
    config = config_file.load(Path(__file__).parent / "old_config.json")
    now = RECIPES["hidden-two-stream"]["temporal-c"]["toy"]
    assert config.objective == now.objective
    assert (config.model, config.data, config.optim) == (now.model, now.data, now.optim)
    weights = {"weights": "vgg16-397923af.pth", "architecture": "vgg16", "part": "features"}
    weights |= {"at": "temporal", "skip": ("classifier",), "run_skip": ("^temporal/",)}
    assert config.init == dataclasses.replace(now.init, **weights)


@pytest.mark.parametrize("kind, now", config_file.OLD_OBJECTIVES.items())
def test_reads_every_old_objective(kind, now):
    values = {"recipe": "actionflownet"}
    values["objective"] = {"kind": kind, "flow_weight": 2.0}
    objective = config_file.from_values(values, "config.json").objective
    assert objective == ObjectiveConfig(*now, flow_weight=2.0)


def test_rejects_a_misspelled_field_and_suggests_a_near_one(tmp_path):
    values = dataclasses.asdict(VALID)
    values["data"]["num_frame"] = 4
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="unknown field 'num_frame'. Did you mean num_frames"):
        config_file.load(path)


def test_rejects_broken_json(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"recipe": "actionflownet", ')
    with pytest.raises(ValueError, match=r"config.json is not valid JSON .*edited by hand"):
        config_file.load(path)


def test_rejects_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"is not a run folder: it has no config.json"):
        config_file.load(tmp_path / "config.json")


def test_rejects_json_that_is_not_settings(tmp_path):
    path = tmp_path / "config.json"
    for text, problem in {
        "[1, 2]": "expected fields and values in braces",
        '{"data": 3}': "expected fields and values in braces",
        '{"steps": "many"}': "steps is 'many', not int",
        '{"data": {"size": 32}}': "size is 32, not tuple.int, int",
        '{"scale": "huge"}': "scale is 'huge', not .*paper",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=f"config.json: {problem}"):
            config_file.load(path)


def test_missing_fields_have_their_defaults(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"steps": 7, "model": {"width": 3}}')
    assert config_file.load(path) == TrainConfig(steps=7, model=ModelConfig(width=3))


def test_differences_are_named_with_both_values():
    saved = dataclasses.replace(VALID, batch_size=8, seed=1)
    new = dataclasses.replace(saved, seed=2, data=dataclasses.replace(SYNTHETIC, num_frames=3))
    assert config_file.differences(saved, new) == {"seed": (1, 2), "data.num_frames": (16, 3)}
    assert config_file.differences(saved, saved) == {}


def test_a_resumed_run_may_change_what_does_not_affect_learning():
    new = dataclasses.replace(
        VALID,
        run_dir="elsewhere",
        log_every=3,
        test_every=0,
        checkpoint_every=5,
        keep_checkpoints=9,
        compilation_cache="",
        data=dataclasses.replace(SYNTHETIC, num_threads=7, prefetch=1, annotations="elsewhere"),
        optim=dataclasses.replace(VALID.optim, accumulate=4),
    )
    assert config_file.differences(VALID, new) == {}


def test_steps_may_change_unless_the_learning_rate_depends_on_them():
    constant = dataclasses.replace(VALID, steps=10)
    stepwise = dataclasses.replace(
        constant, optim=OptimConfig(schedule="steps", boundaries=(5,), factor=0.5)
    )
    assert config_file.differences(stepwise, dataclasses.replace(stepwise, steps=20)) == {}
    assert config_file.differences(constant, dataclasses.replace(constant, steps=20)) == {}
    cosine = dataclasses.replace(constant, optim=OptimConfig(schedule="cosine"))
    longer = dataclasses.replace(cosine, steps=20)
    assert config_file.differences(cosine, longer) == {"steps": (10, 20)}
    assert set(config_file.differences(cosine, constant)) == {"optim.schedule"}


def test_may_change_lists_existing_fields():
    assert set(config_lib.flatten(VALID)) >= config_lib.MAY_CHANGE


@pytest.mark.parametrize(
    "name",
    [
        "steps",
        "batch_size",
        "log_every",
        "checkpoint_every",
        "keep_checkpoints",
        "test_batches",
        "test_clips",
    ],
)
def test_rejects_counts_below_one(name):
    config_lib.check(dataclasses.replace(VALID, **{name: 1}))
    with pytest.raises(ValueError, match=f"^{name}: got 0, but it must be at least 1"):
        config_lib.check(dataclasses.replace(VALID, **{name: 0}))


def test_check_rejects_an_action_objective_on_a_dataset_of_flow():
    chairs = DataConfig(source="flying-chairs", root="chairs")
    config_lib.check(TrainConfig(data=chairs, objective=ObjectiveConfig(action=False)))
    with pytest.raises(ValueError, match="flying-chairs has no actions. Add --objective.no-act"):
        config_lib.check(TrainConfig(data=chairs))


def test_check_rejects_mirrored_synthetic_clips():
    with pytest.raises(ValueError, match="data.flip: .*synthetic-motion .*--data.no-flip"):
        config_lib.check(TrainConfig(data=DataConfig(flip=True)))


@pytest.mark.parametrize(
    "group, field, value, message",
    [
        ("model", "width", 0, "model.width: got 0, but it must be at least 1"),
        ("model", "dropout_rate", 1.5, "model.dropout_rate: got 1.5"),
        ("optim", "learning_rate", -1.0, "optim.learning_rate: got -1.0, but it must be above 0"),
        ("optim", "learning_rate", float("nan"), "optim.learning_rate: got nan"),
        ("optim", "warmup_steps", -5, "optim.warmup_steps: got -5"),
        (
            "optim",
            "ema_decay",
            1.0,
            "optim.ema_decay: got 1.0, but it must be at least 0 and below 1",
        ),
        ("optim", "accumulate", 0, "optim.accumulate: got 0, but it must be at least 1"),
        ("optim", "boundaries", (5,), "optim.boundaries: got .5,. with schedule 'constant'"),
        ("optim", "schedule", "steps", "optim.boundaries: got .. with schedule 'steps'"),
        ("objective", "label_smoothing", -0.1, "objective.label_smoothing: got -0.1"),
        ("data", "stride", 0, "data.stride: got 0"),
        ("data", "crop_scales", (1.5,), "data.crop_scales: got .1.5,., but each must be"),
        ("data", "prefetch", -1, "data.prefetch: got -1"),
    ],
)
def test_rejects_values_out_of_range(group, field, value, message):
    changed = dataclasses.replace(getattr(VALID, group), **{field: value})
    with pytest.raises(ValueError, match=message):
        config_lib.check(dataclasses.replace(VALID, **{group: changed}))


def test_rejects_boundaries_that_do_not_increase():
    for boundaries in ((5, 5), (7, 3), (0, 4)):
        optim = OptimConfig(schedule="steps", boundaries=boundaries)
        with pytest.raises(ValueError, match="optim.boundaries: got .* must increase from 1"):
            config_lib.check(dataclasses.replace(VALID, optim=optim))


def test_rejects_parts_that_do_not_divide_a_share():
    config = dataclasses.replace(VALID, batch_size=24, optim=OptimConfig(accumulate=4))
    config_lib.check_parts(config, 3)
    with pytest.raises(ValueError, match="does not divide the 6 examples.*--optim.accumulate 3"):
        config_lib.check_parts(config, 4)


@pytest.mark.parametrize("field", ["seed", "test_every", "max_devices"])
def test_rejects_negative_numbers(field):
    with pytest.raises(ValueError, match=f"{field}: got -1, but it must be at least 0"):
        config_lib.check(dataclasses.replace(VALID, **{field: -1}))
