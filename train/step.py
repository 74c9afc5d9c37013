"""One training step and one prediction, as pure functions of one device's share.

Keys: the run's key is folded with the step, then with the device, then split by use. Nothing random
is stored, so a resumed run draws what the uninterrupted one would have drawn.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from afn_jax.ops import color_jitter, gaussian_noise
from afn_jax.types import Array, Batch, Prediction
from train.config import AugmentConfig
from train.objectives import Objective
from train.parallel import AXIS
from train.state import TrainState

Metrics = dict[str, Array]


def make_train_step(
    model: nn.Module,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    augment: AugmentConfig,
    seed: int,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The step of one device; runs under the axis `AXIS` of `train.parallel`."""

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        key = jax.random.fold_in(key, lax.axis_index(AXIS))
        augment_key, dropout_key = jax.random.split(key)
        frames = augment_frames(augment_key, to_float(batch.frames), augment)

        def loss_fn(params):
            prediction, updates = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                frames,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": dropout_key},
            )
            terms = objective(prediction, batch)
            # Divided by the mean count of the devices, the mean of the devices' losses (and of
            # their gradients) is the mean over the whole batch, however masks are spread.
            loss = 0.0
            for term in terms.values():
                if term.weight:
                    count = jnp.maximum(lax.pmean(lax.stop_gradient(term.count), AXIS), 1e-6)
                    loss = loss + term.weight * term.sum / count
            return loss, (updates.get("batch_stats", {}), terms)

        (loss, (batch_stats, terms)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params
        )
        gradients = lax.pmean(gradients, AXIS)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        new_state = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        totals = lax.psum(terms, AXIS)
        metrics = {name: term.sum / jnp.maximum(term.count, 1e-6) for name, term in totals.items()}
        metrics["loss"] = lax.pmean(loss, AXIS)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return new_state, metrics

    return train_step


def make_test_step(model: nn.Module, objective: Objective) -> Callable[[dict, Batch], dict]:
    """`test_step(variables, batch) -> terms` of one device's share, without augmentation."""
    predict = make_predict(model)

    def test_step(variables, batch):
        return objective(predict(variables, batch.frames), batch)

    return test_step


def make_predict(model: nn.Module) -> Callable[[dict, Array], Prediction]:
    """`predict(variables, uint8 frames) -> Prediction` with the running statistics."""

    def predict(variables, frames):
        return model.apply(variables, to_float(frames), train=False)

    return predict


def to_float(frames: Array) -> Array:
    """uint8 0..255 -> float32 [0, 1]."""
    return frames.astype(jnp.float32) / 255.0


def augment_frames(key: Array, frames: Array, augment: AugmentConfig) -> Array:
    """Colour jitter and noise, in [0, 1]; each left out of the program where it is off."""
    jitter_key, noise_key = jax.random.split(key)
    if augment.brightness or augment.contrast or augment.saturation:
        frames = color_jitter(
            jitter_key,
            frames,
            brightness=augment.brightness,
            contrast=augment.contrast,
            saturation=augment.saturation,
        )
    if augment.noise:
        frames = gaussian_noise(noise_key, frames, std=augment.noise)
    return frames
