"""What every network of the library promises, for each name that `create_model` knows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models import MODELS, create_model, list_models
from afn_jax.types import Prediction

CLASSES = 5
# At width 64 and 101 classes. ResNet-18: torchvision's published count, with another classifier.
# ActionFlowNet: added up by hand from the shapes listed in test_actionflownet.py.
PARAMETERS = {"actionflownet": 46_857_383, "resnet18": 11_689_512 - 1000 * 513 + 101 * 513}


def small(name, **overrides):
    return create_model(name, num_classes=CLASSES, width=4, num_frames=4, **overrides)


def frames(batch=2, time=4, height=32, width=48):
    return jax.random.uniform(jax.random.key(0), (batch, time, height, width, 3))


def initialised(model, clip):
    return jax.jit(lambda: model.init(jax.random.key(1), clip, train=False))()


@pytest.mark.parametrize("name", list_models())
def test_number_of_parameters_at_full_size(name):
    model = create_model(name, num_classes=101, num_frames=16)
    clip = jax.ShapeDtypeStruct((1, 16, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), clip)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == PARAMETERS[name]


@pytest.mark.parametrize("name", list_models())
def test_forward_gives_finite_float32_predictions(name):
    model, clip = small(name), frames()
    variables = initialised(model, clip)
    prediction = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, clip)
    assert isinstance(prediction, Prediction)
    assert prediction.logits.shape == (2, CLASSES)
    for array in jax.tree.leaves(prediction):
        assert array.dtype == jnp.float32 and np.isfinite(array).all()


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_gets_a_finite_gradient(name):
    model, clip = small(name), frames()
    variables = initialised(model, clip)

    @jax.jit
    def gradients(params):
        def loss(params):
            prediction, _ = model.apply(
                variables | {"params": params},
                clip,
                train=True,
                rngs={"dropout": jax.random.key(2)},
                mutable=["batch_stats"],
            )
            keys = jax.random.split(jax.random.key(3), 9)
            return sum(
                (array * jax.random.normal(key, array.shape)).sum()
                for key, array in zip(keys, jax.tree.leaves(prediction), strict=False)
            )

        return jax.grad(loss)(params)

    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients(variables["params"])):
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


@pytest.mark.parametrize("name", list_models())
def test_an_example_does_not_depend_on_its_neighbours(name):
    model, clip = small(name), frames(batch=3)
    variables = initialised(model, clip)
    apply = jax.jit(lambda x: model.apply(variables, x, train=False))
    for together, alone in zip(
        jax.tree.leaves(apply(clip)), jax.tree.leaves(apply(clip[1:2])), strict=True
    ):
        np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize("name", list_models())
def test_dropout_only_in_training(name):
    model, clip = small(name), frames()
    variables = initialised(model, clip)

    @jax.jit
    def logits_in_training(key):
        return model.apply(
            variables, clip, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )[0].logits

    one, same, other = (logits_in_training(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4
    model.apply(variables, clip, train=False)  # needs no key


@pytest.mark.parametrize("name", list_models())
def test_training_moves_the_statistics_and_evaluation_does_not(name):
    model, clip = small(name), frames()
    variables = initialised(model, clip)
    _, after = model.apply(
        variables, clip, train=True, rngs={"dropout": jax.random.key(0)}, mutable=["batch_stats"]
    )
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()), variables["batch_stats"], after["batch_stats"]
    )
    assert all(jax.tree.leaves(moved))
    _, kept = model.apply(variables, clip, train=False, mutable=["batch_stats"])
    jax.tree.map(
        np.testing.assert_array_equal, dict(variables["batch_stats"]), dict(kept["batch_stats"])
    )


@pytest.mark.parametrize("name", list_models())
def test_bfloat16_stays_near_float32(name):
    clip = frames()
    model = small(name)
    variables = initialised(model, clip)
    low = small(name, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(initialised(low, clip))} == {
        jnp.dtype("float32")
    }
    expected = model.apply(variables, clip, train=False)
    for near, exact in zip(
        jax.tree.leaves(low.apply(variables, clip, train=False)),
        jax.tree.leaves(expected),
        strict=True,
    ):
        assert near.dtype == jnp.float32
        assert 0 < np.abs(near - exact).max() < 0.1 * np.abs(exact).max()


def test_a_misspelt_name_or_field_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="got 'actionflow'. Did you mean actionflownet"):
        create_model("actionflow", num_classes=2)
    with pytest.raises(ValueError, match="no field 'widht'. Did you mean width"):
        create_model("actionflownet", num_classes=2, widht=3)
    with pytest.raises(ValueError, match="no field 'parent'"):
        create_model("actionflownet", num_classes=2, parent=None)
    fields = {field.name for field in dataclasses.fields(MODELS["actionflownet"])}
    assert {"width", "num_frames", "dropout_rate", "dtype"} <= fields
