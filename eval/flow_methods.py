"""Flow methods that `python -m eval flow` evaluates: a run, TV-L1, DIS and zero flow."""

import collections
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.data.sources import create_source, source_spec
from afn_jax.data.teacher import DISTeacher
from afn_jax.ops import resize_flow
from afn_jax.tvl1_teacher import TVL1Teacher
from afn_jax.types import Prediction
from eval.predict import load_predict
from train.checkpoint import load_config
from train.config import TrainConfig
from train.hosts.together import gather
from train.network import build_model
from train.saved_classes import num_classes_of

MULTIPLE = 64  # of the frame size for networks: the deepest pyramid halves six times


class FlowMethod(Protocol):
    """Predicts the flow between two neighboring frames of a clip.

    Attributes:
        num_frames: number of frames per clip.
        positions: the frames of a clip whose flow to the next frame the method predicts.
        step: step of a run's checkpoint; None for other methods.
        trained_on: datasets of a run and of the runs that it started from.
    """

    num_frames: int
    positions: range
    step: int | None
    trained_on: tuple[str, ...]

    def __call__(self, frames: np.ndarray, position: int) -> np.ndarray:
        """Maps `[num_frames, H, W, 3]` uint8 RGB to the flow from frame `position`, `[H, W, 2]`."""
        ...

    def notes(self) -> list[str]:
        """Returns remarks for the report."""
        ...


@dataclasses.dataclass(frozen=True)
class PairMethod:
    """A method that takes two frames: a flow teacher, or a function like one.

    Attributes:
        estimate: maps `[2, H, W, 3]` uint8 to `[1, H, W, 2]`.
        note: description for the report.
    """

    estimate: Callable[[np.ndarray], np.ndarray]
    note: str
    num_frames: int = 2
    positions: range = range(1)
    step: int | None = None
    trained_on: tuple[str, ...] = ()

    def __call__(self, frames: np.ndarray, position: int) -> np.ndarray:
        """Maps `[2, H, W, 3]` uint8 RGB to `[H, W, 2]`."""
        return self.estimate(frames)[0]

    def notes(self) -> list[str]:
        """Returns the description."""
        return [self.note]


def _zero_flow(frames: np.ndarray) -> np.ndarray:
    return np.zeros((1, *frames.shape[1:3], 2), np.float32)


# The methods that are not runs.
METHODS: dict[str, Callable[[], PairMethod]] = {
    "tvl1": lambda: PairMethod(TVL1Teacher(), "TV-L1 (afn_jax.ops.tvl1_flow)."),
    "dis": lambda: PairMethod(DISTeacher("medium"), "OpenCV's DIS, preset medium."),
    "zero": lambda: PairMethod(_zero_flow, "Zero flow."),
}


def create_method(name: str, run: str) -> FlowMethod:
    """Creates a method.

    Args:
        name: "run" or a key of `METHODS`.
        run: folder of the run, for "run" only.

    Raises:
        ValueError: the run is missing, has no flow, or is given with another method.
        CheckpointError: the run has no readable checkpoint.
    """
    if name == "run":
        if not run:
            raise ValueError(f"run: got none; add --run DIR or --method ({', '.join(METHODS)}).")
        return RunMethod(Path(run))
    if run:
        raise ValueError(f"method: got {name!r} and --run {run}; leave one of them out.")
    return METHODS[name]()


def _sources(settings: TrainConfig) -> tuple[str, ...]:
    """Returns the datasets of a run and of the runs before it, as far as these are readable."""
    sources, seen = [], set()
    while True:
        source = settings.data.source
        prepared_from = source_spec(source).prepared_from
        if prepared_from is not None:
            try:
                source = prepared_from(Path(settings.data.root))
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

    Frames are enlarged to the next multiple of `MULTIPLE`. For a network that takes only one size,
    they are resized to that size. The flow is resized back, and its values are scaled.
    """

    def __init__(self, run_dir: Path):
        """Loads the newest checkpoint.

        Raises:
            ValueError: not a run folder, or a network without flow between two frames.
            CheckpointError: the run has no readable checkpoint.
        """
        settings = load_config(run_dir)
        self._size = tuple(settings.data.size)
        self.num_frames = settings.data.num_frames
        self.trained_on = _sources(settings)
        classes = 1
        outputs = self._build(settings, classes)
        if outputs.logits is not None:  # otherwise no layer depends on the number of classes
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
        """Maps `[num_frames, H, W, 3]` uint8 RGB to `[H, W, 2]`."""
        size = frames.shape[1:3]
        if size not in self._sizes:
            self._sizes[size] = self._network_size(size)
        prediction = self._predict(resize_frames(frames, self._sizes[size])[None])
        return np.asarray(resize_flow(prediction.flows[0][0, position], size))

    def notes(self) -> list[str]:
        """Returns the description of the run, and which frames were resized.

        With several processes, all have to call this.
        """
        sizes = collections.ChainMap(*gather(self._sizes))
        changes = [
            f"Frames of {height} x {width} were resized to {new[0]} x {new[1]} for the network, "
            "and its flow was resized back."
            for (height, width), new in sorted(sizes.items())
            if new != (height, width)
        ]
        return [self._note, *changes]

    def _build(self, settings: TrainConfig, classes: int) -> Prediction:
        """Builds the network and its variables' shapes; returns the shapes of its outputs."""
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
                f"run: the clips of {run_dir} have one frame, so its flow leads to a frame that it "
                "does not see. Give a run with two or more frames per clip."
            )
        pairs = tuple(range(self.num_frames - 1))
        # Networks that split a clip into triplets or segments do not predict the flow of every
        # pair; only their first flow is used, which is that of the first pair.
        every = self._model.flow_starts(self.num_frames)[: len(pairs)] == pairs
        return range(len(pairs) if every else 1)

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
    """Resizes frames: `[T, H, W, 3]` uint8 -> `[T, *size, 3]`."""
    if frames.shape[1:3] == tuple(size):
        return frames
    shrinks = size[0] <= frames.shape[1] and size[1] <= frames.shape[2]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack(
        [cv2.resize(frame, size[::-1], interpolation=interpolation) for frame in frames]
    )


def _num_classes(run_dir: Path, settings: TrainConfig) -> int:
    """Returns the number of classes of a run, or of its dataset if the run does not tell it."""
    found = num_classes_of(run_dir)
    if found is not None:
        return found
    try:
        return len(create_source(settings.data, "test", settings.seed).class_names)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"run: the number of outputs of the network of {run_dir} is the number of classes of "
            f"its dataset, which cannot be read: {error}"
        ) from error
