"""The settings of a run, as frozen dataclasses; `config_file.py` saves them.

The text under each field is its help on the command line.
"""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from afn_jax.data.config import DataConfig
from afn_jax.data.sources import source_spec
from afn_jax.limits import Limits, check_limits
from train.flow_losses import find_flow_loss


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network and its size."""

    name: str = "actionflownet"
    """Network; the names are listed above."""
    width: Annotated[int, Limits(1)] = 64
    """Channels of the first stage."""
    flow_stride: Annotated[int, Limits(1)] = 4
    """Ratio of frame size to flow size: 4, 2 or 1 (models with flow)."""
    dropout_rate: Annotated[float | None, Limits(minimum=0, below=1)] = None
    """Dropout rate before the classifier; None: the network's default, which is the paper's."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the computation; parameters, losses and outputs stay float32."""
    options: tuple[str, ...] = ()
    """Other fields of the network as FIELD=VALUE, e.g. flow_after=3 fusion=residual."""


@dataclasses.dataclass(frozen=True)
class InitConfig:
    """Where parameters come from: an earlier run, then published weights; else they are fresh.

    For both, `part` is the subtree of the source to load, `at` the subtree of this network to load
    it into, and `skip` what may stay fresh or unused. Any other mismatch is an error.
    """

    run: str = ""
    """Folder of an earlier run: start from its newest checkpoint. Empty: no earlier run."""
    run_part: str = ""
    """Subtree of the earlier run to load, e.g. encoder; empty loads everything."""
    run_at: str = ""
    """Subtree of this network to load it into, e.g. motionnet; empty: the whole network."""
    run_skip: tuple[str, ...] = ()
    """Regular expressions for arrays that may be missing on either side or differ in shape."""
    weights: str = ""
    """File of published weights: of torch.save, or safetensors. Empty: no weights."""
    architecture: str = ""
    """Network that the weights belong to, e.g. r3d_18; empty: the one with the model's name."""
    part: str = ""
    """Subtree of the weights to load, e.g. encoder; empty loads everything."""
    at: str = ""
    """Subtree of this network to load them into, e.g. temporal; empty: the only one that fits."""
    skip: tuple[str, ...] = ()
    """Layers inside it that stay fresh, e.g. classifier if the classes differ."""
    rename: tuple[str, ...] = ()
    """Replace parts of names in the file, OLD=NEW, e.g. head.fc=fc. OLD is one or more whole parts
    between dots, wherever they stand; an empty NEW removes them, an empty OLD puts NEW in front."""
    ignore: tuple[str, ...] = ()
    """Beginnings of names in the file to leave out, e.g. model_ema. or aux_head."""
    inflate: bool = False
    """Turn 2D kernels into 3D ones, divided by the number of frames that they span."""
    input_channels: Literal["rgb", "repeat", "average"] = "rgb"
    """For a network whose input is not RGB: repeat for stacked frames, average for flow."""


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """The loss to minimize."""

    flow: str = "endpoint"
    """Name of the flow loss, see the list above; none: learn the action only."""
    action: bool = True
    """Learn the action; --objective.no-action learns the flow only."""
    flow_weight: Annotated[float, Limits(0)] = 1.0
    """Weight of the flow loss: lambda of ActionFlowNet Eq. 2. Guessed: the paper has none."""
    term_weights: tuple[str, ...] = ()
    """TERM=WEIGHT in place of the paper's weights, e.g. smooth=0."""
    label_smoothing: Annotated[float, Limits(minimum=0, below=1)] = 0.0
    """Share of the action target's probability that is spread over all classes."""


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """The optimizer and its schedule."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """adam and sgd add the weight decay to the gradient; adamw decouples it."""
    learning_rate: Annotated[float, Limits(above=0)] = 3e-4
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    """constant; cosine: falls to zero along a half cosine; steps: by `factor` at `boundaries`."""
    boundaries: tuple[int, ...] = ()
    """Schedule steps: the steps of the run at which the learning rate changes."""
    factor: Annotated[float, Limits(0)] = 0.1
    """Schedule steps: factor of the learning rate at each boundary."""
    warmup_steps: Annotated[int, Limits(0)] = 0
    """Steps over which the learning rate rises linearly from zero."""
    momentum: Annotated[float, Limits(minimum=0, below=1)] = 0.9
    """Momentum of sgd."""
    nesterov: bool = False
    """Use Nesterov momentum in sgd."""
    weight_decay: Annotated[float, Limits(0)] = 0.0
    """Weight decay of kernels. Biases, scales of norms and parameters of flow layers have none."""
    no_decay: tuple[str, ...] = ()
    """Regular expressions for kernels without weight decay, searched in their paths."""
    clip_norm: Annotated[float, Limits(0)] = 0.0
    """Maximum global norm of the gradient; 0 disables clipping."""
    groups: tuple[str, ...] = ()
    (
        "REGEX=FACTOR: learning rate factor of the parameters whose path, such as "
        "encoder/conv1/kernel, matches REGEX. The first match counts, and every parameter needs "
        "one. Factor 0 freezes parameters and the running statistics of their norms."
    )
    accumulate: Annotated[int, Limits(1)] = 1
    (
        "Gradient accumulation: number of parts into which each device splits its share of a "
        "batch to save memory. The gradient is the mean over the parts."
    )
    ema_decay: Annotated[float, Limits(minimum=0, below=1)] = 0.0
    """Decay of a moving average of the parameters, which is then evaluated; 0: no average."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of the training frames on the device, inside the step."""

    brightness: Annotated[float, Limits(0)] = 0.0
    """Multiply brightness by a factor from [1 - this, 1 + this], drawn once per clip."""
    contrast: Annotated[float, Limits(0)] = 0.0
    """The same for contrast."""
    saturation: Annotated[float, Limits(0)] = 0.0
    """The same for saturation."""
    noise: Annotated[float, Limits(0)] = 0.0
    """Standard deviation of Gaussian noise, in units of [0, 1]."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The settings of a run. `python -m train RECIPE --help` lists their values in a recipe."""

    recipe: str = ""
    """Recipe that the values come from."""
    stage: str = ""
    """Stage of the recipe, if it has stages."""
    scale: Literal["paper", "toy"] = "paper"
    """paper: the published setting; toy: minutes on a CPU."""
    run_dir: str = ""
    """Folder of the run; empty: runs/RECIPE-SCALE or runs/RECIPE-STAGE-SCALE."""
    resume: bool = True
    """Continue the run that the folder holds; --no-resume: refuse a folder that holds one."""
    seed: Annotated[int, Limits(0)] = 0
    """Seed of all random numbers."""
    steps: Annotated[int, Limits(1)] = 80_000
    """Number of training steps."""
    batch_size: Annotated[int, Limits(1)] = 16
    """Clips per step, over all devices."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    init: InitConfig = InitConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    augment: AugmentConfig = AugmentConfig()
    log_every: Annotated[int, Limits(1)] = 50
    """Steps between rows of training metrics."""
    test_every: Annotated[int, Limits(0)] = 1000
    """Steps between evaluations on a few test clips, for the report's curves; 0: never."""
    test_batches: Annotated[int, Limits(1)] = 8
    """Batches of test clips in each of these evaluations."""
    checkpoint_every: Annotated[int, Limits(1)] = 1000
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Limits(1)] = 2
    """Number of latest checkpoints to keep."""
    test_clips: Annotated[int, Limits(1)] = 1
    """Clips per video in the evaluation after training, by protocol clips."""
    protocol: str = "clips"
    """How the recipe's paper evaluates: a protocol of `python -m eval action`."""
    max_devices: Annotated[int, Limits(0)] = 0
    """Maximum number of devices; 0: all."""
    compilation_cache: str = ".cache/jax"
    """Folder for compiled programs, for quick restarts; empty: none."""


