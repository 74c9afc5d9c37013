"""Untrimmed synthetic videos: several motions of `synthetic_motion` in a row, with pauses.

A video starts and ends with a pause, and there is one between two actions. During a pause the
objects rest; the camera moves all the time. The motion is continuous: an action starts from the
positions, angles and zooms at which the one before it ended.

`SyntheticUntrimmed` has whole videos with the exact times of their actions. `TrimmedWindows`, which
`--data synthetic-untrimmed` reads, has training clips cut from such videos, of the eight motions
and of the class `none`: a network that has seen pauses can tell them from actions.

Video `index` of a split is a pure function of (seed, split, index) and of the settings.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.source import Clip, Skipped, Video, checked_indices
from afn_jax.data.sources.spec import SourceSpec
from afn_jax.data.sources.synthetic_motion import (
    CLASS_NAMES,
    SPLITS,
    Scene,
    SyntheticMotion,
    Track,
    draw_scene,
    motion,
    render,
    visible_in_next,
)

NONE = "none"
FPS = 25.0
PAUSE = -1  # label of an interval without action
_SCRIPT = 1  # of the random numbers; those without it draw the scene
_BLOCK = 32  # frames rendered at once by `frames`


@dataclasses.dataclass(frozen=True)
class SyntheticUntrimmed:
    """Whole untrimmed videos: `source[index].frames()` and `source[index].segments`.

    Attributes:
        num_videos: number of videos.
        size: (height, width) of the frames, each at least 16.
        seed: seed of all random numbers.
        split: "train", "test" or "validation": disjoint streams of random numbers.
        num_actions: range (inclusive) of the number of actions per video.
        action_seconds: range of the length of an action.
        pause_seconds: range of the length of a pause.
        speed: as in `SyntheticMotion`.
        camera_speed: likewise.
        num_objects: likewise.
        radius: likewise.
    """

    num_videos: int
    size: tuple[int, int] = (32, 32)
    seed: int = 0
    split: str = "train"
    num_actions: tuple[int, int] = (4, 8)
    action_seconds: tuple[float, float] = (1.0, 3.0)
    pause_seconds: tuple[float, float] = (0.5, 2.0)
    speed: tuple[float, float] = (1.5, 3.0)
    camera_speed: float = 0.8
    num_objects: tuple[int, int] = (1, 2)
    radius: tuple[float, float] = (0.25, 0.34)

    class_names = CLASS_NAMES
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        _ = self.scenes  # checks the size, the split and the radius
        for name, least in (("num_actions", 1), ("action_seconds", 1 / FPS), ("pause_seconds", 0)):
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise ValueError(
                    f"{name}: got {(low, high)}; give the smallest and the largest value, the "
                    f"smallest at least {least:g}."
                )

    @property
    def scenes(self) -> SyntheticMotion:
        """The trimmed videos of the same scenes."""
        names = ("num_videos", "size", "seed", "split")
        names += ("speed", "camera_speed", "num_objects", "radius")
        return SyntheticMotion(**{name: getattr(self, name) for name in names})

    def __len__(self) -> int:
        return self.num_videos

    def __getitem__(self, index: int) -> "UntrimmedVideo":
        if not 0 <= index < self.num_videos:
            raise IndexError(f"video {index} of {self.num_videos}")
        return UntrimmedVideo(self, int(index))


@dataclasses.dataclass(frozen=True)
class UntrimmedVideo:
    """A video of `SyntheticUntrimmed`.

    Attributes:
        source: its source.
        index: its number in the source.
        forced: an action that the video is to contain; -1: no matter which.
    """

    source: SyntheticUntrimmed
    index: int
    forced: int = PAUSE
    fps = FPS

    @property
    def name(self) -> str:
        """Identifies the video within its source."""
        return f"untrimmed-{self.source.split}-{self.source.seed}-{self.index}"

    @functools.cached_property
    def intervals(self) -> tuple[tuple[int, int, int], ...]:
        """(label, first frame, frame after the last); `PAUSE` and actions take turns."""
        source = self.source
        rng = np.random.default_rng([source.seed, SPLITS[source.split], self.index, _SCRIPT])
        count = int(rng.integers(source.num_actions[0], source.num_actions[1] + 1))
        labels = rng.integers(0, len(CLASS_NAMES), count)
        if self.forced != PAUSE:
            labels[rng.integers(count)] = self.forced
        actions = np.rint(FPS * rng.uniform(*source.action_seconds, count)).astype(int)
        pauses = np.rint(FPS * rng.uniform(*source.pause_seconds, count + 1)).astype(int)
        found, start = [], 0
        for label, length in _alternate(pauses, actions, labels):
            if length:
                found.append((label, start, start + length))
            start += length
        return tuple(found)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.intervals[-1][2]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_frames / FPS

    @property
    def segments(self) -> tuple[tuple[int, float, float], ...]:
        """(label, start, end) of each action, in seconds; the end is exclusive."""
        return tuple(
            (label, first / FPS, after / FPS)
            for label, first, after in self.intervals
            if label != PAUSE
        )

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames in order, uint8 `[H, W, 3]`. Memory does not grow with the length."""
        for start in range(0, self.num_frames, _BLOCK):
            yield from self.clip(np.arange(start, min(start + _BLOCK, self.num_frames))).frames

    def clip(self, indices: np.ndarray) -> Clip:
        """Renders the frames at `indices`, and the exact flow from each to the next frame.

        After the last frame, its motion goes on.

        Raises:
            ValueError: an index outside the video.
        """
        indices = checked_indices(indices, self.num_frames, self.name)
        times = np.unique(np.concatenate([indices, indices + 1]))
        scene = self._scene
        tracks = [self._track(scene, thing, times) for thing in scene.objects]
        frames, layers, flows = render(scene, tracks, times, self.source.size)
        now, after = np.searchsorted(times, indices), np.searchsorted(times, indices + 1)
        flow = flows[now]
        return Clip(frames[now], flow, visible_in_next(flow, layers[now], layers[after]))

    @functools.cached_property
    def _scene(self) -> Scene:
        source = self.source
        rng = np.random.default_rng([source.seed, SPLITS[source.split], self.index])
        return draw_scene(rng, source.scenes)

    def _track(self, scene: Scene, thing, times: np.ndarray) -> Track:
        """Returns the sums of an object's motions up to each time."""
        labels, starts, ends = (np.array(values) for values in zip(*self.intervals, strict=True))
        motions = [motion(thing, int(label)) for label in labels]
        # [intervals, (x, y, turn, log zoom)] per frame, and the sum before each interval.
        rates = np.array([(*drift, turn, zoom) for drift, turn, zoom in motions])
        before = np.cumsum(rates * (ends - starts)[:, None], axis=0)
        before = np.concatenate([np.zeros((1, 4)), before[:-1]])
        now = np.minimum(np.searchsorted(ends, times, side="right"), len(labels) - 1)
        moved = before[now] + rates[now] * (times - starts[now])[:, None]
        return Track(
            center=thing.center + times[:, None] * scene.camera + moved[:, :2],
            turned=moved[:, 2] % (2 * np.pi),  # outline and texture have whole periods
            zoomed=moved[:, 3],
            step=scene.camera + rates[now][:, :2],
            turn=rates[now][:, 2],
            log_zoom=rates[now][:, 3],
        )


