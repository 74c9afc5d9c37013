"""Reads examples of a source: frames and flow of a clip, brightened, cropped and flipped."""

import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence

import numpy as np

from afn_jax.data.config import DataConfig
from afn_jax.data.files.free_memory import free_memory
from afn_jax.data.reachable import check_dataset, path_of, wait_until_readable
from afn_jax.data.source import Clip, Skipped, Source, Video, VideoReadError
from afn_jax.data.teacher import ON_DEVICE, FlowTeacher, create_teacher
from afn_jax.data.transforms.brightness import apply_gamma, normalizing_gamma
from afn_jax.data.transforms.crops import CornerCrop, RandomCrop
from afn_jax.data.transforms.flow_augmentation import FlowNetAugmentation
from afn_jax.data.transforms.sampling import random_segment_starts
from afn_jax.data.transforms.views import MIDDLE_CLIP, Views, segment_indices, segments_of
from afn_jax.limits import check_limits

MOST_DAMAGED_IN_A_ROW = 20
FREE_EVERY = 500  # clips; guessed: half a MiB of small clips
READER_NICENESS = 10  # of the reading threads, relative to the training


class _Thread(threading.local):
    stepped_back = False


_thread = _Thread()

Example = dict[str, np.ndarray]


def read_clips(
    video: Video,
    starts: np.ndarray,
    num_frames: int,
    stride: int,
    teacher: FlowTeacher | None,
    brighten: Callable[[np.ndarray], np.ndarray] = lambda frames: frames,
    *,
    later: bool = False,
    future: bool = True,
) -> list[Clip]:
    """Reads several clips of a video with their flow, decoding no frame twice.

    The flow is the video's own, or estimated by the teacher from the brightened frames, which are
    what the network sees. A short video is repeated from its start within a clip; the flow mask is
    False for the pair where it wraps around. No flow leads from one segment to the next: the last
    flow of a segment leads to the next frame in the video.

    Args:
        video: the video.
        starts: `[clips, segments]` numbers of the first frames.
        num_frames: frames per segment.
        stride: distance in video frames between neighboring frames of a segment.
        teacher: estimates flow for videos without it; None: no flow.
        brighten: maps the uint8 frames of a whole clip to uint8 frames.
        later: the flow will be estimated on the device. Each segment has one more frame instead,
            the target of its last flow; the flow mask is that of the flow to be estimated.
        future: estimate the flow from the last frame of each segment to the next one in the video,
            which has to be decoded for it. False: that flow is 0, and its mask False.
    """
    estimated = (teacher is not None or later) and not video.has_flow
    future = estimated and (future or later)
    length = num_frames + 1 if future else num_frames
    indices = np.stack([segment_indices(s, length, stride, video.num_frames) for s in starts])
    found = video.clip(indices.ravel())
    if estimated:
        frames = found.frames.reshape(*indices.shape, *found.frames.shape[1:])
        follows = np.diff(indices) == stride
        if not future:
            follows = np.pad(follows, ((0, 0), (0, 0), (0, 1)))
        return [
            _with_flow(brighten(one), None if later else teacher, follow, future)
            for one, follow in zip(frames, follows, strict=True)
        ]
    clip_length = starts.shape[1] * num_frames
    parts = [slice(i * clip_length, (i + 1) * clip_length) for i in range(len(starts))]
    return [
        Clip(
            brighten(found.frames[part]),
            None if found.flows is None else found.flows[part],
            None if found.flow_mask is None else found.flow_mask[part],
        )
        for part in parts
    ]


def _with_flow(
    frames: np.ndarray, teacher: FlowTeacher | None, follows: np.ndarray, future: bool
) -> Clip:
    """Makes a clip of `frames`, `[segments, T + 1, H, W, 3]`, and the mask `[segments, T]`.

    With a teacher, the last frame of each segment serves only the flow and is dropped. Without one,
    all frames stay and the clip has only the mask. If not `future`, there are only T frames, and
    the last flow is 0.
    """
    flow_mask = np.empty((follows.size, *frames.shape[2:4]), bool)
    flow_mask[:] = follows.reshape(-1, 1, 1)
    if teacher is None:
        return Clip(frames.reshape(-1, *frames.shape[2:]), None, flow_mask)
    flows = [teacher(segment) for segment in frames]
    if not future:
        flows = [np.pad(flow, ((0, 1), (0, 0), (0, 0), (0, 0))) for flow in flows]
    given = frames[:, : follows.shape[1]]
    return Clip(given.reshape(-1, *frames.shape[2:]), np.concatenate(flows), flow_mask)