# Fields that may differ between a run folder and the command that resumes it: they change how long
# the run is, where it runs and what it writes, but not what a step minimizes. (With another number
# of devices or parts, a step draws different random numbers and batch statistics.)
MAY_CHANGE = {
    "run_dir",
    "resume",
    "steps",
    "log_every",
    "test_every",
    "test_batches",
    "checkpoint_every",
    "keep_checkpoints",
    "test_clips",
    "protocol",
    "max_devices",
    "compilation_cache",
    "optim.accumulate",  # fewer devices take more parts
    "data.root",  # a dataset may be moved
    "data.annotations",  # with its lists
    # A resumed run does not read its start again, see `train.initialize.keep_start`.
    *(f"init.{field.name}" for field in dataclasses.fields(InitConfig)),
    "data.num_threads",
    "data.num_workers",
    "data.index_cache",
    "data.prefetch",
    "data.test_videos",
}


def check(config: TrainConfig) -> None:
    """Raises ValueError for values out of bounds or that contradict each other."""
    check_limits(config)
    boundaries = config.optim.boundaries
    if (config.optim.schedule == "steps") != bool(boundaries):
        raise ValueError(
            f"optim.boundaries: got {boundaries} with schedule {config.optim.schedule!r}, but "
            "boundaries belong to the schedule steps, which needs at least one. Use "
            "--optim.schedule steps --optim.boundaries 1000 2000."
        )
    if list(boundaries) != sorted(set(boundaries)) or min(boundaries, default=1) < 1:
        raise ValueError(f"optim.boundaries: got {boundaries}, but they must increase from 1.")
    if not config.data.crop_scales:
        raise ValueError("data.crop_scales: got none; give one scale or more.")
    dataset = source_spec(config.data.source)
    check_objective(config)
    if config.data.flip and not dataset.mirrorable:
        raise ValueError(
            f"data.flip: mirroring a clip of {config.data.source} changes its class (left and "
            "right change places). Add --data.no-flip."
        )


