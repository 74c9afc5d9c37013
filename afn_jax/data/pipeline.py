"""From a source of videos to batches: random clip, flow target, crop and flip, batch, prefetch.

Built on Grain: element i of an epoch is a pure function of (seed, i), so a run resumes with the
very next example, and the same run on more processes sees the same batches, each its share.

A batch is a dict of arrays, with the fields of `afn_jax.types.Batch`; frames stay `uint8`.
"""

import functools
import os
import sys
import threading

import grain
import numpy as np

from afn_jax.data.clip import Clip, Skipped, Source, Video, VideoReadError
from afn_jax.data.config import DataConfig
from afn_jax.data.sampling import clip_indices, random_clip_start, uniform_clip_starts
from afn_jax.data.teacher import FlowTeacher, create_teacher
from afn_jax.data.transforms import CenterCrop, RandomCrop

MOST_DAMAGED_IN_A_ROW = 20
READER_NICENESS = 10  # of the threads that read, relative to the training's

_thread = threading.local()


def read_clip(
    video: Video, start: int, num_frames: int, stride: int, teacher: FlowTeacher | None
) -> Clip:
    """The clip of `video` from `start` with its flow, from the video itself or from the teacher.

    Where a short video starts over inside the clip, nothing moves from its last frame to its first:
    the flow mask is False there.
    """
    if video.has_flow:
        if stride == 1:
            return video.clip(clip_indices(start, num_frames, stride, video.num_frames))
        raise ValueError(
            f"data.stride: got {stride}, but the flow of {video.name} is that of neighbouring "
            "frames. Use --data.stride 1."
        )
    if teacher is None:
        return video.clip(clip_indices(start, num_frames, stride, video.num_frames))
    # One more frame than the model sees: the last flow is the future flow.
    indices = clip_indices(start, num_frames + 1, stride, video.num_frames)
    frames = video.clip(indices).frames
    follows = np.diff(indices) == stride
    flow_mask = np.empty((num_frames, *frames.shape[1:3]), bool)
    flow_mask[:] = follows[:, None, None]
    return Clip(frames[:-1], teacher(frames), flow_mask)


