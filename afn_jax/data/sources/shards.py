"""Prepared videos: a source that reads the shards of `python -m afn_jax.data.prepare`."""

import dataclasses
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.shards.flow_codec import decode_flow
from afn_jax.data.shards.frame_codec import FrameFormat, decode_frames
from afn_jax.data.shards.manifest import FILE, missing_shards, read_dataset
from afn_jax.data.shards.record import read_index, read_records, shard_name
from afn_jax.data.source import Clip, Skipped, Unused, Video, VideoReadError, checked_indices
from afn_jax.data.sources.spec import SourceSpec

_LARGEST_SIDE = 100_000  # pixels; a longer side means a damaged index


@dataclasses.dataclass(frozen=True)
class ShardVideo(Video):
    """One labeled video in a shard.

    Attributes:
        name: its name in the source that it was prepared from.
        label: 0-based class.
        num_frames: number of frames.
        size: (height, width) of the frames.
        path: path of the shard.
        record: index of the record of its first group of frames.
        frame_format: how frames are stored.
        stored_flow: whether the records hold flow.
        has_flow: whether clips carry it.
        flow_stride: frames from the first to the second frame of a flow; 1 without flow.
        fps: frames per second; 0 if unknown.
    """

    name: str
    label: int
    num_frames: int
    size: tuple[int, int]
    path: str
    record: int
    frame_format: FrameFormat
    stored_flow: bool
    has_flow: bool = False
    flow_stride: int = 1
    fps: float = 0.0

    def clip(self, indices: np.ndarray) -> Clip:
        """Returns the frames at `indices`, and the flow from each to the frame `flow_stride` later.

        The flow mask is False where no flow is known: where the source had none, where it exceeded
        the bound, and at the end of the video.

        Raises:
            ValueError: an index is outside the video.
            VideoReadError: the shard is damaged.
        """
        indices = checked_indices(indices, self.num_frames, self.name)
        wanted, place = np.unique(indices, return_inverse=True)
        frames = np.empty((len(wanted), *self.size, 3), np.uint8)
        flows = np.zeros((len(wanted), *self.size, 2), np.float32) if self.has_flow else None
        known = np.zeros((len(wanted), *self.size), bool) if self.has_flow else None
        groups, starts = np.unique(wanted // self.frame_format.group, return_index=True)
        stops = np.append(starts[1:], len(wanted))
        try:
            records = read_records(self.path, (self.record + groups).tolist())
            for parts, group, start, stop in zip(records, groups, starts, stops, strict=True):
                first = int(group) * self.frame_format.group
                numbers = (wanted[start:stop] - first).tolist()
                if self.stored_flow:
                    count = min(self.frame_format.group, self.num_frames - first)
                    parts, flow_parts = parts[:-count], parts[-count:]
                if self.has_flow:
                    for t, number in enumerate(numbers, start):
                        if flow_parts[number]:
                            flows[t], known[t] = decode_flow(flow_parts[number], self.size)
                decode_frames(parts, numbers, self.frame_format, frames[start:stop])
        except (OSError, ValueError, IndexError) as error:
            raise VideoReadError(f"{self.name} in {self.path}: {error}") from error
        if not np.array_equal(wanted, indices):
            frames = frames[place]
            flows, known = (flows[place], known[place]) if self.has_flow else (None, None)
        return Clip(frames, flows, known)


class Shards:
    """The videos of one split of a prepared dataset, in the order of the original source.

    Attributes:
        class_names: indexed by label.
        skipped: files that could not be read when the dataset was prepared.
        unused: what else lay in the folder of the videos.
    """

    def __init__(self, root: str | Path, *, split: str = "train", with_flow: bool = True):
        """Reads the indexes of the shards, not the videos themselves.

        Args:
            root: the folder.
            split: one of the splits that were prepared.
            with_flow: whether clips carry the stored flow, if there is any.

        Raises:
            ValueError: `root` holds no prepared dataset, an incomplete one, or not this split.
        """
        root = Path(root)
        dataset = read_dataset(root)
        if split not in dataset.splits:
            raise ValueError(
                f"split: got {split!r}; {str(root)!r} was prepared with {', '.join(dataset.splits)}"
            )
        num_shards = dataset.splits[split].num_shards
        missing = missing_shards(root, split, dataset.splits[split])
        if missing:
            raise ValueError(
                f"root: {str(root)!r} is not complete: {len(missing)} of {num_shards} {split} "
                f"shards are missing, {', '.join(missing[:5])}{' ...' if missing[5:] else ''}. "
                "Run the command that prepared it again, or its part i/n that did not finish"
            )
        self.class_names: tuple[str, ...] = dataset.class_names
        self._flow = dataset.flow
        self._with_flow = with_flow and dataset.flow is not None
        paths = [str(root / shard_name(split, number, num_shards)) for number in range(num_shards)]
        try:
            with ThreadPoolExecutor(16) as pool:
                indexes = list(pool.map(read_index, paths))
        except OSError as error:
            raise ValueError(
                f"root: a shard is damaged ({error}); delete it, and run the command that "
                "prepared it again"
            ) from error
        places, skipped = {}, []
        for path, index in zip(paths, indexes, strict=True):
            try:
                for entry in index["videos"]:
                    place = entry.pop("place")
                    places[place] = self._video(entry, path, dataset.frames)
                    _check_video(places[place], place, len(dataset.class_names))
                skipped += [Skipped(**skip) for skip in index["skipped"]]
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"root: the index of {path} is damaged ({error!r}); delete this shard, and run "
                    "the command that prepared it again"
                ) from error
        self._videos = tuple(video for _, video in sorted(places.items()))
        self.skipped: tuple[Skipped, ...] = (*dataset.splits[split].skipped, *skipped)
        self.unused: tuple[Unused, ...] = dataset.splits[split].unused
        if not self._videos:
            raise ValueError(
                f"root: the {split} shards in {str(root)!r} hold no video; all "
                f"{len(self.skipped)} were skipped, see {FILE}"
            )

    def _video(self, entry: dict[str, Any], path: str, form: FrameFormat) -> ShardVideo:
        size = tuple(entry.pop("size"))
        return ShardVideo(
            **entry,
            size=size,
            path=path,
            frame_format=form,
            flow_stride=1 if self._flow is None else self._flow.stride,
            stored_flow=self._flow is not None,
            has_flow=self._with_flow,
        )

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> ShardVideo:
        return self._videos[index]


