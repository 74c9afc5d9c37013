"""The pipeline: every example once, the same after a resume, damaged videos named and replaced."""

import dataclasses
import os
import sys
import threading

import numpy as np
import pytest

from afn_jax.data.clip import Clip, VideoReadError
from afn_jax.data.clip_reader import ClipReader, read_clip
from afn_jax.data.config import DataConfig
from afn_jax.data.pipeline import evaluation_batches, train_iterator
from afn_jax.data.sources import create_source
from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.views import Views

SMALL = DataConfig(
    num_frames=3, size=(16, 16), crop_scales=(1.0,), teacher="none", num_threads=2, prefetch=2
)


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


@pytest.mark.parametrize("consumed", [0, 1, 5])
def test_a_resumed_iterator_gives_the_very_next_batches(consumed):
    config = dataclasses.replace(SMALL, size=(16, 16), flip=True)
    source = SyntheticMotion(24, size=(16, 16), num_frames=5)
    first = iterator(source, config=config)
    take(first, consumed)
    state = first.get_state()
    expected = take(first, 4)
    resumed = iterator(source, config=dataclasses.replace(config, num_threads=3, prefetch=1))
    take(resumed, 2)  # a position of its own is given up
    resumed.set_state(state)
    assert_equal(take(resumed, 4), expected)


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