class ClipReader:
    """Reads one example of a source; remembers which videos turned out to be damaged.

    Attributes:
        damaged: `Skipped` records, one a video, of files that could not be decoded.
    """

    def __init__(self, source: Source, config: DataConfig):
        self._source = source
        self._config = config
        self._teacher = None if config.teacher == "none" else create_teacher(config.teacher)
        self._damaged: dict[int, Skipped] = {}

    @property
    def damaged(self) -> tuple[Skipped, ...]:
        return tuple(self._damaged.values())

    def training_example(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A random clip of video `index`, randomly cropped and flipped.

        The next readable video takes the place of a damaged one.
        """
        _step_back()
        config = self._config
        for shift in range(MOST_DAMAGED_IN_A_ROW):
            number = (index + shift) % len(self._source)
            video = self._source[number]
            start = random_clip_start(video.num_frames, config.num_frames, config.stride, rng)
            clip = self._read(number, video, start)
            if clip is not None:
                break
        else:
            raise VideoReadError(
                f"{MOST_DAMAGED_IN_A_ROW} videos in a row cannot be decoded, the last one "
                f"{video.name}. Check that the dataset is complete and its disk is readable."
            )
        policy = RandomCrop(tuple(config.size), config.crop_scales, 0.5 if config.flip else 0.0)
        transform = policy.draw(*clip.frames.shape[1:3], rng)
        return _example(transform.apply(clip), video.label, index, usable=True)

    def evaluation_example(self, index: int, *, clips_per_video: int) -> dict[str, np.ndarray]:
        """Clip `index % clips_per_video` of video `index // clips_per_video`, centre crop.

        The mask is False if the video cannot be decoded: it is not counted.
        """
        config = self._config
        number, which = divmod(index, clips_per_video)
        video = self._source[number]
        starts = uniform_clip_starts(
            video.num_frames, config.num_frames, config.stride, clips_per_video
        )
        clip = self._read(number, video, int(starts[which]))
        usable = clip is not None
        if clip is None:
            shape = (config.num_frames, *config.size)
            flows = np.zeros((*shape, 2), np.float32) if self._has_flow(video) else None
            flow_mask = np.zeros(shape, bool) if self._has_flow(video) else None
            clip = Clip(np.zeros((*shape, 3), np.uint8), flows, flow_mask)
        transform = CenterCrop(tuple(config.size)).draw(*clip.frames.shape[1:3])
        return _example(transform.apply(clip), video.label, number, usable=usable)

    def _has_flow(self, video: Video) -> bool:
        return video.has_flow or self._teacher is not None

    def _read(self, number: int, video: Video, start: int) -> Clip | None:
        config = self._config
        try:
            return read_clip(video, start, config.num_frames, config.stride, self._teacher)
        except VideoReadError as error:
            self._damaged.setdefault(number, Skipped(video.name, str(error)))
            return None


def train_iterator(
    reader: ClipReader,
    num_videos: int,
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator:
    """Endless shuffled batches of this process's share; `batch_size` is the share's.

    `get_state` and `set_state` of the iterator give and take its exact position.
    """
    dataset = (
        grain.MapDataset.range(num_videos)
        .seed(seed)
        .shuffle()
        .random_map(reader.training_example)
        # Sharding after the random map: the draws belong to the example, not to the process.
        .slice(slice(process_index, None, process_count))
        .repeat()
        .batch(batch_size, drop_remainder=True, batch_fn=_stack)
    )
    return iter(dataset.to_iter_dataset(_read_options(config)))


def evaluation_batches(
    reader: ClipReader,
    num_videos: int,
    config: DataConfig,
    *,
    batch_size: int,
    clips_per_video: int = 1,
    most: int | None = None,
) -> grain.DatasetIterator:
    """Each of `clips_per_video` clips of each video once, in order; the last batch is padded.

    Padding repeats the last example with mask False. With `most`, only so many clips: a random
    choice, always the same, because sets are sorted by class.
    """
    clips = np.arange(num_videos * clips_per_video)
    if most is not None:
        clips = np.sort(np.random.default_rng(0).permutation(clips)[:most])
    dataset = (
        grain.MapDataset.range(len(clips))
        .map(lambda number: int(clips[number]))
        .map(functools.partial(reader.evaluation_example, clips_per_video=clips_per_video))
        .batch(batch_size, batch_fn=_stack)
        .map(functools.partial(_pad, batch_size=batch_size))
    )
    return iter(dataset.to_iter_dataset(_read_options(config)))


def _step_back() -> None:
    """Lowers the priority of this thread, once, if it is one that reads ahead.

    On a CPU the training step wants the same cores; this way reading fills what the step leaves
    idle. Linux only: elsewhere a thread has no niceness of its own.
    """
    first = not hasattr(_thread, "stepped_back")
    _thread.stepped_back = True
    if first and sys.platform == "linux" and threading.current_thread() != threading.main_thread():
        os.nice(READER_NICENESS)


def _read_options(config: DataConfig) -> grain.ReadOptions:
    return grain.ReadOptions(
        num_threads=config.num_threads, prefetch_buffer_size=max(config.prefetch, 1)
    )


def _example(clip: Clip, label: int, index: int, *, usable: bool) -> dict[str, np.ndarray]:
    example = {
        "frames": clip.frames,
        "labels": np.int32(label),
        "mask": np.bool_(usable),
        "indices": np.int32(index),
    }
    if clip.flows is not None:
        flow_mask = clip.flow_mask
        if flow_mask is None:
            flow_mask = np.ones(clip.flows.shape[:-1], bool)
        example |= {"flows": clip.flows, "flow_mask": flow_mask}
    return example


def _stack(examples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def _pad(batch: dict[str, np.ndarray], batch_size: int) -> dict[str, np.ndarray]:
    missing = batch_size - len(batch["mask"])
    if missing:
        batch = {k: np.concatenate([v, np.repeat(v[-1:], missing, 0)]) for k, v in batch.items()}
        batch["mask"][-missing:] = False
    return batch
