"""The optimiser of a run."""

import optax

from train.config import OptimConfig


def learning_rate(config: OptimConfig, steps: int) -> optax.Schedule:
    """Learning rate by step: a linear warm-up, then constant or a half cosine down to zero."""
    rest = max(steps - config.warmup_steps, 1)
    if config.schedule == "cosine":
        schedule = optax.cosine_decay_schedule(config.learning_rate, rest)
    else:
        schedule = optax.constant_schedule(config.learning_rate)
    if config.warmup_steps:
        warmup = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
        schedule = optax.join_schedules([warmup, schedule], [config.warmup_steps])
    return schedule


def create_optimizer(config: OptimConfig, steps: int) -> optax.GradientTransformation:
    """Adam, after clipping the gradient's norm if asked to (ActionFlowNet section 4.2)."""
    adam = optax.adam(learning_rate(config, steps))
    if config.clip_norm > 0:
        return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam)
    return adam
