"""Saves and restores small training states, for the tests of checkpoints."""

import jax
import jax.numpy as jnp
import optax

from train.checkpoint import Checkpoints
from train.config import TrainConfig
from train.state import TrainState

CONFIG = TrainConfig(recipe="actionflownet", seed=5)
LARGE = 200_000  # a size whose checkpoint exceeds the file size limits of the tests


def make_state(step, size=6):
    params = {
        "kernel": jax.random.normal(jax.random.key(step), (size, 2)),
        "half": jnp.full((3,), 1 / 3, jnp.bfloat16),
        "empty": {},
    }
    return TrainState(
        step=jnp.int32(step),
        params=params,
        batch_stats={"mean": jnp.full((2,), step, jnp.float32)},
        opt_state=optax.adam(0.1).init(params),
    )


def save(run_dir, steps, keep=2, size=6):
    checkpoints = Checkpoints(run_dir, keep)
    for step in steps:
        checkpoints.save(make_state(step, size), {"next_index": 4 * step}, CONFIG)
    checkpoints.close()


def restore(run_dir, size=6):
    checkpoints = Checkpoints(run_dir)
    try:
        return checkpoints.restore(make_state(0, size)), checkpoints.warnings
    finally:
        checkpoints.close()
