"""Builds the network of a run from its settings and checks it against the objective."""

import dataclasses
import json
import warnings
from typing import Any

import jax
import jax.numpy as jnp

from afn_jax.models import VideoNetwork, create_model, model_fields
from afn_jax.types import Prediction
from train.config import ModelConfig, TrainConfig
from train.flow_losses import FLOW_LOSSES


def build_model(config: TrainConfig, num_classes: int, *, axis_name: str | None) -> VideoNetwork:
    """Builds the network of a run.

    A setting under `model` that differs from its default but that the network does not have is left
    out; for training, one warning names all such settings.

    Args:
        config: the settings of the run.
        num_classes: size of the logits.
        axis_name: pmap axis over which batch statistics are averaged; None for evaluation.

    Raises:
        ValueError: unknown network, or `model.options` that it does not have.
    """
    name, objective = config.model.name, config.objective
    overrides: dict[str, Any] = {
        "width": config.model.width,
        "num_frames": config.data.num_frames,
        "dtype": jnp.dtype(config.model.dtype),
        "axis_name": axis_name,
        "flow_stride": config.model.flow_stride,
    }
    if config.data.sampling == "segments":
        overrides["num_segments"] = config.data.num_segments
    if config.model.dropout_rate is not None:
        overrides["dropout_rate"] = config.model.dropout_rate
    # What the objective does not need is left out, if the network can do without it.
    if objective.flow == "none":
        overrides["predict_flow"] = False
    if not objective.action:
        overrides["classify"] = False
    if not FLOW_LOSSES[objective.flow].bidirectional:
        overrides["bidirectional"] = False
    known = model_fields(name)
    if axis_name is not None:
        _warn_of_unused_settings(config.model, known)
    overrides = {field: value for field, value in overrides.items() if field in known}
    return create_model(
        name, num_classes=num_classes, **overrides | parse_options(config.model.options)
    )


def _warn_of_unused_settings(config: ModelConfig, known: set[str]) -> None:
    """Warns of settings that differ from their defaults but that the network does not have."""
    changed = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name not in ("name", "options") and getattr(config, field.name) != field.default
    }
    unused = [f"model.{name}={value}" for name, value in changed.items() if name not in known]
    if unused:
        has = ", ".join(sorted(known - {"axis_name"}))  # training sets that one
        warnings.warn(
            f"no effect: {', '.join(unused)}, because {config.name} has no such setting; it has "
            f"{has}.",
            stacklevel=3,
        )


def parse_options(options: tuple[str, ...]) -> dict[str, Any]:
    """Parses `("flow_after=3", "fusion=residual")` into fields and their values.

    A value that is not JSON is text. Lists may lack JSON's quotes, which a shell removes:
    `learned=[tau,lam]`.

    Raises:
        ValueError: if an option has no "=".
    """
    fields = {}
    for option in options:
        field, separator, text = option.partition("=")
        if not separator:
            raise ValueError(
                f"model.options: got {option!r}, but each must be FIELD=VALUE, e.g. flow_after=3."
            )
        value = _value(text)
        if value == text and text.startswith("[") and text.endswith("]"):
            value = [_value(item.strip()) for item in text[1:-1].split(",")]
        fields[field] = tuple(value) if isinstance(value, list) else value
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def predicted_starts(model: VideoNetwork, config: TrainConfig) -> tuple[int, ...]:
    """Returns the frame at which each flow starts that the network predicts in evaluation."""
    return _starts(model, config, _prediction_shapes(model, config))


def check_outputs(model: VideoNetwork, config: TrainConfig) -> tuple[int, ...]:
    """Checks that the network predicts what the objective needs.

    Returns:
        The frame at which each flow starts that the network predicts in evaluation.

    Raises:
        ValueError: it predicts something else.
    """
    prediction = _prediction_shapes(model, config)
    name, flow = config.model.name, config.objective.flow
    segments = config.data.num_segments if config.data.sampling == "segments" else 1
    expected = model.num_segments
    if expected is None:  # it can score frames of several segments; its flow would cross them
        expected = segments if flow == "none" else 1
    if segments > 1 and segments != expected:
        raise ValueError(
            f"data.num_segments: got {segments} with data.sampling 'segments', but {name} takes a "
            f"clip for {expected}. Add --data.num-segments {expected}, or --data.sampling clip."
        )
    if flow != "none" and not prediction.flows:
        raise ValueError(
            f"objective.flow: got {flow!r}, but {name} predicts no flow. Add --objective.flow none."
        )
    if config.objective.action and prediction.logits is None:
        raise ValueError(f"objective.action: {name} does not classify. Add --objective.no-action.")
    return _starts(model, config, prediction)


def _prediction_shapes(model: VideoNetwork, config: TrainConfig) -> Prediction:
    frames = jax.ShapeDtypeStruct((1, config.data.num_frames, *config.data.size, 3), jnp.float32)
    return jax.eval_shape(
        lambda frames: model.init_with_output(jax.random.key(0), frames, train=False)[0], frames
    )


def _starts(model: VideoNetwork, config: TrainConfig, prediction: Prediction) -> tuple[int, ...]:
    pairs = prediction.flows[0].shape[1] if prediction.flows else 0
    return tuple(model.flow_starts(config.data.num_frames))[:pairs]
