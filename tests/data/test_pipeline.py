"""The pipeline: every example once, the same after a resume, damaged videos named and replaced."""

import dataclasses
import os
import sys
import threading

import numpy as np
import pytest

from afn_jax.data.clip import Clip, VideoReadError
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import ClipReader, evaluation_batches, read_clip, train_iterator
from afn_jax.data.sources import create_source
from afn_jax.data.sources.synthetic_motion import SyntheticMotion

SMALL = DataConfig(num_frames=3, size=(16, 16), crop_scales=(1.0,), teacher="none", num_threads=2)


@dataclasses.dataclass(frozen=True)
class Counted:
    """A video whose frame t is plain grey of brightness 10 number + t."""

    number: int
    num_frames: int = 5
    damaged: bool = False
    has_flow = False

    @property
    def name(self):
        return f"video{self.number}"

    @property
    def label(self):
        return self.number % 2

    def clip(self, indices):
        if self.damaged:
            raise VideoReadError(f"{self.name} is cut off")
        values = (10 * self.number + np.asarray(indices)).astype(np.uint8)
        return Clip(np.broadcast_to(values[:, None, None, None], (len(values), 20, 24, 3)))


class CountedSource:
    class_names = ("even", "odd")
    skipped = ()

    def __init__(self, count=12, damaged=(), num_frames=5):
        self.videos = [Counted(i, num_frames, i in damaged) for i in range(count)]

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, index):
        return self.videos[index]


def iterator(source, *, config=SMALL, batch_size=4, seed=0, **sharding):
    reader = ClipReader(source, config)
    return train_iterator(reader, len(source), config, batch_size=batch_size, seed=seed, **sharding)


def take(batches, count):
    return [next(batches) for _ in range(count)]


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("consumed", [0, 1, 5, 9])
def test_a_resumed_iterator_gives_the_very_next_batches(consumed):
    config = dataclasses.replace(SMALL, size=(16, 16), flip=True)
    source = SyntheticMotion(24, size=(16, 16), num_frames=5)
    first = iterator(source, config=config)
    take(first, consumed)
    state = first.get_state()
    expected = take(first, 8)
    resumed = iterator(source, config=config)
    resumed.set_state(state)
    assert_equal(take(resumed, 8), expected)


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    runs = [take(iterator(CountedSource(), seed=seed), 6) for seed in (1, 1, 2)]
    assert_equal(runs[0], runs[1])
    assert any((a["indices"] != b["indices"]).any() for a, b in zip(runs[0], runs[2], strict=True))


