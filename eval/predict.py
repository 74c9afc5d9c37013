"""Loads a trained run as a prediction function."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from afn_jax.types import Prediction
from train.checkpoint import load_state
from train.config import TrainConfig
from train.network import build_model
from train.optim import create_optimizer
from train.parallel import join_batch, predict_on, replicate, split_batch
from train.state import create_state, evaluation_variables
from train.step import make_predict

Predict = Callable[[np.ndarray], Prediction]


def load_predict(run_dir: Path, settings: TrainConfig, num_classes: int) -> tuple[Predict, int]:
    """Loads the newest checkpoint of a run.

    Returns:
        `predict(frames)`, which maps `[batch, time, H, W, 3]` uint8 to a `Prediction`, and the step
        of the checkpoint. A run that trained no action predicts no logits.

    Raises:
        CheckpointError: the run has no checkpoint, or none can be read.
    """
    model = build_model(settings, num_classes, axis_name=None)
    optimizer = create_optimizer(settings.optim, settings.steps)
    shape = (1, settings.data.num_frames, *settings.data.size, 3)
    template = create_state(model, optimizer, shape, settings.seed)
    state = load_state(run_dir, template)
    devices = jax.local_devices()
    variables = replicate(evaluation_variables(state), devices)
    apply = predict_on(devices, make_predict(model))

    def predict(frames: np.ndarray) -> Prediction:
        count = len(frames)
        missing = -count % len(devices)
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, 0)])
        outputs = jax.device_get(join_batch(apply(variables, split_batch(frames, len(devices)))))
        if not settings.objective.action:  # the classifier, if there is one, was not trained
            outputs = outputs.replace(logits=None)
        return jax.tree.map(lambda x: x[:count], outputs)

    return predict, int(state.step)


def moved(settings: TrainConfig, root: str, annotations: str) -> TrainConfig:
    """Returns the settings of a run with other folders of videos and lists; "" keeps the folder."""
    data = settings.data
    data = replace(data, root=root or data.root, annotations=annotations or data.annotations)
    return replace(settings, data=data)


def starts_of(settings: TrainConfig, num_classes: int) -> tuple[int, ...]:
    """Returns the frame at which each flow of a run's network starts."""
    model = build_model(settings, num_classes, axis_name=None)
    return model.flow_starts(settings.data.num_frames)