def _check_video(video: ShardVideo, place: int, num_classes: int) -> None:
    """Raises ValueError unless an entry of an index describes a video."""
    counts = (place, video.label, video.record, video.num_frames, *video.size)
    whole = len(video.size) == 2 and all(type(number) is int for number in counts)
    if not (
        whole
        and min(counts) >= 0
        and video.label < num_classes
        and video.num_frames > 0
        and 0 < min(video.size) <= max(video.size) <= _LARGEST_SIDE
        and isinstance(video.name, str)
        and isinstance(video.fps, int | float)
    ):
        raise ValueError(f"it describes no video: {video}")


def _create(config: DataConfig, split: str, seed: int) -> Shards:
    root = config.root
    if config.annotations:
        raise ValueError(
            "data.annotations: shards contain the lists they were made from; leave it out."
        )
    dataset = read_dataset(root)
    prepared = dataset.source
    for field in ("list_number", "classes"):
        stored, wanted = prepared.get(field, getattr(DataConfig, field)), getattr(config, field)
        stored = tuple(stored) if isinstance(stored, list) else stored
        if wanted != stored and wanted != ():
            raise ValueError(
                f"data.{field}: got {wanted!r}, but {root} was prepared with {stored!r}. Use that, "
                "or prepare the videos again into another folder."
            )
    source = Shards(root, split=split, with_flow=config.stored_flow)
    estimated = config.stored_flow and dataset.flow is not None and dataset.flow.origin != "own"
    if split == "train" and estimated and config.brighten != "none":
        logging.getLogger(__name__).warning(
            "the flow in %s was estimated without brightening, but data.brighten is %r; brightened "
            "frames have better flow, which --data.no-stored-flow estimates while training",
            *(root, config.brighten),
        )
    if split == "train" and min(source[0].size) < min(config.size):
        logging.getLogger(__name__).warning(
            "the frames in %s have a shorter side of %d pixels and are enlarged to clips of "
            "%d x %d; prepare them with --data.short-side %d",
            *(root, min(source[0].size), *config.size, config.short_side),
        )
    return source


def _prepared_from(root: Path) -> str:
    return read_dataset(root).source["source"]


SOURCE = SourceSpec(
    _create,
    "made by python -m afn_jax.data.prepare; fast to read",
    root="the folder that python -m afn_jax.data.prepare made",
    split="stored in the shards",
    prepared_from=_prepared_from,
)
