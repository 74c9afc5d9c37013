"""What training changes, step by step."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from afn_jax.types import Array


@flax.struct.dataclass
class TrainState:
    """Step, parameters, batch statistics and the optimiser's moments. No keys: see `step.py`."""

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    frames_shape: tuple[int, ...],
    seed: int,
) -> TrainState:
    """Fresh parameters from `seed` for clips of `frames_shape` `[batch, time, H, W, 3]`."""

    def init(key):
        # One example is enough to know every shape.
        frames = jnp.zeros((1, *frames_shape[1:]), jnp.float32)
        variables = model.init(key, frames, train=False)
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
        )

    return jax.jit(init)(jax.random.key(seed))


def num_parameters(state: TrainState) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))
