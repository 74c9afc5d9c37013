"""Variables of a run's network as shapes, without computing."""

import jax

from train.config import TrainConfig
from train.network import build_model


def variable_shapes(config: TrainConfig, num_classes: int) -> dict:
    """Trees of "params" and "batch_stats"; raises if the network does not take such clips."""
    model = build_model(config, num_classes, axis_name=None)
    frames = jax.ShapeDtypeStruct((1, config.data.num_frames, *config.data.size, 3), "float32")
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), frames)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