@pytest.mark.parametrize(
    ("num_videos", "batch_size", "processes"),
    [(12, 4, 1), (12, 3, 2), (7, 1, 3), (7, 4, 2), (11, 3, 5), (2, 3, 3)],
)
def test_an_epoch_shows_each_video_once_on_one_process(num_videos, batch_size, processes):
    """Whatever divides what; and all processes together have the batches that one would have."""
    source = CountedSource(num_videos)
    steps = -(-2 * num_videos // (batch_size * processes))
    shares = [
        take(
            iterator(source, batch_size=batch_size, process_index=p, process_count=processes), steps
        )
        for p in range(processes)
    ]
    whole = take(iterator(source, batch_size=batch_size * processes), steps)
    for step, one in enumerate(whole):
        for name, expected in one.items():
            joined = np.stack([share[step][name] for share in shares], 1)
            np.testing.assert_array_equal(joined.reshape(expected.shape), expected, err_msg=name)
    seen = np.concatenate([batch["indices"] for batch in whole])
    for epoch in range(2):
        assert sorted(seen[epoch * num_videos :][:num_videos]) == list(range(num_videos))


def test_reading_in_other_processes_changes_nothing():
    """Neither the batches, nor a resume, nor what is known of damaged videos."""
    source = CountedSource(7, damaged=(3,))
    config = dataclasses.replace(SMALL, num_workers=2, num_threads=1)
    here, there = ClipReader(source, SMALL), ClipReader(source, config)
    expected = train_iterator(here, 7, SMALL, batch_size=3, seed=0)
    batches = train_iterator(there, 7, config, batch_size=3, seed=0)
    take(expected, 2)
    batches.set_state(expected.get_state())
    assert_equal(take(batches, 5), take(expected, 5))
    assert there.damaged == here.damaged and len(here.damaged) == 1


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


@pytest.mark.parametrize("views", [Views(), Views(3), Views(2, crops="ten"), Views(when="cover")])
@pytest.mark.parametrize(("batch_size", "processes"), [(4, 1), (5, 3), (64, 2), (3, 20)])
def test_evaluation_counts_every_view_once_and_pads(views, batch_size, processes):
    """Also with more processes than videos; and the views of a video are all on one process."""
    source = CountedSource(11, damaged=(4,))
    crops = views.crops_per_clip
    each = (2 if views.when == "cover" else views.clips) * crops  # 5 frames, clips of 3
    expected_size = batch_size if crops == 1 else max(1, batch_size // 10) * 10
    seen = []
    for process in range(processes):
        reader = ClipReader(source, SMALL)
        share = dict(process_index=process, process_count=processes)
        batches = list(
            evaluation_batches(reader, 11, SMALL, batch_size=batch_size, views=views, **share)
        )
        assert {len(batch["mask"]) for batch in batches} <= {expected_size}
        indices = [batch["indices"][batch["mask"]] for batch in batches]
        own = [int(i) for part in indices for i in part]
        assert all(own.count(i) == each for i in own)
        assert [s.path for s in reader.damaged] == ["video4"] * (process == 4 % processes)
        seen += own
    assert sorted(seen) == [i for i in range(11) if i != 4 for _ in range(each)]


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
    clip = read_clip(Counted(0, num_frames=9), np.array([2]), 3, 2, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [2, 4, 6])
    np.testing.assert_array_equal(clip.flows[:, 0, 0], [[2, 4], [4, 6], [6, 8]])
    assert clip.flow_mask.all() and clip.flow_mask.shape == (3, 20, 24)


def test_where_a_short_video_starts_over_there_is_no_flow():
    clip = read_clip(Counted(0, num_frames=3), np.array([0]), 5, 1, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(clip.flow_mask[:, 0, 0], [True, True, False, True, True])


def test_no_flow_leads_from_one_segment_to_the_next():
    clip = read_clip(Counted(0, num_frames=20), np.array([2, 13]), 2, 3, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [2, 5, 13, 16])
    np.testing.assert_array_equal(clip.flows[:, 0, 0], [[2, 5], [5, 8], [13, 16], [16, 19]])
    assert clip.flow_mask.all()


def test_the_teacher_sees_brightened_frames():
    brighten = dict(brighten=lambda frames: frames + np.uint8(100))
    clip = read_clip(Counted(0, num_frames=9), np.array([1]), 2, 1, Recorder(), **brighten)
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [101, 102])
    np.testing.assert_array_equal(clip.flows[:, 0, 0], [[101, 102], [102, 103]])


@pytest.mark.parametrize("how", ["none", "gamma", "auto"])
def test_one_gamma_brightens_a_whole_clip(how):
    config = dataclasses.replace(SMALL, brighten=how, gamma=0.5)
    source = CountedSource(3, num_frames=9)
    reader = ClipReader(source, config)
    for example in (
        reader.training_example(2, np.random.default_rng(0)),
        {name: array[0] for name, array in reader.evaluation_example(2).items()},
    ):
        got = example["frames"][:, 0, 0, 0].astype(float)
        assert (example["frames"] == example["frames"][:, :1, :1, :1]).all()
        if how == "none":
            assert (np.diff(got) == 1).all() and 20 <= got[0] <= 26
            continue
        starts = [np.arange(20 + s, 23 + s) for s in range(7)]
        gammas = [0.5] if how == "gamma" else np.linspace(0.2, 0.9, 701)
        curves = [255 * (start / 255) ** gamma for start in starts for gamma in gammas]
        assert min(np.abs(got - curve).max() for curve in curves) <= 0.65
        if how == "auto":
            assert got.mean() == pytest.approx(0.4 * 255, abs=1)


@dataclasses.dataclass(frozen=True)
class Coded:
    """A video in which frame, flow and mask all tell where they come from.

    Pixel (t, y, x): red 8 x, green 8 y, blue 10 t; flow (1 + x, 1 + y + 100 t); known if x + t > 5.
    """

    name: str = "coded"
    label: int = 0
    num_frames: int = 20
    has_flow: bool = True

    def clip(self, indices):
        t, y, x = np.meshgrid(indices, np.arange(24), np.arange(30), indexing="ij")
        frames = np.stack([8 * x, 8 * y, 10 * t], -1).astype(np.uint8)
        return Clip(frames, np.stack([1.0 + x, 1 + y + 100 * t], -1).astype("f4"), x + t > 5)


def assert_one_place(frames, flows, mask, times):
    """Frames, flows and mask are cut from the same place and times, and mirrored alike."""
    x, y, t = (frames[..., channel] / scale for channel, scale in ((0, 8), (1, 8), (2, 10)))
    np.testing.assert_array_equal(t, np.broadcast_to(times[:, None, None], t.shape))
    mirrored = x[0, 0, 0] > x[0, 0, -1]
    # A flow scales with the picture: source pixels for each pixel of the result.
    x_scale, y_scale = abs(x[0, 0, 9] - x[0, 0, 2]) / 7, (y[0, 9, 0] - y[0, 2, 0]) / 7
    sign = -1 if mirrored else 1
    np.testing.assert_allclose(sign * flows[..., 0] * x_scale, 1 + x, rtol=0.03, atol=0.3)
    np.testing.assert_allclose(flows[..., 1] * y_scale, 1 + y + 100 * t, rtol=0.03, atol=0.3)
    assert mask[x + t > 6.5].all() and not mask[x + t < 4.5].any()
    return bool(mirrored)


@pytest.mark.parametrize("crop", ["random", "corners", "corners-13"])
@pytest.mark.parametrize("sampling", ["clip", "segments"])
def test_frames_flow_and_mask_always_have_the_same_clip_and_crop(sampling, crop):
    config = DataConfig(
        num_frames=6, size=(12, 12), sampling=sampling, crop=crop, crop_scales=(1.0, 0.75, 0.5)
    )
    reader = ClipReader([Coded()], config)
    examples = [reader.training_example(0, np.random.default_rng(seed)) for seed in range(24)]
    for views in (Views(2), Views(2, crops="ten", scale=0.5), Views(2, "random", "random", 0.5)):
        for clip in (0, 1):
            crops = reader.evaluation_example(0, views, clip)
            examples += [
                {name: array[i] for name, array in crops.items()}
                for i in range(views.crops_per_clip)
            ]
    mirrored = []
    for example in examples:
        times = example["frames"][:, 0, 0, 2] // 10
        steps = np.diff(times.astype(int))
        assert (steps[[0, 2, 4]] == 1).all() and (steps >= 0).all()
        assert (steps == 1).all() or sampling == "segments"
        mirrored.append(
            assert_one_place(example["frames"], example["flows"], example["flow_mask"], times)
        )
    assert 6 < sum(mirrored[:24]) < 18
    assert mirrored[26:46] == 2 * (5 * [False] + 5 * [True])


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
        read_clip(SyntheticMotion(8)[0], np.array([0]), 3, 2, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sampling": "segments", "num_segments": 2},
            "data.num_segments: got 2, which does not divide the 3 frames of a clip",
        ),
        ({"crop": "middle"}, "data.crop: got 'middle', allowed are random, corners, corners-13"),
        ({"crop": "corners", "crop_scales": (2.0,)}, r"scales: got \(2.0,\)"),
        ({"crop": "corners", "crop_distortion": -1}, "max_distortion: got -1"),
        ({"brighten": "more"}, "data.brighten: got 'more', allowed are none, gamma, auto"),
        ({"brighten": "gamma", "gamma": 0.0}, "data.gamma: got 0.0; give a number above 0"),
    ],
)
def test_settings_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        ClipReader(CountedSource(), dataclasses.replace(SMALL, **change))


def test_shares_that_cannot_be():
    with pytest.raises(ValueError, match="process_index: got 2 of process_count 2"):
        iterator(CountedSource(), process_index=2, process_count=2)
    with pytest.raises(ValueError, match="batch_size: got 0; give 1 or more"):
        evaluation_batches(ClipReader(CountedSource(), SMALL), 12, SMALL, batch_size=0)
    config = dataclasses.replace(SMALL, num_workers=2, teacher="tvl1")
    with pytest.raises(ValueError, match="data.num_workers: got 2, but the teacher tvl1"):
        next(train_iterator(ClipReader(CountedSource(), SMALL), 12, config, batch_size=2, seed=0))


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
