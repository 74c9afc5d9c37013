"""Shapes of a step's arguments, without reading a dataset."""

import dataclasses

import jax
import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.sources import source_spec
from afn_jax.data.teacher import ON_DEVICE
from afn_jax.types import Batch
from train.config import TrainConfig

# Classes of the datasets that always have the same ones.
NUM_CLASSES = {
    "synthetic-motion": 8,
    "ucf101": 101,
    "hmdb51": 51,
    "kinetics": 400,
    "something-something": 174,
    "activitynet": 200,
    "thumos14": 20,
}
_ASSUMED = 400  # guessed, for datasets of the user's own: more classes need slightly more memory
_TRUE_FLOW = {
    *("synthetic-motion", "synthetic-untrimmed", "flying-chairs", "sintel", "kitti2012"),
    *("kitti2015", "middlebury"),
}


def count_classes(data: DataConfig, given: int = 0) -> tuple[int, str]:
    """Returns the number of classes and where it comes from, in words.

    Args:
        data: names the dataset.
        given: the user's number; 0: none.
    """
    if given:
        return given, "as given"
    if not source_spec(data.source).has_actions:
        return 1, f"{data.source} has no actions"
    if len(data.classes) > 1:
        return len(data.classes), "data.classes"
    if data.source in NUM_CLASSES and not data.classes:
        return NUM_CLASSES[data.source], f"the number of {data.source}"
    return _ASSUMED, "assumed; give yours with --plan-classes"


def estimates_flow(data: DataConfig) -> bool:
    """Whether the flow target is estimated, by the readers or on the device."""
    return data.teacher != "none" and data.source not in _TRUE_FLOW


def batch_shape(config: TrainConfig, num_devices: int) -> Batch:
    """Returns the shapes and types of the batch that training splits among the devices.

    Videos that may or may not have stored flow are taken to have none.
    """
    data = config.data
    segments = data.num_segments if data.sampling == "segments" else 1
    true_flow, estimated = data.source in _TRUE_FLOW, estimates_flow(data)
    on_device = estimated and data.teacher == ON_DEVICE
    leading = (num_devices, config.batch_size // num_devices)
    clip = (*leading, data.num_frames, *data.size)
    frames = (*leading, data.num_frames + segments * on_device, *data.size, 3)

    def array(shape: tuple[int, ...], dtype: type) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    has_flow = true_flow or (estimated and not on_device)
    return Batch(
        frames=array(frames, np.uint8),
        labels=array(leading, np.int32),
        flows=array((*clip, 2), np.float32) if has_flow else None,
        flow_mask=array(clip, np.bool_) if has_flow or on_device else None,
        mask=array(leading, np.bool_),
    )


def with_batch(config: TrainConfig, batch_size: int, accumulate: int) -> TrainConfig:
    """The settings with another batch size and number of parts."""
    optim = dataclasses.replace(config.optim, accumulate=accumulate)
    return dataclasses.replace(config, batch_size=batch_size, optim=optim)