def check_objective(config: TrainConfig) -> None:
    """Raises ValueError for an unknown objective, or if the dataset lacks labels for it."""
    objective, source = config.objective, config.data.source
    find_flow_loss(objective.flow)
    if objective.flow == "none" and not objective.action:
        raise ValueError(
            "objective: neither the action nor the flow is learned. Use --objective.action, or "
            "--objective.flow with a flow loss."
        )
    if objective.action and not source_spec(source).has_actions:
        raise ValueError(
            f"objective.action: {source} has no actions. Add --objective.no-action"
            + (", and --objective.flow with a flow loss." if objective.flow == "none" else ".")
        )


def check_parts(config: TrainConfig, num_devices: int) -> None:
    """Raises ValueError if a device's share of a batch cannot be split into equal parts."""
    share, parts = config.batch_size // num_devices, config.optim.accumulate
    if share % parts:
        fitting = [n for n in range(min(parts, share), 0, -1) if share % n == 0][0]
        raise ValueError(
            f"optim.accumulate: got {parts}, which does not divide the {share} examples of each of "
            f"{num_devices} devices. Use --optim.accumulate {fitting}, or another --batch-size."
        )


def without_unread_flow(config: TrainConfig) -> TrainConfig:
    """The settings without reading or estimating flow, if only the action is learned."""
    if config.objective.flow != "none":
        return config
    data = dataclasses.replace(config.data, teacher="none", stored_flow=False)
    return dataclasses.replace(config, data=data)


def default_run_dir(config: TrainConfig) -> str:
    """The folder of a run if run_dir is empty."""
    return "runs/" + "-".join(filter(None, (config.recipe, config.stage, config.scale)))


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flattens a config to dotted names and values, e.g. `{"data.size": (32, 32), ...}`."""
    flat = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{field.name}.")
        else:
            flat[prefix + field.name] = value
    return flat


def flat_hints(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted name and the type of each field of a config class."""
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from flat_hints(hint, f"{prefix}{name}.")
        else:
            yield prefix + name, hint
