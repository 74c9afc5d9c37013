"""The contract of all networks, for every name that `create_model` accepts."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models import MODELS, create_model, list_models, model_fields
from afn_jax.ops import TVL1Config
from afn_jax.types import Prediction
from benchmarks.describe_models import tree_digest
from tests.filled_variables import filled_variables
from tests.programs import equations_in
from train.cli import parse

CLASSES = 5
TREES = json.loads(Path(__file__).with_name("parameter_trees.json").read_text())

# Number of flows per clip at full size, and their sides.
PYRAMID = [112, 56, 28, 14, 7]
FLOWS = {
    "actionflownet": (16, [56]),
    "flownet": (16, [56]),
    # Section 3.3: four outputs with different resolutions.
    "actionflownet-2f": (1, [56, 28, 14, 7]),
    "stacked-2f": (1, [56, 28, 14, 7]),
    "motionnet": (10, PYRAMID),
    "hidden-temporal-vgg16": (10, PYRAMID),
    "hidden-temporal-tsn": (30, PYRAMID),
    "hidden-temporal-i3d": (60, PYRAMID),
    "hidden-two-stream-vgg16": (10, PYRAMID),
    "uf-tsn": (10, [224, 112, 56, 28, 14]),
    "jointflow3d": (16, [56]),
    "tvnet": (10, [224]),
}

# The smallest network of each kind; those that differ only in depth are tested by their shapes.
ONE_STEP = TVL1Config(num_scales=1, num_warps=1, num_iterations=2)
SMALL = {
    "actionflownet": dict(num_frames=4),
    "actionflownet-2f": dict(num_frames=3),
    "stacked-2f": dict(num_frames=2),
    "motionnet": dict(num_frames=3),
    "motionnet-tiny": dict(num_frames=3),
    "hidden-branched": dict(num_frames=3),
    "hidden-temporal-vgg16": dict(num_frames=3),
    "hidden-temporal-tsn": dict(num_frames=6, backbone="resnet18"),
    "hidden-two-stream-vgg16": dict(num_frames=3),
    "spatial-tsn": dict(num_frames=3, backbone="resnet18"),
    "i3d": dict(num_frames=8),
    "uf-tsn": dict(num_frames=3, spatial_depth=18, convs_per_level=1, decoder_widths=(32, 16)),
    "uf-tsn-flow": dict(num_frames=3),
    "repflow-resnet18": dict(num_frames=4, channels=4, num_iterations=2),
    "repflow-r3d18": dict(num_frames=8, channels=4, num_iterations=2),
    "repflow-r2plus1d18": dict(num_frames=8, channels=4, num_iterations=2),
    "jointflow3d": dict(num_frames=12),
    "resnet18": dict(num_frames=3),
    "resnet50": dict(num_frames=1),
    "r3d18": dict(num_frames=4),
    "r2plus1d18": dict(num_frames=4),
    "c3d": dict(num_frames=8),
    "vgg16": dict(num_frames=1),
    "two-stream-vgg16": dict(num_frames=3, tvl1=ONE_STEP),
}
# Networks that are not part of another one; only these are computed.
COMPUTED = set(SMALL) - {
    "actionflownet-2f",  # part of stacked-2f
    "motionnet",  # part of hidden-branched
    "hidden-temporal-vgg16",  # part of hidden-two-stream-vgg16
    "uf-tsn-flow",  # part of uf-tsn
    "repflow-r3d18",  # layer as in repflow-r2plus1d18, encoder almost as in r3d18
    "resnet18",  # part of hidden-temporal-tsn
}


def small(name, **overrides):
    return create_model(name, num_classes=CLASSES, width=4, **SMALL[name] | overrides)


def frames(model, batch=3, height=32, width=48):
    return jax.random.uniform(jax.random.key(0), (batch, model.num_frames, height, width, 3))


@functools.cache
def filled(name):
    model = small(name)
    clip = frames(model)
    return model, clip, filled_variables(model, clip, train=False)


@functools.cache
def evaluation(name, dtype=jnp.float32):
    model = small(name, dtype=dtype)
    return jax.jit(lambda variables, clip: model.apply(variables, clip, train=False))


def shapes(model, side):
    """Returns the shapes of prediction and variables without computing them."""
    clip = jax.ShapeDtypeStruct((1, model.num_frames, side, side, 3), jnp.float32)
    return jax.eval_shape(
        lambda clip: model.init_with_output(jax.random.key(0), clip, train=False), clip
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_shapes_and_parameters_at_full_size(name):
    model = create_model(name, num_classes=101)
    tree = TREES.get(name)  # a new network may have no entry
    side = tree["side"] if tree else 224
    prediction, variables = shapes(model, side)
    assert isinstance(prediction, Prediction)
    assert prediction.logits is not None or prediction.flows
    if prediction.logits is not None:
        assert (prediction.logits.shape, prediction.logits.dtype) == ((1, 101), jnp.float32)
    sizes = [flow.shape[2] for flow in prediction.flows]
    assert sizes == sorted(sizes, reverse=True)  # finest first
    for flow in prediction.flows:
        number = prediction.flows[0].shape[1]
        assert (flow.shape, flow.dtype) == ((1, number, *flow.shape[2:3] * 2, 2), jnp.float32)
    if name in FLOWS:
        assert FLOWS[name] == (number, sizes)

    starts = model.flow_starts(model.num_frames)
    assert set(starts) <= set(range(model.num_frames)) and list(starts) == sorted(set(starts))
    if prediction.flows:
        assert len(starts) >= number

    params = variables["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    # Older checkpoints load. If a change breaks that on purpose, update the table with
    # `python benchmarks/describe_models.py` and mention it in the commit message.
    assert tree in (None, {"side": side, "parameters": count, "digest": tree_digest(params)})


@pytest.mark.parametrize(
    ("name", "options", "num_frames", "starts"),
    [
        ("actionflownet", {}, 4, (0, 1, 2, 3)),
        ("motionnet", {}, 3, (0, 1, 2)),  # it predicts two flows, which use the first two
        ("hidden-temporal-tsn", {}, 9, (0, 1, 3, 4, 6, 7)),
        ("hidden-two-stream-tsn", {"num_segments": 2}, 6, (0, 1, 3, 4)),
        ("jointflow3d", {}, 9, (0, 3, 6)),
        ("jointflow3d", {"triplet_stride": 1}, 5, (0, 1, 2)),
    ],
)
def test_flow_starts(name, options, num_frames, starts):
    model = create_model(name, num_classes=CLASSES, **options)
    assert model.flow_starts(num_frames) == starts


def test_num_segments_is_a_field_or_none():
    segments = {name: create_model(name, num_classes=CLASSES).num_segments for name in MODELS}
    fields = {name for name in MODELS if "num_segments" in model_fields(name)}
    assert {name for name, number in segments.items() if number is not None} == fields
    assert segments["hidden-temporal-tsn"] == 3 and segments["spatial-vgg16"] == 1


@pytest.mark.parametrize("name", sorted(SMALL))
def test_rejects_integer_frames(name, untyped):
    """Otherwise a network would see them 255 times too bright, or wrapped around."""
    model = small(name)
    clip = jax.ShapeDtypeStruct((1, model.num_frames, 32, 48, 3), jnp.uint8)
    with pytest.raises(
        ValueError, match="has dtype uint8; it must be float: convert an image with"
    ):
        jax.eval_shape(lambda clip: model.init(jax.random.key(0), clip, train=False), clip)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_evaluation_is_finite_and_independent_of_other_examples(name):
    _, clip, variables = filled(name)
    prediction = evaluation(name)(variables, clip)
    if prediction.logits is not None:
        assert prediction.logits.shape == (3, CLASSES)
    neighbors_changed = clip.at[0].set(1 - clip[0]).at[2].set(0)
    other = evaluation(name)(variables, neighbors_changed)
    for array, changed in zip(*map(jax.tree.leaves, (prediction, other)), strict=True):
        assert array.dtype == jnp.float32 and np.isfinite(array).all()
        # Logits of deep untrained networks are large: batch statistics do not normalize yet.
        np.testing.assert_allclose(array[1], changed[1], atol=1e-5 * np.abs(array).max())
        assert np.abs(array[0] - changed[0]).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_training_step_has_finite_gradients_everywhere(name):
    model, clip, variables = filled(name)
    model = model.clone(axis_name="devices")
    stats = {key: value for key, value in variables.items() if key != "params"}

    def loss(params, key):
        prediction, updated = model.apply(
            stats | {"params": params},
            clip,
            train=True,
            rngs={"dropout": key},
            mutable=list(stats),
        )
        keys = jax.random.split(jax.random.key(3), 9)
        total = sum(
            jnp.sum(array * jax.random.normal(key, array.shape))
            for key, array in zip(keys, jax.tree.leaves(prediction), strict=False)
        )
        return total, (prediction, updated)

    step = jax.pmap(jax.value_and_grad(loss, has_aux=True), axis_name="devices", in_axes=(None, 0))

    def train(seed):
        (_, (prediction, updated)), gradient = step(variables["params"], jax.random.key(seed)[None])
        return jax.tree.map(lambda x: x[0], (prediction, updated, gradient))

    prediction, updated, gradient = train(0)
    evaluated = jax.eval_shape(evaluation(name), variables, clip)
    for flow, expected in zip(prediction.flows, evaluated.flows, strict=True):
        assert flow.shape[1] == expected.shape[1] * (2 if model.backward_flows else 1)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path
    for before, after in zip(*map(jax.tree.leaves, (stats, updated)), strict=True):
        assert np.abs(before - after).max() > 0
    if prediction.logits is not None:
        same, other = train(0)[0].logits, train(1)[0].logits
        np.testing.assert_array_equal(prediction.logits, same)
        assert np.abs(prediction.logits - other).max() > 1e-6  # dropout


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_affects_only_the_computation(name):
    model = small(name, dtype=jnp.bfloat16)
    program, (prediction, variables) = jax.make_jaxpr(
        lambda clip: model.init_with_output(jax.random.key(0), clip, train=False),
        return_shape=True,
    )(frames(model))
    for leaf in jax.tree.leaves((prediction, variables)):
        assert leaf.dtype == jnp.float32
    convolutions = {
        str(equation.outvars[0].aval.dtype)
        for equation in equations_in(program.jaxpr)
        if equation.primitive.name == "conv_general_dilated"
    }
    assert "bfloat16" in convolutions


@pytest.mark.slow
@pytest.mark.parametrize("name", ["actionflownet", "motionnet-tiny", "repflow-resnet18"])
def test_bfloat16_is_close_to_float32(name):
    _, clip, variables = filled(name)
    near, exact = (
        jax.tree.leaves(evaluation(name, dtype)(variables, clip))
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    for one, other in zip(near, exact, strict=True):
        assert 0 < np.abs(one - other).max() < 0.1 * np.abs(other).max()


def test_suggests_names_for_a_misspelled_name_or_field():
    with pytest.raises(ValueError, match="got 'actionflow'. Did you mean actionflownet"):
        create_model("actionflow", num_classes=2)
    with pytest.raises(ValueError, match="no field 'widht'. Did you mean width"):
        create_model("actionflownet", num_classes=2, widht=3)
    with pytest.raises(ValueError, match="no field 'parent'"):
        create_model("actionflownet", num_classes=2, parent=None)


def test_all_networks_have_the_common_fields():
    for name in list_models():
        assert {"width", "num_frames", "dropout_rate", "dtype", "axis_name"} <= model_fields(name)


def test_help_lists_every_name(capsys):
    with pytest.raises(SystemExit):
        parse(["actionflownet", "--help"])
    words = set(capsys.readouterr().out.replace(",", " ").split())
    assert set(list_models()) <= words
    assert TREES.keys() <= set(list_models())
