"""The settings of a run: frozen dataclasses, composed here; `config_file.py` saves them."""

import dataclasses
from typing import Annotated, Any, Literal

from afn_jax.data.config import DataConfig
from afn_jax.data.sources import source_spec
from afn_jax.limits import Limits, check_limits
from train.flow_losses import find_flow_loss


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network, and how large."""

    name: str = "actionflownet"
    """Network; the names are listed above."""
    width: Annotated[int, Limits(1)] = 64
    """Channels of the first stage."""
    flow_stride: Annotated[int, Limits(1)] = 4
    """Frame size over flow size: 4, 2 or 1 (models with flow)."""
    dropout_rate: Annotated[float | None, Limits(minimum=0, below=1)] = None
    """Before the classifier; None: the network's own, the paper's."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters, losses and outputs stay float32."""
    options: tuple[str, ...] = ()
    """Any other fields of the network, FIELD=VALUE each, as flow_after=3 fusion=residual."""


@dataclasses.dataclass(frozen=True)
class InitConfig:
    """Where parameters come from: a former run, then published weights; else they are fresh.

    For both, `part` is the subtree of the source to load, `at` the subtree of this network to load
    it into, and `skip` what may stay fresh or unused. Any other mismatch is an error.
    """

    run: str = ""
    """Folder of a former run: start from its newest checkpoint. Empty: no former run."""
    run_part: str = ""
    """Subtree of the former run to load, e.g. encoder; empty loads everything."""
    run_at: str = ""
    """Subtree of this network to load it into, e.g. motionnet; empty: the whole network."""
    run_skip: tuple[str, ...] = ()
    """Regular expressions for arrays that may be missing on either side or differ in shape."""
    weights: str = ""
    """File of published weights from PyTorch: .pth, .pt or .safetensors. Empty: no weights."""
    architecture: str = ""
    """Network that the weights belong to, e.g. r3d_18; empty: the one with the model's name."""
    part: str = ""
    """Subtree of the weights to load, e.g. encoder; empty loads everything."""
    at: str = ""
    """Subtree of this network to load them into, e.g. temporal; empty: the only one that fits."""
    skip: tuple[str, ...] = ()
    """Layers inside it that stay fresh, e.g. classifier if the classes differ."""
    inflate: bool = False
    """Turn 2D kernels into 3D ones, divided by the number of frames that they span."""
    input_channels: Literal["rgb", "repeat", "average"] = "rgb"
    """For a network whose input is not RGB: repeat for stacked frames, average for flow."""


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """What is minimised."""

    flow: str = "endpoint"
    """The flow loss, of those listed above; none: the action alone."""
    action: bool = True
    """Learn the action too; --objective.no-action: the flow alone."""
    flow_weight: Annotated[float, Limits(0)] = 1.0
    """Weight of the flow loss: lambda of ActionFlowNet Eq. 2. Guessed: the paper has none."""
    term_weights: tuple[str, ...] = ()
    """TERM=WEIGHT in place of the paper's weights, e.g. smooth=0."""
    label_smoothing: Annotated[float, Limits(minimum=0, below=1)] = 0.0
    """Share of the probability that the target of the action spreads over all classes."""


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """How it is minimised."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Weight decay is part of the gradient in adam and sgd, and apart from it in adamw."""
    learning_rate: Annotated[float, Limits(above=0)] = 3e-4
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    """Constant, falling to zero along a half cosine, or times `factor` at each of `boundaries`."""
    boundaries: tuple[int, ...] = ()
    """Steps of the run at which the schedule "steps" multiplies the learning rate."""
    factor: Annotated[float, Limits(0)] = 0.1
    """By which it does; 0.5 halves."""
    warmup_steps: Annotated[int, Limits(0)] = 0
    """Steps over which the learning rate rises linearly from zero."""
    momentum: Annotated[float, Limits(minimum=0, below=1)] = 0.9
    """Of sgd."""
    nesterov: bool = False
    """Nesterov's momentum, in sgd."""
    weight_decay: Annotated[float, Limits(0)] = 0.0
    """Of kernels; never of biases, scales of norms and parameters of flow layers."""
    no_decay: tuple[str, ...] = ()
    """Regular expressions: kernels in whose path one of them is found are not decayed either."""
    clip_norm: Annotated[float, Limits(0)] = 0.0
    """Largest global norm of the gradient; 0 means no clipping."""
    groups: tuple[str, ...] = ()
    """REGEX=FACTOR: factor of the learning rate of parameters in whose path, as
    encoder/conv1/kernel, REGEX is found; the first that is found counts, and each parameter needs
    one. 0 freezes them, and the running statistics of their norms."""
    accumulate: Annotated[int, Limits(1)] = 1
    """Parts that each device takes its share of a batch in, one after the other, to save memory:
    the gradient is the mean of theirs."""
    ema_decay: Annotated[float, Limits(minimum=0, below=1)] = 0.0
    """Of a moving average of the parameters, which is what gets evaluated; 0 means none."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """What happens to frames on the device, inside the step, for training only."""

    brightness: Annotated[float, Limits(0)] = 0.0
    """Brightness is multiplied by a factor from [1 - this, 1 + this], one a clip."""
    contrast: Annotated[float, Limits(0)] = 0.0
    """Likewise contrast."""
    saturation: Annotated[float, Limits(0)] = 0.0
    """Likewise saturation."""
    noise: Annotated[float, Limits(0)] = 0.0
    """Standard deviation of Gaussian noise, in units of [0, 1]."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A run. `python -m train RECIPE --help` lists every field with its value in that recipe."""

    recipe: str = ""
    """The recipe that the values come from."""
    stage: str = ""
    """Its stage, where it has several."""
    scale: Literal["paper", "toy"] = "paper"
    """paper: as published; toy: minutes on a CPU."""
    run_dir: str = ""
    """Folder of the run; default: runs/RECIPE-SCALE or runs/RECIPE-STAGE-SCALE."""
    resume: bool = True
    """Go on where an existing run folder stopped; --no-resume refuses to touch one."""
    seed: Annotated[int, Limits(0)] = 0
    """All randomness comes from it."""
    steps: Annotated[int, Limits(1)] = 80_000
    """Training steps."""
    batch_size: Annotated[int, Limits(1)] = 16
    """Clips a step, over all devices."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    init: InitConfig = InitConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    augment: AugmentConfig = AugmentConfig()
    log_every: Annotated[int, Limits(1)] = 50
    """Steps between two rows of metrics."""
    test_every: Annotated[int, Limits(0)] = 1000
    """Steps between two looks at test clips, for the curves of the report; 0 means never."""
    test_batches: Annotated[int, Limits(1)] = 8
    """Batches of test clips in such a look."""
    checkpoint_every: Annotated[int, Limits(1)] = 1000
    """Steps between two checkpoints."""
    keep_checkpoints: Annotated[int, Limits(1)] = 2
    """How many of the latest checkpoints are kept."""
    test_clips: Annotated[int, Limits(1)] = 1
    """Clips per video in the evaluation after training."""
    protocol: str = "clips"
    """How the paper evaluates: a protocol of `python -m eval action`."""
    max_devices: Annotated[int, Limits(0)] = 0
    """Use at most so many devices; 0 means all."""
    compilation_cache: str = ".cache/jax"
    """Folder of compiled programs, so that a second start is quick; empty means none."""


# Fields that may differ between a run folder and the command that resumes it: they change how long
# the run is, where it runs and what is written about it, not what a step minimises. (On another
# number of devices, or of parts, the random draws of a step are others, and batch statistics are
# those of other parts.)
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
    """Raises ValueError for values that cannot work together."""
    check_limits(config)
    boundaries = config.optim.boundaries
    if (config.optim.schedule == "steps") != bool(boundaries):
        raise ValueError(
            f"optim.boundaries: got {boundaries} with schedule {config.optim.schedule!r}, but the "
            "schedule steps, and no other, changes the learning rate at given steps. Use "
            "--optim.schedule steps --optim.boundaries 1000 2000."
        )
    if list(boundaries) != sorted(set(boundaries)) or min(boundaries, default=1) < 1:
        raise ValueError(f"optim.boundaries: got {boundaries}, but they must be above 0 and rise.")
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
    """Raises ValueError for an objective that does not exist or that the data cannot serve."""
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
    """Raises ValueError if the devices cannot take their shares of a batch in equal parts."""
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
    """Where a run is kept if nobody says otherwise."""
    return "runs/" + "-".join(filter(None, (config.recipe, config.stage, config.scale)))


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted names and values, e.g. `{"data.size": (32, 32), ...}`."""
    flat = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{field.name}.")
        else:
            flat[prefix + field.name] = value
    return flat
