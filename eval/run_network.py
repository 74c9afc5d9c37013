"""Loads a run folder as a `Network`, and makes its card."""

import dataclasses
import importlib.metadata
import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

import afn_jax
from afn_jax.data.sources import create_source, source_spec
from afn_jax.data.transforms.views import segments_of
from afn_jax.export.card import Card
from afn_jax.export.forward import Forward, forward, output_shapes
from afn_jax.export.load import CompiledNetwork
from afn_jax.models import VideoNetwork
from eval.predict import load_variables
from train.checkpoint import load_config, load_record
from train.config import TrainConfig
from train.saved_classes import num_classes_of

# Of eval.json.
METRICS = ("top1", "top5", "chance", "epe", "zero_flow_epe", "num_videos", "step")
NOT_STATED = "not stated"


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run, loaded from its folder.

    Attributes:
        model: the network.
        variables: its variables.
        forward: what the network predicts of uint8 frames, without untrained outputs.
        card: of the network.
        notes: what the user should know, such as missing class names.
    """

    model: VideoNetwork
    variables: dict[str, Any]
    forward: Forward
    card: Card
    notes: tuple[str, ...]


def load_run(run_dir: str | Path, *, flow: bool = False, features: bool = False) -> CompiledNetwork:
    """Loads the newest checkpoint of a run as a `Network`.

    Args:
        run_dir: folder of the run.
        flow: compute the flow too.
        features: compute the features too.

    Raises:
        ValueError: not a run folder.
        CheckpointError: the run has no checkpoint, or none can be read.
    """
    run = read_run(run_dir)
    return CompiledNetwork(
        run.card, str(run_dir), run.forward, run.variables, flow=flow, features=features
    )


def read_run(run_dir: str | Path, license: str = NOT_STATED) -> TrainedRun:
    """Loads the newest checkpoint of a run with its card; errors are those of `load_run`.

    Args:
        run_dir: folder of the run.
        license: of the weights.
    """
    run_dir = Path(run_dir)
    settings = load_config(run_dir)
    names, notes = class_names_of(run_dir, settings)
    model, variables, step = load_variables(run_dir, settings, max(len(names), 1))
    predict = forward(model, classifies=settings.objective.action)
    data = settings.data
    shapes = output_shapes(predict, variables, (1, data.num_frames, *data.size, 3))
    _, record = load_record(run_dir)
    metrics = metrics_of(run_dir)
    if metrics.get("step", step) != step:
        notes += (
            f"the evaluation in {run_dir / 'eval.json'} is of step {metrics['step']:.0f}, and the "
            f"newest checkpoint of step {step}; evaluate again with python -m eval action "
            f"--run {run_dir}",
        )
    pairs = shapes["flows"][0].shape[1] if "flows" in shapes else 0
    card = Card(
        model=settings.model.name,
        class_names=names if "logits" in shapes else (),
        num_frames=data.num_frames,
        stride=data.stride,
        num_segments=segments_of(data)[0],
        size=data.size,
        short_side=data.short_side,
        crop_scale=1.0,
        brighten=data.brighten,
        gamma=data.gamma,
        flow_starts=tuple(model.flow_starts(data.num_frames))[:pairs],
        feature_size=shapes["features"].shape[-1] if "features" in shapes else 0,
        recipe=settings.recipe,
        stage=settings.stage,
        step=step,
        metrics=metrics,
        license=license,
        versions={
            "afn_jax": afn_jax.__version__,
            "jax": jax.__version__,
            "flax": importlib.metadata.version("flax"),
            "code": record.code if record is not None else "",
            "data": data.source,
        },
        platforms=(jax.export.default_export_platform(),),
    )
    return TrainedRun(model, variables, predict, card, notes)


def class_names_of(run_dir: Path, settings: TrainConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the class names of a run by label, and a note if they are unknown and numbered.

    Runs remember their class names; those of runs of older versions are known if their data is
    generated.
    """
    if not settings.objective.action:
        return (), ()
    _, record = load_record(run_dir)
    if record is not None:
        return tuple(record.class_names), ()
    if source_spec(settings.data.source).generated:
        return tuple(create_source(settings.data, "test", settings.seed).class_names), ()
    count = num_classes_of(run_dir)
    if count is None:
        raise ValueError(
            f"{run_dir} does not tell how many classes its network has. It is a run of an older "
            "version; evaluate it with python -m eval action."
        )
    return tuple(f"class {label}" for label in range(count)), (
        f"{run_dir} is a run of an older version that did not record class names: its "
        f"{count} classes are numbered",
    )


def metrics_of(run_dir: Path) -> dict[str, float]:
    """Returns the numbers of a run's newest evaluation; empty if there is none."""
    try:
        values = json.loads((Path(run_dir) / "eval.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        name: float(values[name])
        for name in METRICS
        if isinstance(values.get(name), int | float | np.number) and math.isfinite(values[name])
    }
