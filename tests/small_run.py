"""A minimal complete training run, for tests of everything but the network."""

from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp

from afn_jax.data.config import DataConfig
from afn_jax.models.contract import VideoNetwork
from afn_jax.types import Prediction
from train.config import AugmentConfig, ModelConfig, ObjectiveConfig, OptimConfig, TrainConfig


class SmallNetwork(VideoNetwork):
    """One convolution with batch statistics, dropout, logits and one flow map: quick to compile."""

    num_classes: int
    dropout_rate: float = 0.0
    axis_name: str | None = None
    predict_flow: bool = True
    classify: bool = True

    @nn.compact
    def __call__(self, frames, *, train):
        x = nn.Conv(4, (1, 3, 3), strides=(1, 2, 2))(frames)
        x = nn.BatchNorm(
            use_running_average=not train, momentum=0.9, axis_name=self.axis_name, name="norm"
        )(x)
        x = nn.relu(x)
        flows = (nn.Conv(2, (1, 1, 1), name="flow")(x),) if self.predict_flow else ()
        logits = None
        if self.classify:
            difference = jnp.abs(x[:, 1:] - x[:, :-1]).mean((1, 2, 3))
            pooled = jnp.concatenate([x.mean((1, 2, 3)), difference], -1)
            pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
            logits = nn.Dense(self.num_classes, name="classifier")(pooled)
        return Prediction(logits=logits, flows=flows)


def build_small_network(config: TrainConfig, num_classes: int, *, axis_name: str | None):
    """Replaces `train.program.build_model`."""
    return SmallNetwork(
        num_classes,
        dropout_rate=config.model.dropout_rate,
        axis_name=axis_name,
        predict_flow=config.objective.flow != "none",
        classify=config.objective.action,
    )


def small_config(run_dir: Path, **changes) -> TrainConfig:
    """Returns the settings of a run of a few seconds on synthetic motion, with all augmentation."""
    fields = {
        "recipe": "actionflownet",
        "scale": "toy",
        "run_dir": str(run_dir),
        "steps": 4,
        "batch_size": 4,
        "data": DataConfig(
            num_frames=4,
            size=(16, 16),
            crop_scales=(1.0, 0.75),
            flip=False,
            train_videos=64,
            test_videos=10,
            num_threads=1,
            prefetch=1,
        ),
        "model": ModelConfig(width=2, flow_stride=4, dropout_rate=0.5),
        "objective": ObjectiveConfig(flow="endpoint", flow_weight=0.5),
        "optim": OptimConfig(learning_rate=1e-3),
        "augment": AugmentConfig(brightness=0.2, contrast=0.2, saturation=0.2, noise=0.02),
        "log_every": 1,
        "test_every": 0,
        "test_batches": 8,
        "checkpoint_every": 2,
        # Empty: the cache of the test suite is used.
        "compilation_cache": "",
    }
    return TrainConfig(**(fields | changes))