@dataclasses.dataclass(frozen=True)
class TrimmedWindows:
    """Clips cut from untrimmed videos, of the eight motions and `none`: a training source.

    Video i has label i % 9. It is cut from an untrimmed video of its own: its middle frame is in an
    action of that class, or in a pause. So near the start and the end of an action, a clip shows a
    part of the pause too.

    Attributes:
        whole: the untrimmed videos that clips are cut from.
        num_frames: length of each clip.
    """

    whole: SyntheticUntrimmed
    num_frames: int

    class_names: ClassVar[tuple[str, ...]] = (*CLASS_NAMES, NONE)
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int) -> "TrimmedWindow":
        if not 0 <= index < len(self):
            raise IndexError(f"video {index} of {len(self)}")
        return TrimmedWindow(self, int(index))


@dataclasses.dataclass(frozen=True)
class TrimmedWindow(Video):
    """A clip of `TrimmedWindows`."""

    source: TrimmedWindows
    index: int
    has_flow = True
    fps = FPS

    @property
    def name(self) -> str:
        """Identifies the clip within its source."""
        whole = self.source.whole
        return f"{whole.split}-{whole.seed}-{self.index}"

    @property
    def label(self) -> int:
        """0-based class."""
        return self.index % len(self.source.class_names)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.source.num_frames

    def clip(self, indices: np.ndarray) -> Clip:
        """Renders the frames at `indices` as `UntrimmedVideo.clip` does."""
        whole, length, source = self.source.whole, self.num_frames, self.source
        none = self.label == source.class_names.index(NONE)
        label = PAUSE if none else self.label
        video = UntrimmedVideo(whole, self.index, forced=label)
        rng = np.random.default_rng([whole.seed, SPLITS[whole.split], self.index, _SCRIPT, 1])
        # Middle frames from which the clip stays inside the video.
        middles = [
            np.arange(max(first, length // 2), min(after, video.num_frames - length + length // 2))
            for this, first, after in video.intervals
            if this == label
        ]
        start = int(rng.choice(np.concatenate(middles))) - length // 2
        return video.clip(start + checked_indices(indices, length, self.name))


def _alternate(pauses, actions, labels) -> Iterator[tuple[int, int]]:
    """Yields (label, frames) of a pause, an action, a pause, ..."""
    for pause, action, label in zip(pauses, actions, labels, strict=False):
        yield PAUSE, int(pause)
        yield int(label), int(action)
    yield PAUSE, int(pauses[-1])


def _create(config: DataConfig, split: str, seed: int) -> TrimmedWindows:
    whole = SyntheticUntrimmed(
        config.train_videos if split == "train" else config.test_videos,
        size=tuple(config.size),
        seed=seed,
        split=split,
    )
    length = (config.num_frames - 1) * config.stride + 1
    shortest = min(whole.action_seconds[0], whole.pause_seconds[0]) * FPS
    if length > 2 * shortest:
        raise ValueError(
            f"data.num_frames: a clip of {config.num_frames} frames, stride {config.stride}, spans "
            f"{length} frames, but the shortest pause of synthetic-untrimmed has {int(shortest)}; "
            f"choose clips that span {int(2 * shortest)} frames or fewer."
        )
    return TrimmedWindows(whole, length)


SOURCE = SourceSpec(
    _create,
    "clips of untrimmed synthetic videos: the eight motions and none; needs no files",
    split="rendered for each seed and split; 1,000,000 training videos by default",
    generated=True,
    mirrorable=False,  # left and right change places
    knows_lengths=False,  # as long as a clip
)
