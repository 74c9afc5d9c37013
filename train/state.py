"""The training state."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from afn_jax.types import Array
from train.optim import AverageState


@flax.struct.dataclass
class TrainState:
    """Step, parameters, batch statistics and optimizer state. No random keys: see `step.py`."""

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
    """Draws fresh parameters from `seed` for clips of shape `[batch, time, H, W, 3]`."""

    def init(key):
        # One example is enough to determine every shape.
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


def with_variables(state: TrainState, params: Any, batch_stats: Any) -> TrainState:
    """Replaces the parameters of a fresh state; their moving average starts at them."""
    opt_state = state.opt_state
    if isinstance(opt_state, AverageState):
        opt_state = opt_state._replace(average=jax.tree.map(jnp.array, params))
    return state.replace(params=params, batch_stats=batch_stats, opt_state=opt_state)


def evaluation_variables(state: TrainState) -> dict[str, Any]:
    """The variables to evaluate with: the moving average of the parameters, if there is one."""
    averaged = isinstance(state.opt_state, AverageState)
    params = state.opt_state.average if averaged else state.params
    return {"params": params, "batch_stats": state.batch_stats}


def num_parameters(state: TrainState) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))
