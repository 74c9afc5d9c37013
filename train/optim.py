"""The optimizer of a run: schedule, clipping, weight decay, parameter groups, moving average.

The order is that of Caffe and PyTorch: the gradient is clipped, weight decay is added to it (in
AdamW, to the step), then come the moments, the learning rate and the factor of the group.
"""

import re
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from train.config import OptimConfig
from train.param_groups import group_factors, path_name


def learning_rate(config: OptimConfig, steps: int) -> optax.Schedule:
    """The learning rate schedule: linear warm-up, then constant, half cosine to zero, or steps."""
    rest = max(steps - config.warmup_steps, 1)
    if config.schedule == "cosine":
        schedule = optax.cosine_decay_schedule(config.learning_rate, rest)
    elif config.schedule == "steps":
        # The schedule counts steps from the end of the warm-up; boundaries are steps of the run.
        at = {step - config.warmup_steps: config.factor for step in config.boundaries}
        schedule = optax.piecewise_constant_schedule(config.learning_rate, at)
    else:
        schedule = optax.constant_schedule(config.learning_rate)
    if config.warmup_steps:
        warmup = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
        schedule = optax.join_schedules([warmup, schedule], [config.warmup_steps])
    return schedule


def create_optimizer(config: OptimConfig, steps: int) -> optax.GradientTransformation:
    """Creates the optimizer; its `init` raises ValueError if a parameter is in no group."""
    rate, decay = learning_rate(config, steps), config.weight_decay
    mask = partial(decayed, no_decay=config.no_decay)
    parts = []
    if config.clip_norm:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if decay and config.optimizer != "adamw":
        parts.append(optax.add_decayed_weights(decay, mask=mask))
    if config.optimizer == "sgd":
        parts.append(optax.sgd(rate, momentum=config.momentum or None, nesterov=config.nesterov))
    elif config.optimizer == "adamw":
        parts.append(optax.adamw(rate, weight_decay=decay, mask=mask))
    else:
        parts.append(optax.adam(rate))
    if config.groups:
        parts.append(_scale_by_group(config.groups))
    optimizer = optax.chain(*parts) if len(parts) > 1 else parts[0]
    return _with_average(optimizer, config.ema_decay) if config.ema_decay else optimizer


def decayed(params: Any, no_decay: tuple[str, ...] = ()) -> Any:
    """Marks the arrays with weight decay: those named "kernel" that no expression excludes.

    Raises:
        ValueError: an entry of `no_decay` is not a regular expression, or matches no path.
    """
    try:
        patterns = [re.compile(pattern) for pattern in no_decay]
    except re.error as error:
        raise ValueError(
            f"optim.no_decay: got {no_decay}, which are not all regular expressions ({error})."
        ) from None
    paths = jax.tree_util.tree_map_with_path(lambda path, _: path_name(path), params)
    for pattern in patterns:
        if not any(pattern.search(path) for path in jax.tree.leaves(paths)):
            raise ValueError(
                f"optim.no_decay: {pattern.pattern!r} matches no parameter; their paths look like "
                "encoder/conv1/kernel."
            )

    def is_decayed(path: str) -> bool:
        kernel = path.rpartition("/")[2] == "kernel"
        return kernel and not any(pattern.search(path) for pattern in patterns)

    return jax.tree.map(is_decayed, paths)


def _scale_by_group(groups: tuple[str, ...]) -> optax.GradientTransformation:
    def init(params):
        group_factors(groups, params)  # raises for a parameter that is in no group
        return optax.EmptyState()

    def update(updates, state, params=None):
        factors = group_factors(groups, updates)
        return jax.tree.map(lambda u, f: f * u if f else jnp.zeros_like(u), updates, factors), state

    return optax.GradientTransformation(init, update)


class AverageState(NamedTuple):
    """The state of an optimizer and the moving average of the parameters."""

    inner: Any
    average: Any
    count: jax.Array


def _with_average(
    optimizer: optax.GradientTransformation, decay: float
) -> optax.GradientTransformation:
    """Keeps `average = d * average + (1 - d) * params` next to an optimizer's state.

    d is `decay`, but at most (1 + n) / (10 + n) after n steps: otherwise the average would stay
    near the initial parameters for too long.
    """

    def init(params):
        average = jax.tree.map(lambda p: jnp.array(p, copy=True), params)
        return AverageState(optimizer.init(params), average, jnp.zeros((), jnp.int32))

    def update(gradients, state, params):
        updates, inner = optimizer.update(gradients, state.inner, params)
        d = jnp.minimum(decay, (1.0 + state.count) / (10.0 + state.count))
        average = jax.tree.map(
            lambda a, p: d * a + (1 - d) * p, state.average, optax.apply_updates(params, updates)
        )
        return updates, AverageState(inner, average, state.count + 1)

    return optax.GradientTransformation(init, update)
