"""Every network exports, for any batch size and platform, and predicts the same from its file."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.export.forward import forward, output_shapes
from afn_jax.export.load import load
from afn_jax.export.write import PLATFORMS, export_module, named_weights, write_network
from afn_jax.models import list_models
from afn_jax.ops.backend import tracing_for
from benchmarks.tiny_models import tiny_model
from tests.export.fake_network import card_of
from tests.export.small_file import some_frames
from tests.filled_variables import filled_variables
from train.step import make_predict

SIDE = 32
# With a flow layer, without logits, with TV-L1, with two streams, with cost volumes, of 3D
# convolutions.
COMPUTED = (
    *("repflow-resnet18", "flownet-2f", "tvnet", "hidden-two-stream-vgg16", "uf-tsn"),
    "jointflow3d",
)

# The type checks of the test suite reject symbolic sizes.
pytestmark = pytest.mark.usefixtures("untyped")


@functools.cache
def filled(name):
    """Returns a network, its variables and its card."""
    model = tiny_model(name)
    shape = (1, model.num_frames, SIDE, SIDE, 3)
    variables = filled_variables(model, jnp.zeros(shape), train=False)
    shapes = output_shapes(forward(model), variables, shape)
    card = card_of(name, model, shapes, SIDE)
    assert len(card.flow_starts) == (shapes["flows"][0].shape[1] if "flows" in shapes else 0)
    assert bool(card.feature_size) == ("logits" in shapes)
    return model, variables, card


def close(value, expected, tolerance):
    """Compares relative to the largest value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPUTED)
def test_predicts_the_same_from_a_file(name, tmp_path):
    model, variables, card = filled(name)
    write_network(tmp_path / "a.afn", model, variables, card)
    network = load(tmp_path / "a.afn", flow=True, features=True)
    frames = some_frames(3, card)
    original = jax.jit(make_predict(model))
    for batch in (3, 1):
        expected, outputs = original(variables, frames[:batch]), network(frames[:batch])
        assert (outputs.logits is None) == (expected.logits is None)
        assert len(outputs.flows) == len(expected.flows)
        if expected.logits is not None:
            close(outputs.logits, expected.logits, 1e-6)
            assert outputs.features.shape == (batch, card.feature_size)
        for flow, other in zip(outputs.flows, expected.flows, strict=True):
            close(flow, other, 1e-6)
        if batch == 3:
            three = outputs
        elif expected.logits is not None:  # features of a window do not depend on the others
            close(outputs.features, three.features[:1], 1e-5)


@pytest.mark.parametrize(
    "name", ["repflow-resnet18", pytest.param("tvnet", marks=pytest.mark.slow)]
)
def test_programs_for_accelerators_predict_the_same(name):
    """They cannot run here, so what they are traced from is compiled for the CPU."""
    model, variables, card = filled(name)
    frames = some_frames(2, card)
    expected = jax.jit(forward(model))(variables, frames)
    with tracing_for("cuda"):
        outputs = jax.jit(forward(model))(variables, frames)
    for value, other in zip(jax.tree.leaves(outputs), jax.tree.leaves(expected), strict=True):
        close(value, other, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(list_models()) - set(COMPUTED)))
def test_exports_for_any_batch_size(name):
    """On the CPU only, whose formulations are harder to trace; writing a file traces both."""
    model, variables, card = filled(name)
    _, weights = named_weights(variables)
    structure = jax.tree.structure(variables)
    module = export_module(forward(model), structure, weights, card, PLATFORMS[0])
    exported = jax.export.deserialize(bytearray(module))
    assert exported.platforms == PLATFORMS[0]
    assert jax.export.is_symbolic_dim(exported.in_avals[-1].shape[0])
    assert all(value.dtype == jnp.float32 for value in exported.out_avals)
