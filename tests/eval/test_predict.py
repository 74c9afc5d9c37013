"""What the predict function of a run returns."""

import numpy as np
import pytest

from eval.predict import load_predict
from tests.small_run import SmallNetwork, small_config
from train.config import ObjectiveConfig
from train.loop import train


@pytest.mark.slow
@pytest.mark.parametrize("action", [True, False])
def test_a_run_without_action_predicts_no_logits(tmp_path, monkeypatch, action):
    """Networks may keep a classifier that the objective does not train."""
    for module in ("train.program", "eval.predict"):
        monkeypatch.setattr(
            f"{module}.build_model", lambda config, classes, *, axis_name: SmallNetwork(classes)
        )
    objective = ObjectiveConfig(flow="endpoint", action=action)
    config = small_config(tmp_path / "run", steps=1, objective=objective)
    train(config)
    predict, step = load_predict(tmp_path / "run", config, 8)
    outputs = predict(np.zeros((2, 4, 16, 16, 3), np.uint8))
    assert step == 1 and len(outputs.flows) == 1
    assert (outputs.logits is not None) == action