def test_number_of_threads_changes_nothing():
    runs = [
        take(iterator(CountedSource(), config=dataclasses.replace(SMALL, num_threads=n)), 6)
        for n in (1, 4)
    ]
    assert_equal(*runs)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_epoch_shows_each_video_once_on_one_process(processes):
    source = CountedSource(12)
    for epoch_start in (0, 12):
        seen = []
        for process in range(processes):
            share = iterator(source, batch_size=2, process_index=process, process_count=processes)
            batches = take(share, (epoch_start + 12) // 2 // processes)
            epoch = batches[epoch_start // 2 // processes :]
            seen.extend(np.concatenate([batch["indices"] for batch in epoch]))
        assert sorted(seen) == list(range(12))


def test_processes_share_the_batch_that_one_process_would_have():
    """Draws belong to the example, not to the process that reads it."""
    one = next(iterator(CountedSource(), batch_size=4))
    shares = [
        next(iterator(CountedSource(), batch_size=2, process_index=i, process_count=2))
        for i in (0, 1)
    ]
    for name in one:
        joined = np.stack([share[name] for share in shares], 1).reshape(one[name].shape)
        np.testing.assert_array_equal(joined, one[name])


def test_epochs_differ_in_order_and_in_clips():
    batches = take(iterator(CountedSource(12, num_frames=40), batch_size=12), 2)
    assert (batches[0]["indices"] != batches[1]["indices"]).any()
    starts = []
    for batch in batches:
        order = np.argsort(batch["indices"])
        starts.append((batch["frames"][order, 0, 0, 0, 0] - 10 * np.arange(12)).astype(np.uint8))
    assert (starts[0] != starts[1]).any()


def test_a_batch_holds_what_it_says():
    batch = next(iterator(CountedSource()))
    assert batch["frames"].shape == (4, 3, 16, 16, 3) and batch["frames"].dtype == np.uint8
    assert batch["mask"].all() and set(batch) == {"frames", "labels", "mask", "indices"}
    np.testing.assert_array_equal(batch["labels"], batch["indices"] % 2)
    first = batch["frames"][:, :, 0, 0, 0].astype(int) - 10 * batch["indices"][:, None]
    np.testing.assert_array_equal(first - first[:, :1], [[0, 1, 2]] * 4)
    assert (first[:, 0] >= 0).all() and (first[:, 0] <= 2).all()


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("batch_size", [4, 5, 64])
def test_evaluation_counts_every_clip_once_and_pads(clips, batch_size):
    source = CountedSource(11, damaged=(4,))
    reader = ClipReader(source, SMALL)
    batches = list(
        evaluation_batches(reader, len(source), SMALL, batch_size=batch_size, clips_per_video=clips)
    )
    assert {len(batch["mask"]) for batch in batches} == {batch_size}
    mask = np.concatenate([batch["mask"] for batch in batches])
    indices = np.concatenate([batch["indices"] for batch in batches])[mask]
    readable = [i for i in range(11) if i != 4]
    np.testing.assert_array_equal(indices, np.repeat(readable, clips))
    assert [(s.path, s.reason) for s in reader.damaged] == [("video4", "video4 is cut off")]


def test_damaged_videos_are_replaced_by_the_next_and_listed_once():
    source = CountedSource(12, damaged=(3, 4, 11))
    reader = ClipReader(source, SMALL)
    batches = train_iterator(reader, 12, SMALL, batch_size=4, seed=0)
    for batch in take(batches, 6):
        shown = batch["frames"][:, 0, 0, 0, 0].astype(int) // 10
        replaced = {3: 5, 4: 5, 11: 0}
        np.testing.assert_array_equal(shown, [replaced.get(i, i) for i in batch["indices"]])
        np.testing.assert_array_equal(batch["labels"], shown % 2)
    assert sorted(s.path for s in reader.damaged) == ["video11", "video3", "video4"]


def test_a_dataset_that_is_damaged_all_over_stops_the_run():
    source = CountedSource(30, damaged=range(30))
    with pytest.raises(VideoReadError, match="20 videos in a row cannot be decoded, the last one"):
        next(iterator(source))


class Recorder:
    """A teacher that says which frames it saw."""

    def __call__(self, frames):
        value = frames[:-1, :, :, :1].astype(np.float32)
        return np.concatenate([value, frames[1:, :, :, :1].astype(np.float32)], -1)


def test_the_teacher_sees_the_frame_after_the_clip():
    clip = read_clip(Counted(0, num_frames=9), 2, 3, 2, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [2, 4, 6])
    np.testing.assert_array_equal(clip.flows[:, 0, 0], [[2, 4], [4, 6], [6, 8]])
    assert clip.flow_mask.all() and clip.flow_mask.shape == (3, 20, 24)


def test_where_a_short_video_starts_over_there_is_no_flow():
    clip = read_clip(Counted(0, num_frames=3), 0, 5, 1, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(clip.flow_mask[:, 0, 0], [True, True, False, True, True])


def test_a_flip_mirrors_frames_and_negates_the_x_of_flow():
    source = SyntheticMotion(1, size=(16, 24), num_frames=3)
    config = dataclasses.replace(SMALL, size=(16, 24), flip=True)
    original = source[0].clip(np.arange(3))
    reader = ClipReader(source, config)
    kinds = set()
    for seed in range(20):
        example = reader.training_example(0, np.random.default_rng(seed))
        flipped = not np.array_equal(example["frames"], original.frames)
        kinds.add(flipped)
        frames, flows, mask = original.frames, original.flows, original.flow_mask
        if flipped:
            frames, mask = frames[:, :, ::-1], mask[:, :, ::-1]
            flows = flows[:, :, ::-1] * np.array([-1, 1], np.float32)
        np.testing.assert_array_equal(example["frames"], frames)
        np.testing.assert_array_equal(example["flows"], flows)
        np.testing.assert_array_equal(example["flow_mask"], mask)
    assert kinds == {True, False}


def test_rendered_flow_has_no_stride():
    with pytest.raises(ValueError, match=r"data.stride: got 2.*Use --data.stride 1"):
        read_clip(SyntheticMotion(8)[0], 0, 3, 2, None)


def test_create_source():
    config = dataclasses.replace(SMALL, train_videos=16, test_videos=8, stride=1)
    train, test = (create_source(config, split, seed=3) for split in ("train", "test"))
    assert (len(train), len(test), train[0].num_frames, train.seed) == (16, 8, 3, 3)
    with pytest.raises(ValueError, match="data.source: got 'youtube', allowed are"):
        create_source(dataclasses.replace(config, source="youtube"), "train", 0)


def test_reading_ahead_leaves_the_priority_of_the_training_alone():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    reader = ClipReader(CountedSource(), SMALL)
    reader.training_example(0, np.random.default_rng(0))
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    seen = []

    def read():
        reader.training_example(0, np.random.default_rng(0))
        reader.training_example(1, np.random.default_rng(0))
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    if sys.platform == "linux":
        assert seen == [min(before + 10, 19)]
