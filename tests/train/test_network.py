"""Building the network of a run: its options, and what the objective needs."""

import dataclasses
import warnings

import flax.linen as nn
import jax
import numpy as np
import pytest
import torch

from afn_jax.models import MODELS, list_models
from tests.weights.torch_networks import make
from train.config import InitConfig, ModelConfig, ObjectiveConfig
from train.initialize import from_weights
from train.network import build_model, check_outputs, parse_options
from train.optim import create_optimizer
from train.parallel import AXIS
from train.recipes import RECIPES
from train.state import create_state

TOY = RECIPES["actionflownet"][""]["toy"]


def of(name, flow="endpoint", action=True, options=()):
    return dataclasses.replace(
        TOY,
        model=ModelConfig(name=name, width=4, options=options),
        objective=ObjectiveConfig(flow=flow, action=action),
    )


def test_options_are_json_or_text():
    options = ("flow_after=3", "rates=[0.9,0.8]", "fusion=residual", "fixed=false", "text=a=b")
    assert parse_options(options) == {
        "flow_after": 3,
        "rates": (0.9, 0.8),
        "fusion": "residual",
        "fixed": False,
        "text": "a=b",
    }
    # What a shell makes of learned=["tau","lam"] and widths=[[1,2],[3]].
    assert parse_options(("learned=[tau, lam]", "learned2=[]", "widths=[[1,2],[3]]")) == {
        "learned": ("tau", "lam"),
        "learned2": (),
        "widths": ([1, 2], [3]),
    }
    with pytest.raises(ValueError, match="model.options: got 'flow_after', but each must be"):
        parse_options(("flow_after",))


def test_options_override_other_settings():
    model = build_model(of("actionflownet", options=("flow_stride=1",)), 3, axis_name=None)
    assert (model.num_classes, model.width, model.flow_stride) == (3, 4, 1)
    with pytest.raises(ValueError, match="no field 'flow_strid'. Did you mean flow_stride"):
        build_model(of("actionflownet", options=("flow_strid=1",)), 3, axis_name=None)


class Bare(nn.Module):
    """A network with no settings at all."""

    num_classes: int


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        (
            "resnet18",
            ModelConfig(flow_stride=2, width=4),
            "no effect: model.flow_stride=2, because resnet18 has no such setting; it has depth, "
            "dropout_rate, dtype, num_frames, width.",
        ),
        (
            "bare",
            ModelConfig(width=4, dropout_rate=0.3),
            "model.width=4, model.dropout_rate=0.3, because bare has no such setting",
        ),
    ],
)
def test_warns_once_of_settings_that_the_network_lacks(monkeypatch, untyped, name, model, message):
    monkeypatch.setitem(MODELS, "bare", Bare)
    config = dataclasses.replace(TOY, model=dataclasses.replace(model, name=name))
    with pytest.warns(UserWarning, match=message) as caught:
        build_model(config, 3, axis_name=AXIS)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_default_settings_and_recipes_cause_no_warning(monkeypatch, untyped):
    monkeypatch.setitem(MODELS, "bare", Bare)
    defaults = [dataclasses.replace(TOY, model=ModelConfig(name=n)) for n in list_models()]
    recipes = [
        config
        for stages in RECIPES.values()
        for scales in stages.values()
        for config in scales.values()
    ]
    assert "bare" in list_models() and len(recipes) > 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for config in defaults + recipes:
            build_model(config, 3, axis_name=AXIS)


@pytest.mark.parametrize(
    ("flow", "action"),
    [("endpoint", True), ("none", True), ("endpoint", False), ("uf-tsn", False)],
)
def test_leaves_out_what_the_objective_does_not_need(flow, action):
    config = of("actionflownet", flow, action)
    model = build_model(config, 3, axis_name=None)
    assert (model.predict_flow, model.classify) == (flow != "none", action)
    frames = config.data.num_frames
    assert check_outputs(model, config) == (tuple(range(frames)) if flow != "none" else ())


@pytest.mark.slow
def test_a_network_without_a_future_flow_has_none_from_the_last_frame():
    for name, flow in (("actionflownet-2f", "endpoint"), ("uf-tsn", "uf-tsn")):
        config = of(name, flow)
        starts = check_outputs(build_model(config, 3, axis_name=None), config)
        assert starts == tuple(range(config.data.num_frames - 1))


@pytest.mark.parametrize("flow", ["endpoint", "none"])
def test_leaves_out_backward_flow_unless_the_loss_uses_it(flow):
    """With two frames it would be mistaken for the future flow."""
    assert not build_model(of("uf-tsn", flow), 3, axis_name=None).bidirectional
    assert build_model(of("uf-tsn", "uf-tsn"), 3, axis_name=None).bidirectional


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18", "'endpoint', but resnet18 predicts no flow. Add --objective.flow none"),
        ("flownet", "objective.action: flownet does not classify. Add --objective.no-action"),
    ],
)
def test_rejects_a_network_that_cannot_meet_the_objective(name, message):
    config = of(name)
    with pytest.raises(ValueError, match=message):
        check_outputs(build_model(config, 3, axis_name=None), config)


@pytest.mark.parametrize(
    ("name", "flow", "options", "expected"),
    [
        ("hidden-temporal-tsn", "motionnet", (), 2),
        ("hidden-temporal-tsn", "none", ("num_segments=3",), "got 2 .*takes a clip for 3"),
        (
            "actionflownet",
            "endpoint",
            (),
            "got 2 with .* takes a clip for 1. Add .* --data.samp",
        ),
        ("resnet18", "none", (), None),
    ],
)
def test_rejects_segments_that_the_network_does_not_take(name, flow, options, expected):
    """A flow from one segment to the next would be learned as if it were motion."""
    config = of(name, flow, options=options)
    data = dataclasses.replace(TOY.data, sampling="segments", num_segments=2, num_frames=6)
    config = dataclasses.replace(config, data=data)
    model = build_model(config, 3, axis_name=None)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            check_outputs(model, config)
        return
    assert model.num_segments == expected
    check_outputs(model, config)


def test_a_run_starts_from_published_weights(tmp_path):
    network = make("resnet18", 4, 7)
    torch.save(network.state_dict(), tmp_path / "published.pth")
    config = of("resnet18", "none")
    state = create_state(
        build_model(config, 3, axis_name=None),
        create_optimizer(config.optim, 1),
        (1, 1, 32, 32, 3),
        0,
    )
    init = InitConfig(weights=str(tmp_path / "published.pth"), skip=("classifier",))
    started, report = from_weights(state, init, "resnet18")
    stem = network.conv1.weight.detach().numpy().transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(started.params["encoder"]["conv1"]["kernel"], stem)
    np.testing.assert_array_equal(
        started.batch_stats["encoder"]["norm1"]["mean"], network.bn1.running_mean
    )
    assert jax.tree.structure(started) == jax.tree.structure(state)
    kept = started.params["classifier"]["kernel"]
    np.testing.assert_array_equal(kept, state.params["classifier"]["kernel"])
    assert "kept as they were: classifier (2 arrays)" in report

    with pytest.raises(ValueError, match="(?s)classifier.*skip="):
        from_weights(state, dataclasses.replace(init, skip=()), "resnet18")
    with pytest.raises(ValueError, match="init.architecture: got 'flownet'; name"):
        from_weights(state, init, "flownet")
