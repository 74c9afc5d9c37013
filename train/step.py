"""The training step and the prediction of one device, as pure functions of its share of a batch.

Random keys: the run's key is folded with the step, then with the device, then split by use. No key
is stored, so a resumed run draws the same numbers as an uninterrupted one.
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
from train.device_teacher import with_device_flow
from train.objectives import Objective
from train.parallel import AXIS, split_batch
from train.param_groups import group_factors, is_frozen
from train.state import TrainState

Metrics = dict[str, Array]


def make_train_step(
    model: nn.Module,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    augment: AugmentConfig,
    seed: int,
    *,
    groups: tuple[str, ...] = (),
    accumulate: int = 1,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Makes the step of one device, which runs under the axis `AXIS` of `train.parallel`.

    Args:
        model: the network.
        objective: computes the terms of the loss and holds their weights.
        optimizer: from `train.optim`.
        augment: augmentation of the frames on the device.
        seed: of all random numbers.
        groups: see `train.param_groups`. Parameters with factor 0 get no gradient, and the norms
            that they belong to use their running statistics without updating them.
        accumulate: number of parts into which the device splits its share of the batch. The
            gradient is the mean over the parts, each normalized by its own counts.
    """
    frozen = is_frozen(groups)

    def loss_and_gradients(params, batch_stats, batch, key):
        """Of one part of this device's share, normalized over the parts of all devices."""
        augment_key, dropout_key = jax.random.split(key)
        batch = with_device_flow(batch)
        frames = augment_frames(augment_key, to_float(batch.frames), augment)

        def loss_fn(params):
            params = jax.tree.map(
                lambda p, factor: p if factor else lax.stop_gradient(p),
                params,
                group_factors(groups, params),
            )
            with nn.intercept_methods(_hold_norms(frozen)):
                prediction, updates = model.apply(
                    {"params": params, "batch_stats": batch_stats},
                    frames,
                    train=True,
                    mutable=["batch_stats"],
                    rngs={"dropout": dropout_key},
                )
            # Flow losses without a target compare the frames that the network saw.
            terms = objective(prediction, batch.replace(frames=frames))
            # With sums divided by the mean count over devices, the mean of the devices' losses (and
            # gradients) is the mean over the whole batch, however the masks are distributed.
            loss = 0.0
            for name, term in terms.items():
                weight = objective.weights.get(name, 0.0)
                if weight:
                    count = jnp.maximum(lax.pmean(lax.stop_gradient(term.count), AXIS), 1e-6)
                    loss = loss + weight * term.sum / count
            return loss, (updates.get("batch_stats", {}), terms)

        (loss, (batch_stats, terms)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
        return batch_stats, (loss, gradients, terms)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        key = jax.random.fold_in(key, lax.axis_index(AXIS))
        if accumulate == 1:
            batch_stats, (loss, gradients, terms) = loss_and_gradients(
                state.params, state.batch_stats, batch, key
            )
        else:
            batch_stats, (loss, gradients, terms) = _in_parts(
                lambda *part: loss_and_gradients(state.params, *part),
                state.batch_stats,
                split_batch(batch, accumulate),
                jax.random.split(key, accumulate),
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
        metrics = {name: term.mean for name, term in totals.items()}
        metrics["loss"] = lax.pmean(loss, AXIS)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return new_state, metrics

    return train_step


def _in_parts(loss_and_gradients, batch_stats, parts: Batch, keys: Array):
    """Mean loss and gradient, summed terms; batch statistics pass from part to part."""

    def one_more(carry, part):
        batch_stats, total = carry
        batch_stats, found = loss_and_gradients(batch_stats, *part)
        return (batch_stats, jax.tree.map(jnp.add, total, found)), None

    first = jax.tree.map(lambda x: x[0], (parts, keys))
    shapes = jax.eval_shape(loss_and_gradients, batch_stats, *first)[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (batch_stats, total), _ = lax.scan(one_more, (batch_stats, zeros), (parts, keys))
    loss, gradients, terms = total
    loss, gradients = jax.tree.map(lambda x: x / len(keys), (loss, gradients))
    return batch_stats, (loss, gradients, terms)


def _hold_norms(frozen: Callable[[str], bool]) -> Callable:
    """Interceptor: batch norms with a frozen scale use their running statistics and keep them.

    With the statistics of the batch, a frozen network would compute another function in training.
    """

    def intercept(call, args, kwargs, context):
        module = context.module
        if isinstance(module, nn.BatchNorm) and frozen("/".join((*module.path, "scale"))):
            # The field was set for the whole network; Linen accepts no argument in addition.
            object.__setattr__(module, "use_running_average", True)
        return call(*args, **kwargs)

    return intercept


def make_test_step(model: nn.Module, objective: Objective) -> Callable[[dict, Batch], dict]:
    """Makes `test_step(variables, batch) -> terms` for one device, without augmentation."""
    predict = make_predict(model)

    def test_step(variables, batch):
        prediction = predict(variables, batch.frames)
        return objective(prediction, batch.replace(frames=to_float(batch.frames)))

    return test_step


def make_predict(model: nn.Module) -> Callable[[dict, Array], Prediction]:
    """Makes `predict(variables, uint8 frames) -> Prediction`, with running statistics."""

    def predict(variables, frames):
        return model.apply(variables, to_float(frames), train=False)

    return predict


def to_float(frames: Array) -> Array:
    """Converts uint8 0..255 to float32 [0, 1]."""
    return frames.astype(jnp.float32) / 255.0


def augment_frames(key: Array, frames: Array, augment: AugmentConfig) -> Array:
    """Applies color jitter and noise to frames in [0, 1]; what is off is not compiled."""
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
