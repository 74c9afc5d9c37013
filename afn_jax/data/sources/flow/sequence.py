"""Datasets with ground truth flow: sequences of frames, and the source of clips cut from them.

A dataset is a set of `FlowSequence`s. As a `Source`, a `FlowDataset` holds every clip of
`num_frames` frames in them that has some known flow; with `num_frames` 2 these are the pairs.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.files.image import read_picture
from afn_jax.data.source import Clip, Skipped, Video, VideoReadError
from afn_jax.data.sources.lists.splits import split_by_name
from afn_jax.data.sources.spec import SourceSpec

SPLITS = ("train", "test", "all")


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """The true flow from one frame to the next.

    Attributes:
        flow: `[H, W, 2]` float32, (x, y) in pixels, 0 where unknown.
        known: `[H, W]` bool, True where the flow counts.
        occluded: `[H, W]` bool, True where what the pixel shows is hidden or outside the picture in
            the next frame; None if the dataset does not report it. Used only where `known`.
    """

    flow: np.ndarray
    known: np.ndarray
    occluded: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class FlowSequence(Video):
    """Consecutive frames and the ground truth that exists for them.

    Attributes:
        folder: folder of the frames, relative to the dataset's root.
        frames: paths of the pictures, which have one size.
        truths: for each frame, the function that reads its flow to the next frame, or None.
        label: always 0, because these videos have no classes.
    """

    folder: str
    frames: tuple[str, ...]
    truths: tuple[Callable[[], GroundTruth] | None, ...]
    label: int = 0
    has_flow: bool = True

    @property
    def name(self) -> str:
        """Name of the first frame, with its folder."""
        return self.frame_name(0)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def pairs(self) -> tuple[int, ...]:
        """Indices of the frames whose flow to the next frame of this sequence is known."""
        return tuple(i for i, truth in enumerate(self.truths[:-1]) if truth is not None)

    def frame_name(self, index: int) -> str:
        """Returns the name of a frame within the dataset."""
        stem = Path(self.frames[index]).stem
        return f"{self.folder}/{stem}" if self.folder else stem

    def part(self, start: int, num_frames: int) -> "FlowSequence":
        """Returns the part of `num_frames` frames from `start` on."""
        those = slice(start, start + num_frames)
        return dataclasses.replace(self, frames=self.frames[those], truths=self.truths[those])

    def read_frames(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Reads frames `[T, H, W, 3]` uint8 RGB. Raises `VideoReadError` for unreadable ones."""
        read: dict[int, np.ndarray] = {}
        for i in {int(i) for i in indices}:
            try:
                read[i] = read_picture(self.frames[i])
            except (ValueError, OSError) as error:
                raise VideoReadError(str(error)) from error
        sizes = {picture.shape[:2] for picture in read.values()}
        if len(sizes) > 1:
            raise VideoReadError(f"{self.name}: its frames are of several sizes, {sorted(sizes)}")
        return np.stack([read[int(i)] for i in indices])

    def truth(self, index: int) -> GroundTruth:
        """Reads the flow from frame `index`, one of `pairs` or the last frame, to the next frame.

        Raises:
            VideoReadError: a file is missing or damaged, or its size differs from the others.
        """
        try:
            truth = self.truths[index]()
        except (ValueError, OSError) as error:
            raise VideoReadError(str(error)) from error
        for name in ("known", "occluded"):
            mask = getattr(truth, name)
            if mask is not None and mask.shape != truth.flow.shape[:2]:
                raise VideoReadError(
                    f"{self.frame_name(index)}: the flow has (height, width) "
                    f"{truth.flow.shape[:2]}, the mask of what is {name} {mask.shape}"
                )
        return truth

    def clip(self, indices: np.ndarray) -> Clip:
        """Returns the frames at `indices` with the known flows; the mask is False elsewhere."""
        frames = self.read_frames(indices)
        flows = np.zeros((*frames.shape[:3], 2), np.float32)
        flow_mask = np.zeros(frames.shape[:3], bool)
        for t, i in enumerate(indices):
            if self.truths[i] is not None:
                truth = self.truth(int(i))
                check_size(truth, frames, self.frame_name(int(i)))
                flows[t], flow_mask[t] = truth.flow, truth.known
        return Clip(frames, flows, flow_mask)


