"""What `python -m eval flow` can evaluate: the network of a run, TV-L1, DIS, no motion at all."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.data.shards.manifest import read_dataset
from afn_jax.data.sources import create_source
from afn_jax.data.teacher import DISTeacher
from afn_jax.ops import resize_flow
from afn_jax.tvl1_teacher import TVL1Teacher
from afn_jax.types import Prediction
from eval.predict import load_predict
from train.checkpoint import load_config
from train.config import TrainConfig
from train.network import build_model

MULTIPLE = 64  # of which frames get to be for a network: the deepest pyramid here halves six times


class FlowMethod(Protocol):
    """Predicts the flow between two neighbouring frames of a clip.

    Attributes:
        num_frames: frames of a clip.
        positions: the frames of a clip whose flow to the next one in the clip it can give.
        step: of the checkpoint of a run, None of others.
        trained_on: sources of the data of a run and of those that it started from.
    """

    num_frames: int
    positions: range
    step: int | None
    trained_on: tuple[str, ...]

    def __call__(self, frames: np.ndarray, position: int) -> np.ndarray:
        """`[num_frames, H, W, 3]` uint8 RGB -> `[H, W, 2]`, from frame `position` to the next."""
        ...

    def notes(self) -> list[str]:
        """What a reader of the numbers should know."""
        ...


@dataclasses.dataclass(frozen=True)
class PairMethod:
    """A method that sees two frames: a flow teacher, or a function like one.

    Attributes:
        estimate: `[2, H, W, 3]` uint8 -> `[1, H, W, 2]`.
        note: says what it is.
    """

    estimate: Callable[[np.ndarray], np.ndarray]
    note: str
    num_frames: int = 2
    positions: range = range(1)
    step: int | None = None
    trained_on: tuple[str, ...] = ()

    def __call__(self, frames: np.ndarray, position: int) -> np.ndarray:
        """`[2, H, W, 3]` uint8 RGB -> `[H, W, 2]`."""
        return self.estimate(frames)[0]

    def notes(self) -> list[str]:
        """What it is."""
        return [self.note]


def create_method(name: str, run: str) -> FlowMethod:
    """The method "run", "tvl1", "dis" or "zero"; `run` is the folder of the first.

    Raises:
        ValueError: no such method, or a run that is missing, has no flow, or is not asked for.
        CheckpointError: the run has no checkpoint that can be read.
    """
    if name == "run":
        if not run:
            raise ValueError("run: not given; add --run DIR, or --method tvl1, dis or zero")
        return RunMethod(Path(run))
    if run:
        raise ValueError(f"method: got {name!r} and --run {run}; leave one of them out")
    methods = {
        "tvl1": lambda: PairMethod(TVL1Teacher(), "TV-L1, afn_jax.ops.tvl1_flow."),
        "dis": lambda: PairMethod(DISTeacher("medium"), "OpenCV's DIS, preset medium."),
        "zero": lambda: PairMethod(_no_motion, "No motion anywhere."),
    }
    if name not in methods:
        raise ValueError(f"method: got {name!r}; allowed are run, {', '.join(methods)}")
    return methods[name]()


def _no_motion(frames: np.ndarray) -> np.ndarray:
    return np.zeros((1, *frames.shape[1:3], 2), np.float32)


def _sources(settings: TrainConfig) -> tuple[str, ...]:
    """What a run and the runs before it were trained on, as far as these can still be read."""
    sources, seen = [], set()
    while True:
        source = settings.data.source
        if source == "shards":  # of what they were made
            try:
                source = read_dataset(settings.data.root).source["source"]
            except (ValueError, KeyError, OSError):
                pass
        sources.append(source)
        former = settings.init.run
        if not former or former in seen:
            return tuple(sources)
        seen.add(former)
        try:
            settings = load_config(Path(former))
        except ValueError:
            return tuple(sources)


class RunMethod:
    """The network of a run folder.

    Frames are resized to the next multiple of `MULTIPLE`, or, for a network that takes one size
    only, to that; its flow is resized back, values and all.
    """

    def __init__(self, run_dir: Path):
        """Loads the newest checkpoint.

        Raises:
            ValueError: not a run folder, or a network without flow between two frames.
            CheckpointError: it has no checkpoint that can be read.
        """
        settings = load_config(run_dir)
        self._size = tuple(settings.data.size)
        self.num_frames = settings.data.num_frames
        self.trained_on = _sources(settings)
        classes = 1
        outputs = self._build(settings, classes)
        if outputs.logits is not None:  # or else there is no layer that knows of classes
            classes = _num_classes(run_dir, settings)
            self._build(settings, classes)
        self.positions = self._positions(outputs, settings, run_dir)
        self._predict, self.step = load_predict(run_dir, settings, classes)
        self._note = f"{settings.model.name} of {run_dir}, step {self.step}."
        if settings.data.brighten != "none":
            self._note += (
                f" It was trained on brightened frames ({settings.data.brighten}); these are not."
            )
        self._sizes: dict[tuple[int, int], tuple[int, int]] = {}

    def __call__(self, frames: np.ndarray, position: int) -> np.ndarray:
        """`[num_frames, H, W, 3]` uint8 RGB -> `[H, W, 2]`."""
        size = frames.shape[1:3]
        if size not in self._sizes:
            self._sizes[size] = self._network_size(size)
        prediction = self._predict(resize_frames(frames, self._sizes[size])[None])
        return np.asarray(resize_flow(prediction.flows[0][0, position], size))

    def notes(self) -> list[str]:
        """What it is, and which frames were resized."""
        changes = [
            f"Frames of {height} x {width} were resized to {new[0]} x {new[1]} for the network, "
            "and its flow back."
            for (height, width), new in sorted(self._sizes.items())
            if new != (height, width)
        ]
        return [self._note, *changes]

    def _build(self, settings: TrainConfig, classes: int) -> Prediction:
        """Makes the network, and the shapes of its variables; returns those of its outputs."""
        self._model = build_model(settings, classes, axis_name=None)
        outputs, self._variables = jax.eval_shape(
            lambda frames: self._model.init_with_output(jax.random.key(0), frames, train=False),
            self._frames(self._size),
        )
        return outputs

    def _positions(self, outputs: Prediction, settings: TrainConfig, run_dir: Path) -> range:
        if not outputs.flows:
            raise ValueError(
                f"run: {settings.model.name} of {run_dir}, trained with flow loss "
                f"{settings.objective.flow!r}, predicts no flow. Give a run that learned flow."
            )
        if self.num_frames < 2:
            raise ValueError(
                f"run: {run_dir} sees clips of one frame, so its flow goes to a frame that it does "
                "not see. Give a run of two frames or more."
            )
        flows = outputs.flows[0].shape[1]
        # One flow a frame, or one a pair. Networks that take a clip apart, in triplets or segments,
        # have others; their first flow is that of the first pair too.
        whole = flows in (self.num_frames, self.num_frames - 1)
        return range(self.num_frames - 1 if whole else 1)

    def _network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        wanted = tuple(-(-side // MULTIPLE) * MULTIPLE for side in size)
        try:
            jax.eval_shape(self._apply, self._variables, self._frames(wanted))
        except (flax.errors.FlaxError, ValueError, TypeError):
            return self._size
        return wanted

    def _apply(self, variables, frames):
        return self._model.apply(variables, frames, train=False)

    def _frames(self, size: tuple[int, int]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, self.num_frames, *size, 3), jnp.float32)


def resize_frames(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`[T, H, W, 3]` uint8 -> `[T, *size, 3]`."""
    if frames.shape[1:3] == tuple(size):
        return frames
    shrinks = size[0] <= frames.shape[1] and size[1] <= frames.shape[2]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack(
        [cv2.resize(frame, size[::-1], interpolation=interpolation) for frame in frames]
    )


def _num_classes(run_dir: Path, settings: TrainConfig) -> int:
    """How many classes the network of a run was made for."""
    try:
        return len(create_source(settings.data, "test", settings.seed).class_names)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"run: the network of {run_dir} has as many outputs as its dataset has classes, and "
            f"that cannot be read: {error}"
        ) from error
