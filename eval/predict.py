"""Loads a trained run as a prediction function."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from afn_jax.models import VideoNetwork
from afn_jax.types import Prediction
from train.checkpoint import load_state
from train.config import TrainConfig
from train.hosts.checks import check_same_network
from train.network import build_model, predicted_starts
from train.optim import create_optimizer
from train.parallel import join_batch, predict_on, replicate, split_batch
from train.saved_classes import num_classes_of
from train.state import create_state, evaluation_variables
from train.step import make_predict

Predict = Callable[[np.ndarray], Prediction]


def load_variables(
    run_dir: Path, settings: TrainConfig, num_classes: int
) -> tuple[VideoNetwork, dict[str, Any], int]:
    """Loads the network of a run, the variables of its newest checkpoint and the step of that.

    Args:
        run_dir: folder of the run.
        settings: of the run.
        num_classes: size of the logits, if the run folder does not tell it.

    Raises:
        CheckpointError: the run has no checkpoint, or none can be read.
        ValueError: another process has read another checkpoint.
    """
    model = build_model(settings, num_classes_of(run_dir) or num_classes, axis_name=None)
    optimizer = create_optimizer(settings.optim, settings.steps)
    shape = (1, settings.data.num_frames, *settings.data.size, 3)
    # Shapes suffice to restore a state; the computation of a fresh one takes long to compile.
    state = jax.eval_shape(lambda: create_state(model, optimizer, shape, settings.seed))
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    template = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), state
    )
    state = load_state(run_dir, template)
    variables, step = evaluation_variables(state), int(state.step)
    check_same_network(run_dir, variables, step)
    return model, variables, step


def load_predict(run_dir: Path, settings: TrainConfig, num_classes: int) -> tuple[Predict, int]:
    """Loads the newest checkpoint of a run.

    Args:
        run_dir: folder of the run.
        settings: of the run.
        num_classes: size of the logits, if the run folder does not tell it.

    Returns:
        `predict(frames)`, which maps `[batch, time, H, W, 3]` uint8 to a `Prediction`, and the step
        of the checkpoint. A run that trained no action predicts no logits.

    Raises:
        CheckpointError: the run has no checkpoint, or none can be read.
    """
    model, variables, step = load_variables(run_dir, settings, num_classes)
    devices = jax.local_devices()
    apply = predict_on(devices, make_predict(model))
    whole = host_predict(apply, replicate(variables, devices), len(devices))

    def predict(frames: np.ndarray) -> Prediction:
        outputs = whole(frames)
        if not settings.objective.action:  # the classifier, if there is one, was not trained
            outputs = outputs.replace(logits=None)
        return outputs

    return predict, step


def host_predict(
    apply: Callable[[Any, Any], Any], variables: dict[str, Any], num_devices: int
) -> Predict:
    """Makes a function of host arrays from one of device arrays.

    Args:
        apply: from `train.parallel.predict_on`, for `num_devices` devices.
        variables: the network's, replicated to the devices.
        num_devices: number of devices; batches are padded to a multiple of it.
    """

    def predict(frames: np.ndarray) -> Prediction:
        count = len(frames)
        missing = -count % num_devices
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, 0)])
        outputs = jax.device_get(join_batch(apply(variables, split_batch(frames, num_devices))))
        return jax.tree.map(lambda x: x[:count], outputs)

    return predict


def moved(
    settings: TrainConfig, root: str, annotations: str, classes: tuple[str, ...] = ()
) -> TrainConfig:
    """Returns the settings of a run with other folders of videos and lists, and other classes.

    What is empty stays as it was in training.
    """
    data = settings.data
    data = replace(
        data,
        root=root or data.root,
        annotations=annotations or data.annotations,
        classes=tuple(classes) or data.classes,
    )
    return replace(settings, data=data)


def starts_of(settings: TrainConfig, num_classes: int) -> tuple[int, ...]:
    """Returns the frame at which each flow of a run's network starts."""
    return predicted_starts(build_model(settings, num_classes, axis_name=None), settings)
