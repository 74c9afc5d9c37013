"""The program of a run: its network, objective, optimizer and compiled steps, from the settings.

`train.loop` runs it and `train.plan` compiles it for other machines, so both see the same step.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

from afn_jax.models import VideoNetwork
from afn_jax.types import Batch
from train.config import TrainConfig
from train.network import build_model, check_outputs
from train.objectives import Objective, create_objective
from train.optim import create_optimizer
from train.parallel import AXIS, train_step_on
from train.state import TrainState, create_state
from train.step import make_train_step


@dataclasses.dataclass(frozen=True)
class Program:
    """What a run computes.

    Attributes:
        model: the network.
        flow_starts: the frame at which each flow starts that it predicts in evaluation.
        objective: what is minimized.
        optimizer: how.
        train_step: `(state, batch) -> (state, metrics)` over all devices; see `train.parallel`.
        create_state: makes a fresh state.
    """

    model: VideoNetwork
    flow_starts: tuple[int, ...]
    objective: Objective
    optimizer: optax.GradientTransformation
    train_step: Callable[[TrainState, Batch], tuple[TrainState, dict[str, Any]]]
    create_state: Callable[[], TrainState]


def build_program(config: TrainConfig, num_classes: int, devices: Sequence[jax.Device]) -> Program:
    """Builds the program of a run; nothing is compiled or computed yet.

    Args:
        config: the settings, checked.
        num_classes: number of classes of the training videos.
        devices: the devices of `train_step`.

    Raises:
        ValueError: the network lacks what the objective needs.
    """
    model = build_model(config, num_classes, axis_name=AXIS)
    flow_starts = check_outputs(model, config)
    objective = create_objective(
        **dataclasses.asdict(config.objective), starts=model.flow_starts(config.data.num_frames)
    )
    optimizer = create_optimizer(config.optim, config.steps)
    step_of_one_device = make_train_step(
        model,
        objective,
        optimizer,
        config.augment,
        config.seed,
        groups=config.optim.groups,
        accumulate=config.optim.accumulate,
    )
    shape = (config.batch_size, config.data.num_frames, *config.data.size, 3)
    return Program(
        model=model,
        flow_starts=flow_starts,
        objective=objective,
        optimizer=optimizer,
        train_step=train_step_on(list(devices), step_of_one_device),
        create_state=lambda: create_state(model, optimizer, shape, config.seed),
    )
