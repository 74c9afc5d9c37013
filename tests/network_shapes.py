"""Shapes of the variables of a run's network, computed without running it."""

import functools

import jax

from train.config import TrainConfig
from train.network import build_model


def variable_shapes(config: TrainConfig, num_classes: int) -> dict:
    """Returns the trees "params" and "batch_stats"; raises if the network rejects such clips."""
    model = build_model(config, num_classes, axis_name=None)
    return _shapes(model, (1, config.data.num_frames, *config.data.size, 3))


@functools.cache
def _shapes(model, frames_shape):
    frames = jax.ShapeDtypeStruct(frames_shape, "float32")
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), frames)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
