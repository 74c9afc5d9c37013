"""The networks, by name. A new model is one file and one line in `MODELS`."""

import dataclasses
import difflib
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn

from afn_jax.models.actionflownet import ActionFlowNet
from afn_jax.models.baselines import FrameResNet18

MODELS: dict[str, Callable[..., nn.Module]] = {
    "actionflownet": ActionFlowNet,
    "flownet": functools.partial(ActionFlowNet, classify=False),
    "resnet18": FrameResNet18,
}


def list_models() -> list[str]:
    """The names that `create_model` knows."""
    return sorted(MODELS)


def model_fields(name: str) -> set[str]:
    """What `create_model` takes besides `num_classes`, for that name.

    Raises:
        ValueError: unknown name; the message lists those that are near.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS) or list_models()
        raise ValueError(f"model name: got {name!r}. Did you mean {' or '.join(near)}?")
    model = MODELS[name]
    if isinstance(model, functools.partial):
        model = model.func
    return {field.name for field in dataclasses.fields(model)} - {"parent", "name", "num_classes"}


def create_model(name: str, *, num_classes: int, **overrides: Any) -> nn.Module:
    """Makes the network of that name; `overrides` are its fields.

    `model.apply(variables, frames, train=...)` gives an `afn_jax.types.Prediction`.

    Raises:
        ValueError: unknown name or field; the message lists those that are near.
    """
    fields = model_fields(name)
    for field in overrides:
        if field not in fields:
            near = difflib.get_close_matches(field, fields) or sorted(fields)
            raise ValueError(
                f"model {name!r} has no field {field!r}. Did you mean {' or '.join(near)}?"
            )
    return MODELS[name](num_classes=num_classes, **overrides)


__all__ = ["MODELS", "create_model", "list_models", "model_fields"]