class ClipReader:
    """Reads examples of a source and remembers the damaged videos.

    Attributes:
        source: the videos.
        config: how clips are cut.
        flow_starts: the frames at which the flows start that are used; None: all.
        damaged: `Skipped` records, one per video, of files that cannot be decoded, or that were
            deleted.
    """

    def __init__(
        self, source: Source, config: DataConfig, flow_starts: Sequence[int] | None = None
    ):
        """Checks the settings.

        Args:
            source: the videos.
            config: how clips are cut.
            flow_starts: the frames of a clip at which the flows start that are used; None: all. If
                no flow is used that starts at the last frame of a segment, it is not estimated.

        Raises:
            ValueError: wrong settings, or a stride that the flow does not have.
        """
        check_limits(config, "data.")
        _check_stride(source[0], config.stride)
        self.source = source
        self.config = config
        self.flow_starts = flow_starts
        self._segments, self._length = segments_of(config)
        last = range(self._length - 1, config.num_frames, self._length)
        self._future = flow_starts is None or any(frame in last for frame in flow_starts)
        self._crop = _training_crop(config)
        self._brighten = _brightening(config)
        # Evaluation estimates the flow on the host, with the same solver: it is rare enough.
        name = "tvl1" if config.teacher == ON_DEVICE else config.teacher
        self._teacher = None if name == "none" else create_teacher(name)
        self._damaged: dict[int, Skipped] = {}
        self._gone: set[int] = set()
        self._num_read = 0

    @property
    def damaged(self) -> tuple[Skipped, ...]:
        return tuple(self._damaged.values())

    def note_damaged(self, damaged: dict[int, Skipped]) -> None:
        """Adds damaged videos that a copy of this reader found in another process, by number."""
        for number, skipped in damaged.items():
            self._damaged.setdefault(number, skipped)

    def damaged_by_number(self) -> dict[int, Skipped]:
        """Returns `damaged` by number of the video in the source."""
        return dict(self._damaged)

    def training_example(self, index: int, rng: np.random.Generator) -> Example:
        """Returns a random clip of video `index`, randomly cropped and flipped.

        A damaged video is replaced by the next readable one.

        Raises:
            VideoReadError: too many videos in a row are damaged.
            DatasetGoneError: the dataset can no longer be read from its disk.
        """
        _step_back()
        for shift in range(MOST_DAMAGED_IN_A_ROW):
            number = (index + shift) % len(self.source)
            video = self.source[number]
            starts = random_segment_starts(
                video.num_frames, self._segments, self._length, self.config.stride, rng
            )
            later = self.config.teacher == ON_DEVICE
            (clip,) = self._read(number, video, starts[None], later=later)
            if clip is not None:
                break
        else:
            raise VideoReadError(
                f"{MOST_DAMAGED_IN_A_ROW} videos in a row cannot be decoded, the last one "
                f"{video.name}. Check that the dataset is complete and its disk is readable."
            )
        clip = self._crop.draw(*clip.frames.shape[1:3], rng).apply(clip)
        return _example(clip, video.label, index, usable=True)

    def evaluation_example(
        self, index: int, views: Views = MIDDLE_CLIP, clips: Sequence[int] = (0,)
    ) -> Example:
        """Returns the numbered clips of video `index` with all crops, `[clips * crops, ...]`.

        The mask is False for clips that cannot be decoded, so that they are not counted.

        Raises:
            DatasetGoneError: the dataset can no longer be read from its disk.
        """
        _step_back()
        config, video = self.config, self.source[index]
        starts = [views.starts(video.name, video.num_frames, clip, config) for clip in clips]
        crops = []
        for clip, found in zip(clips, self._read(index, video, np.stack(starts)), strict=True):
            if found is None:
                crops += [(self._empty_clip(video), False)] * views.crops_per_clip
                continue
            shape = (*found.frames.shape[1:3], tuple(config.size))
            for transform in views.transforms(video.name, clip, *shape):
                crops.append((transform.apply(found), True))
        examples = [_example(crop, video.label, index, usable=usable) for crop, usable in crops]
        return {name: np.stack([example[name] for example in examples]) for name in examples[0]}

    def num_clips(self, index: int, views: Views) -> int:
        """Returns the number of clips that video `index` has under `views`."""
        return views.num_clips(self.source[index].num_frames, self.config)

    def _read(
        self, number: int, video: Video, starts: np.ndarray, *, later: bool = False
    ) -> list[Clip | None]:
        """Reads the clips at `starts`, `[clips, segments]`; None for clips that fail to decode."""
        stride, teacher = self.config.stride, self._teacher

        def read(starts: np.ndarray) -> list[Clip]:
            return read_clips(
                video,
                starts,
                self._length,
                stride,
                teacher,
                self._brighten,
                later=later,
                future=self._future,
            )

        self._num_read += 1
        if self._num_read % FREE_EVERY == 0:
            free_memory()
        for attempt in range(2):
            try:
                return read(starts)
            except VideoReadError as error:
                reason = str(error)
            checked = number in self._damaged or number in self._gone
            if attempt == 0 and not checked and path_of(video):
                problem = wait_until_readable(path_of(video))
                if problem is None:
                    continue  # a disk that was away for a moment gives what it gave before
                reason = f"{path_of(video)}: {problem.strerror or problem}, since the start"
                check_dataset(self.source, number, problem, tuple(self._gone))
                self._gone.add(number)
            break
        if len(starts) > 1:  # some of them may be readable
            return [clip for one in starts for clip in self._read(number, video, one[None])]
        self._damaged.setdefault(number, Skipped(video.name, reason))
        return [None]

    def _empty_clip(self, video: Video) -> Clip:
        shape = (self.config.num_frames, *self.config.size)
        has_flow = video.has_flow or self._teacher is not None
        flows = np.zeros((*shape, 2), np.float32) if has_flow else None
        return Clip(np.zeros((*shape, 3), np.uint8), flows)


