"""The function of a network that is exported: weights and uint8 frames in, a dictionary out."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from afn_jax.types import Array

Forward = Callable[[Any, Array], dict[str, Any]]


def forward(model: nn.Module, *, classifies: bool = True) -> Forward:
    """Returns `predict(variables, frames)` of a network.

    The frames are `[batch, time, H, W, 3]` uint8. The outputs are those that the network has:

    | name | value |
    |---|---|
    | "logits" | `[batch, classes]` |
    | "flows" | tuple of `[batch, pairs, h, w, 2]`, finest first |
    | "features" | `[batch, size]`, inputs of the classifiers, averaged over frames and segments |

    The features of several classifiers (streams) are concatenated.

    Args:
        model: the network.
        classifies: False leaves out logits and features, for a classifier that was not trained.
    """

    def predict(variables: Any, frames: Array) -> dict[str, Any]:
        inputs: dict[tuple[str, ...], Array] = {}
        with nn.intercept_methods(_recorder(inputs)):
            prediction = model.apply(variables, frames.astype(jnp.float32) / 255.0, train=False)
        outputs: dict[str, Any] = {}
        if prediction.flows:
            outputs["flows"] = tuple(flow.astype(jnp.float32) for flow in prediction.flows)
        if classifies and prediction.logits is not None:
            outputs["logits"] = prediction.logits.astype(jnp.float32)
            if inputs:
                outputs["features"] = jnp.concatenate(
                    [_per_clip(x, frames.shape[0]) for _, x in sorted(inputs.items())], -1
                )
        return outputs

    return predict


def output_shapes(
    predict: Forward, variables: Any, frames_shape: tuple[int, ...]
) -> dict[str, Any]:
    """Computes the shapes and dtypes of the outputs without running the network."""
    return jax.eval_shape(predict, variables, jax.ShapeDtypeStruct(frames_shape, jnp.uint8))


def _recorder(inputs: dict[tuple[str, ...], Array]) -> Callable:
    """Returns an interceptor that records the inputs of the classifiers, by their paths."""

    def intercept(call, args, kwargs, context):
        module = context.module
        if isinstance(module, nn.Dense) and module.name == "classifier":
            inputs[module.path] = args[0]
        return call(*args, **kwargs)

    return intercept


def _per_clip(x: Array, batch: Any) -> Array:
    """Averages features of frames or segments, which follow each other on the first axes."""
    return x.astype(jnp.float32).reshape(batch, -1, x.shape[-1]).mean(1)
