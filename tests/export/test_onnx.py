"""Tests of the conversion to ONNX, which needs jax2onnx and onnxruntime."""

import importlib.util
import json
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.export.forward import forward
from afn_jax.export.onnx import largest_difference, output_names, write_onnx
from afn_jax.types import Prediction
from tests.export.small_file import small_card, small_network, some_frames
from tests.filled_variables import filled_variables

needs_jax2onnx = pytest.mark.skipif(
    not (importlib.util.find_spec("jax2onnx") and importlib.util.find_spec("onnxruntime")),
    reason="jax2onnx and onnxruntime are not installed, see docs/export.md",
)


class Network(nn.Module):
    """A 2D convolution of all frames with flow, and a classifier."""

    @nn.compact
    def __call__(self, frames, *, train):
        x = nn.relu(nn.Conv(4, (3, 3), name="conv")(frames.reshape(-1, *frames.shape[2:])))
        x = x.reshape(*frames.shape[:2], *x.shape[1:])
        logits = nn.Dense(3, name="classifier")(x.mean((1, 2, 3)))
        return Prediction(logits=logits, flows=(x[..., :2],))


@pytest.mark.slow
@needs_jax2onnx
def test_onnxruntime_predicts_what_the_network_predicts(tmp_path):
    import onnxruntime

    card, model = small_card(), Network()
    variables = filled_variables(model, jnp.zeros((1, 4, 8, 12, 3)), train=False)
    predict = forward(model)
    write_onnx(tmp_path / "a.onnx", predict, variables, card, batch=2)
    session = onnxruntime.InferenceSession(
        str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"]
    )
    names = ["logits", "features", "flow_1"]
    assert [output.name for output in session.get_outputs()] == names
    frames = some_frames(2, card, seed=1)
    logits, features, flow = session.run(None, {"frames": frames})
    expected = jax.jit(predict)(variables, frames)
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-4)
    np.testing.assert_allclose(features, expected["features"], atol=1e-4)
    np.testing.assert_allclose(flow, expected["flows"][0], atol=1e-4)


@pytest.mark.slow
@needs_jax2onnx
def test_says_why_a_network_cannot_be_converted(tmp_path):
    """jax2onnx has no 3D convolution; those of our networks are 2D convolutions on the CPU."""
    model, variables = small_network()
    with pytest.raises(ValueError, match="small cannot be converted to ONNX .* conv layouts"):
        write_onnx(tmp_path / "a.onnx", forward(model), variables, small_card())
    assert not list(tmp_path.iterdir())


def test_says_how_to_install_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ValueError, match=r"onnx: .*jax2onnx.* pip install --no-deps jax2onnx"):
        write_onnx(tmp_path / "a.onnx", forward(small_network()[0]), {}, small_card())


def test_names_outputs_and_compares_them():
    outputs = {"flows": (1, 2), "logits": 3}
    assert output_names(outputs) == ["logits", "flow_1", "flow_2"]
    assert largest_difference([np.array([1.0, 4.0])], [np.array([2.0, 4.0])]) == 0.25
    assert np.isnan(largest_difference([np.array([np.nan])], [np.array([2.0])]))


def test_table_has_all_networks():
    from afn_jax.models import list_models
    from benchmarks.export_table import PAGE, START, reason, table

    results = {name: {"difference": 3e-7, "bytes": 1234, "onnx": 2e-6} for name in list_models()}
    results["c3d"]["onnx"] = (
        "c3d cannot be converted to ONNX by jax2onnx 1: no conv. Export it without --onnx."
    )
    lines = table(json.loads(json.dumps(results))).splitlines()
    assert "| actionflownet | 3e-07 | 1 | 2e-06 |" in lines
    assert "| c3d | 3e-07 | 1 | no: no conv |" in lines
    message = "r3d18 converted to ONNX cannot be run by onnxruntime 1: Attribute pads must not "
    message += "contain negative values. Export it without --onnx."
    assert reason(message) == "ONNX has no convolution with negative padding"
    with pytest.raises(ValueError, match="was not measured"):
        table({})
    written = PAGE.read_text(encoding="utf-8").partition(START)[2]
    named = [line.split(" | ")[0].removeprefix("| ") for line in written.splitlines()]
    assert [name for name in named if name in list_models()] == list_models()
