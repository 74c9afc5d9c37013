"""Training and test rows: metrics that counted nothing are left out instead of being 0."""

import dataclasses

import numpy as np
import pytest

from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.source import Clip
from afn_jax.data.sources import create_source
from afn_jax.types import Prediction
from tests.small_run import small_config
from train.held_out_metrics import evaluate_test_clips
from train.objectives import create_objective
from train.parallel import choose_devices, predict_on
from train.state import TrainState
from train.step_metrics import StepMetrics


def test_averages_over_the_steps_that_counted_something():
    recent = StepMetrics(checkpoints=None)
    for step, epe in enumerate((2.0, np.nan, 4.0)):
        values = {"loss": step, "gradient_norm": 1, "epe": epe, "epe_scale1": np.nan}
        recent.add(step, {name: np.float32(value) for name, value in values.items()})
    assert recent.mean() == {"loss": 1.0, "gradient_norm": 1.0, "epe": 3.0}


@pytest.mark.parametrize("known", [True, False])
def test_the_test_row_leaves_out_the_error_of_unknown_flow(tmp_path, known):
    config = small_config(tmp_path)

    class Unknown:
        """A source whose flow is known everywhere or nowhere."""

        def __init__(self, source):
            self.source = source
            self.class_names, self.skipped = source.class_names, ()

        def __len__(self):
            return len(self.source)

        def __getitem__(self, index):
            return UnknownVideo(self.source[index])

    class UnknownVideo:
        def __init__(self, video):
            self.video = video

        def __getattr__(self, name):
            return getattr(self.video, name)

        def clip(self, indices):
            clip = self.video.clip(indices)
            return Clip(clip.frames, clip.flows, np.full(clip.flows.shape[:-1], known))

    def test_step(variables, batch):
        prediction = Prediction(logits=None, flows=(0 * batch.flows,))
        return create_objective(action=False)(prediction, batch)

    source = Unknown(create_source(config.data, "test", 0))
    state = TrainState(step=0, params={}, batch_stats={}, opt_state=())
    config = dataclasses.replace(config, batch_size=5)
    devices = choose_devices(5, 1)
    reader = ClipReader(source, config.data)
    row = evaluate_test_clips(state, predict_on(devices, test_step), reader, config, 1)
    assert set(row) == ({"epe", "zero_flow_epe"} if known else set())
    assert not known or row["epe"] == row["zero_flow_epe"] > 0
