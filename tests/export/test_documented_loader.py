"""The loader in `docs/export.md`, where neither this package nor Flax can be imported."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from afn_jax.export import load
from tests.export.small_file import some_frames, write_small

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"


def documented_loader() -> str:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "def load(" in block]
    return code


def test_loader_has_at_most_thirty_lines():
    assert 10 < len(documented_loader().splitlines()) <= 30


def test_loader_predicts_the_same_without_us(tmp_path):
    card = write_small(tmp_path / "small.afn")
    frames = some_frames(2, card)
    np.save(tmp_path / "frames.npy", frames)
    blocked = ("flax", "afn_jax", "optax", "chex", "orbax", "jaxtyping")
    code = f"""
import sys
for name in {blocked}:
    sys.modules[name] = None
{documented_loader()}
card, network = load("small.afn")
outputs = network(np.load("frames.npy"))
(flow,) = outputs["flows"]
np.savez("outputs.npz", logits=outputs["logits"], features=outputs["features"], flow=flow)
print(json.dumps(card))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert json.loads(result.stdout) == json.loads(json.dumps(card.to_json()))
    with np.load(tmp_path / "outputs.npz") as outputs:
        expected = load(tmp_path / "small.afn", flow=True, features=True)(frames)
        np.testing.assert_allclose(outputs["logits"], expected.logits, atol=1e-6)
        np.testing.assert_allclose(outputs["features"], expected.features, atol=1e-6)
        np.testing.assert_allclose(outputs["flow"], expected.flows[0], atol=1e-6)