def _check_stride(video: Video, stride: int) -> None:
    if video.has_flow and stride != video.flow_stride:
        raise ValueError(
            f"data.stride: got {stride}, but the flow of {video.name} is that of frames "
            f"{video.flow_stride} apart. Use --data.stride {video.flow_stride}, or ignore flow "
            "that is stored with the videos with --data.no-stored-flow."
        )


def _training_crop(config: DataConfig) -> RandomCrop | CornerCrop | FlowNetAugmentation:
    size, flip = tuple(config.size), 0.5 if config.flip else 0.0
    if config.crop == "random":
        return RandomCrop(size, config.crop_scales, flip)
    if config.crop == "flownet":
        return FlowNetAugmentation(size, flip_probability=flip)
    places = {"corners": 5, "corners-13": 13}[config.crop]
    return CornerCrop(size, config.crop_scales, config.crop_distortion, places, flip)


def _brightening(config: DataConfig) -> Callable[[np.ndarray], np.ndarray]:
    if config.brighten == "none":
        return _unchanged
    if config.brighten == "auto":
        return _normalized
    return functools.partial(apply_gamma, gamma=config.gamma)


def _unchanged(frames: np.ndarray) -> np.ndarray:
    return frames


def _normalized(frames: np.ndarray) -> np.ndarray:
    return apply_gamma(frames, normalizing_gamma(frames))


def _step_back() -> None:
    """Lowers the priority of this thread, once, if it reads ahead.

    On a CPU the training step needs the same cores; reading then uses only the time that the step
    leaves idle. Linux only: elsewhere threads have no priority of their own.
    """
    first, _thread.stepped_back = not _thread.stepped_back, True
    if first and sys.platform == "linux" and threading.current_thread() != threading.main_thread():
        os.nice(READER_NICENESS)


def _example(clip: Clip, label: int, index: int, *, usable: bool) -> Example:
    example = {
        "frames": clip.frames,
        "labels": np.int32(label),
        "mask": np.bool_(usable),
        "indices": np.int32(index),
    }
    flow_mask = clip.flow_mask
    if clip.flows is not None:
        example["flows"] = clip.flows
        if flow_mask is None:
            flow_mask = np.full(clip.flows.shape[:-1], usable)
    if flow_mask is not None:
        example["flow_mask"] = flow_mask
    return example