class FlowDataset:
    """A `Source` of clips with true flow, without classes.

    Attributes:
        sequences: the whole sequences, from which clips are cut.
        class_names: one meaningless name.
        skipped: ground truth without its frames, or frames without ground truth.
    """

    class_names: tuple[str, ...] = ("unlabelled",)

    def __init__(
        self,
        sequences: Sequence[FlowSequence],
        *,
        num_frames: int = 2,
        skipped: Sequence[Skipped] = (),
    ):
        """Cuts clips of `num_frames` frames, at least 2.

        Raises:
            ValueError: no sequence is that long.
        """
        num_frames = max(2, num_frames)
        self.sequences: tuple[FlowSequence, ...] = tuple(sequences)
        self.skipped: tuple[Skipped, ...] = tuple(skipped)
        self._clips = tuple(
            clip
            for sequence in self.sequences
            for start in range(sequence.num_frames - num_frames + 1)
            if (clip := sequence.part(start, num_frames)).pairs
        )
        if self.sequences and not self._clips:
            longest = max(sequence.num_frames for sequence in self.sequences)
            raise ValueError(
                f"data.num_frames: got {num_frames}, but no sequence of this dataset has more than "
                f"{longest} consecutive frames. Use --data.num-frames {longest} or less."
            )

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> FlowSequence:
        return self._clips[index]


def check_size(truth: GroundTruth, frames: np.ndarray, name: str) -> None:
    """Raises `VideoReadError` if flow `[H, W, 2]` and frames `[T, H, W, 3]` differ in size."""
    if truth.flow.shape[:2] != frames.shape[1:3]:
        raise VideoReadError(
            f"{name}: frames of (height, width) {frames.shape[1:3]}, but a flow of "
            f"{truth.flow.shape[:2]}"
        )


def consecutive(
    folder: str, frames: Mapping[int, str], truths: Mapping[int, Callable[[], GroundTruth]]
) -> tuple[list[FlowSequence], list[Skipped]]:
    """Groups frames with consecutive numbers into sequences; keeps those with true flow.

    Args:
        folder: folder of the frames, relative to the root.
        frames: paths by number.
        truths: functions that read the flow from a frame to the next, by number.

    Returns:
        The sequences, and the truths that lack one of their two frames.
    """
    sequences, run = [], []
    for number in sorted(frames):
        run.append(number)
        if number + 1 not in frames:
            sequence = FlowSequence(
                folder, tuple(frames[i] for i in run), tuple(truths.get(i) for i in run)
            )
            sequences += [sequence] if sequence.pairs else []
            run = []
    skipped = [
        Skipped(f"{folder}, frame {number}", f"true flow, but frame {missing} is missing")
        for number in sorted(truths)
        for missing in (number, number + 1)
        if missing not in frames
    ]
    return sequences, skipped


def choose_split(
    groups: Mapping[str, Sequence[FlowSequence]], split: str, dataset: str
) -> list[FlowSequence]:
    """Splits a dataset without an official split: a fifth of the groups is for testing.

    Which ones depends on a hash of the group's name, so the split is the same everywhere.

    Args:
        groups: sequences by the name of what must stay together, such as a scene.
        split: "train", "test" or "all".
        dataset: name of the dataset for messages.

    Raises:
        ValueError: unknown split, or too few groups for it.
    """
    check_split(split)
    names = sorted(groups) if split == "all" else split_by_name(sorted(groups), split=split)
    if not names:
        raise ValueError(
            f"split: {dataset} has {len(groups)} group(s) of pairs here, too few for a {split} "
            "split; add data, or use split 'all'"
        )
    return [sequence for name in names for sequence in groups[name]]


def check_split(split: str) -> None:
    """Raises ValueError if `split` is not one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; allowed: {', '.join(map(repr, SPLITS))}")


_SPLIT_BY_NAME = "of the pairs with public ground truth, one fifth, chosen by name, is for testing"


def true_flow(
    ground_truth: Callable[..., FlowDataset],
    about: str,
    *,
    root: str,
    options: tuple[str, ...] = (),
    official_split: bool = False,
) -> SourceSpec:
    """Returns the `SourceSpec` of a dataset of frames with true flow; arguments as there."""

    def create(config: DataConfig, split: str, seed: int) -> FlowDataset:
        values = {"render": config.sintel_pass, "annotations": config.annotations or None}
        chosen = {name: value for name, value in values.items() if name in options}
        return ground_truth(config.root, split=split, num_frames=config.num_frames, **chosen)

    return SourceSpec(
        create,
        about,
        root,
        "the official split" if official_split else _SPLIT_BY_NAME,
        ground_truth=ground_truth,
        options=options,
        official_split=official_split,
        has_actions=False,
    )
