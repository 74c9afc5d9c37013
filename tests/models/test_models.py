"""What every network of the library promises, for each name that `create_model` knows."""

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

CLASSES = 5
TREES = json.loads(Path(__file__).with_name("parameter_trees.json").read_text())

# What torchvision publishes, with its own number of classes.
PUBLISHED = {
    "resnet18": (11_689_512, 1000),
    "resnet34": (21_797_672, 1000),
    "resnet50": (25_557_032, 1000),
    "resnet152": (60_192_808, 1000),
    "vgg16": (138_357_544, 1000),
    "r3d18": (33_371_472, 400),
    "r2plus1d18": (31_505_325, 400),
}
# ActionFlowNet: added up by hand from the shapes listed in test_actionflownet.py. MotionNet:
# from its table. UF-TSN: Table 3 says 5.7 M.
COUNTED = {"actionflownet": 46_857_383, "motionnet": 42_319_860, "uf-tsn-flow": 5_727_918}

# The smallest of each kind: names that differ in depth alone are left to the full-size shapes.
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
    "uf-tsn": dict(num_frames=3, spatial_depth=18),
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


def small(name, **overrides):
    return create_model(name, num_classes=CLASSES, width=4, **SMALL[name] | overrides)


def frames(model, batch=3, height=32, width=48):
    return jax.random.uniform(jax.random.key(0), (batch, model.num_frames, height, width, 3))


@functools.cache
def initialised(name):
    model = small(name)
    clip = frames(model)
    return model, clip, jax.jit(lambda: model.init(jax.random.key(1), clip, train=False))()


def shapes(model, side):
    """Of variables and prediction, without computing them."""
    clip = jax.ShapeDtypeStruct((1, model.num_frames, side, side, 3), jnp.float32)
    return jax.eval_shape(
        lambda clip: model.init_with_output(jax.random.key(0), clip, train=False), clip
    )


@pytest.mark.parametrize("name", list_models())
def test_full_size(name):
    model = create_model(name, num_classes=101)
    side = TREES[name]["side"]
    prediction, variables = shapes(model, side)
    assert isinstance(prediction, Prediction)
    assert prediction.logits is not None or prediction.flows
    if prediction.logits is not None:
        assert (prediction.logits.shape, prediction.logits.dtype) == ((1, 101), jnp.float32)
    sizes = [flow.shape[2] for flow in prediction.flows]
    assert sizes == sorted(sizes, reverse=True)  # finest first
    for flow in prediction.flows:
        assert flow.shape == (1, prediction.flows[0].shape[1], flow.shape[2], flow.shape[2], 2)
        assert flow.dtype == jnp.float32

    params = variables["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    # A checkpoint of before can be loaded: if it may not be, write the new table with
    # `python benchmarks/describe_models.py` and say so in the message of the change.
    assert TREES[name] == {"side": side, "parameters": count, "digest": tree_digest(params)}
    if name in COUNTED:
        assert count == COUNTED[name]
    if name in PUBLISHED:
        published, classes = PUBLISHED[name]
        [features] = {leaf.shape[0] for leaf in jax.tree.leaves(params) if leaf.shape[1:] == (101,)}
        assert count == published + (101 - classes) * (features + 1)


@pytest.mark.parametrize("name", SMALL)
def test_evaluation_is_finite_and_of_each_example_alone(name):
    model, clip, variables = initialised(name)
    evaluate = jax.pmap(lambda v, x: model.apply(v, x, train=False), in_axes=(None, 0))
    prediction = evaluate(variables, clip[None])
    if prediction.logits is not None:
        assert prediction.logits.shape == (1, 3, CLASSES)
    neighbours_changed = clip.at[0].set(1 - clip[0]).at[2].set(0)
    other = evaluate(variables, neighbours_changed[None])
    for array, changed in zip(*map(jax.tree.leaves, (prediction, other)), strict=True):
        assert array.dtype == jnp.float32 and np.isfinite(array).all()
        # Untrained deep networks have large logits: nothing is normalised at evaluation yet.
        np.testing.assert_allclose(array[0, 1], changed[0, 1], atol=1e-5 * np.abs(array).max())
        assert np.abs(array[0, 0] - changed[0, 0]).max() > 0


@pytest.mark.parametrize("name", SMALL)
def test_training(name):
    model, clip, variables = initialised(name)
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
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path
    for before, after in zip(*map(jax.tree.leaves, (stats, updated)), strict=True):
        assert np.abs(before - after).max() > 0
    if prediction.logits is not None:
        same, other = train(0)[0].logits, train(1)[0].logits
        np.testing.assert_array_equal(prediction.logits, same)
        assert np.abs(prediction.logits - other).max() > 1e-6  # dropout


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_is_of_the_computation_alone(name):
    model = small(name, dtype=jnp.bfloat16)
    for leaf in jax.tree.leaves(shapes(model, 32)):
        assert leaf.dtype == jnp.float32
    text = jax.jit(lambda v, x: model.apply(v, x, train=False)).lower(
        shapes(model, 32)[1], jax.ShapeDtypeStruct((1, model.num_frames, 32, 32, 3), jnp.float32)
    )
    convolutions = [line for line in text.as_text().splitlines() if "convolution(" in line]
    assert convolutions and any("bf16" in line for line in convolutions)


@pytest.mark.parametrize("name", ["actionflownet", "motionnet", "repflow-resnet18", "resnet18"])
def test_bfloat16_stays_near_float32(name):
    model, clip, variables = initialised(name)

    def evaluate(dtype):
        return jax.jit(lambda v, x: small(name, dtype=dtype).apply(v, x, train=False))(
            variables, clip
        )

    for near, exact in zip(
        *map(jax.tree.leaves, map(evaluate, (jnp.bfloat16, jnp.float32))), strict=True
    ):
        assert 0 < np.abs(near - exact).max() < 0.1 * np.abs(exact).max()


def test_a_misspelt_name_or_field_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="got 'actionflow'. Did you mean actionflownet"):
        create_model("actionflow", num_classes=2)
    with pytest.raises(ValueError, match="no field 'widht'. Did you mean width"):
        create_model("actionflownet", num_classes=2, widht=3)
    with pytest.raises(ValueError, match="no field 'parent'"):
        create_model("actionflownet", num_classes=2, parent=None)


@pytest.mark.parametrize("name", list_models())
def test_fields_that_all_have(name):
    assert {"width", "num_frames", "dropout_rate", "dtype", "axis_name"} <= model_fields(name)


def test_the_command_line_knows_every_name():
    from train.config import ModelConfig

    source = Path(__file__).parents[2] / "train" / "config.py"
    documented = source.read_text().split("class ModelConfig")[1].split("width: int")[0]
    listed = documented.replace(",", " ").replace(".", " ").replace('"', " ").split()
    assert set(list_models()) <= set(listed)
    assert ModelConfig().name in MODELS
