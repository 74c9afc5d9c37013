"""The pipeline: order of the examples, resuming, and replacement of damaged videos."""

import dataclasses
import multiprocessing
import os
import signal

import numpy as np
import pytest

from afn_jax.data import pipeline
from afn_jax.data.clip_reader import ClipReader
from afn_jax.data.pipeline import evaluation_batches, train_iterator
from afn_jax.data.sources import create_source
from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.transforms.views import Views
from tests.counted_videos import SMALL, CountedSource


def iterator(source, *, config=SMALL, batch_size=4, seed=0, **sharding):
    reader = ClipReader(source, config)
    return train_iterator(reader, batch_size=batch_size, seed=seed, **sharding)


def take(batches, count):
    return [next(batches) for _ in range(count)]


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("consumed", [0, 1, 5])
def test_a_resumed_iterator_continues_with_the_next_batch(consumed):
    config = dataclasses.replace(SMALL, size=(16, 16), flip=True)
    source = SyntheticMotion(24, size=(16, 16), num_frames=5)
    first = iterator(source, config=config)
    take(first, consumed)
    state = first.get_state()
    expected = take(first, 4)
    resumed = iterator(source, config=dataclasses.replace(config, num_threads=3, prefetch=1))
    take(resumed, 2)  # its own position is overwritten
    resumed.set_state(state)
    assert_equal(take(resumed, 4), expected)


def test_batches_depend_on_the_seed():
    runs = [take(iterator(CountedSource(), seed=seed), 6) for seed in (1, 1, 2)]
    assert_equal(runs[0], runs[1])
    assert any((a["indices"] != b["indices"]).any() for a, b in zip(runs[0], runs[2], strict=True))


def test_batches_do_not_depend_on_the_number_of_threads():
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
    """Even if sizes do not divide evenly; together, the processes have the batches of one."""
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
            joined = np.concatenate([share[step][name] for share in shares])
            np.testing.assert_array_equal(joined, expected, err_msg=name)
    seen = np.concatenate([batch["indices"] for batch in whole])
    for epoch in range(2):
        assert sorted(seen[epoch * num_videos :][:num_videos]) == list(range(num_videos))


def test_batches_do_not_depend_on_worker_processes():
    """Neither do resuming and the list of damaged videos."""
    source = CountedSource(7, damaged=(3,))
    config = dataclasses.replace(SMALL, num_workers=2, num_threads=1)
    here, there = ClipReader(source, SMALL), ClipReader(source, config)
    expected = train_iterator(here, batch_size=3, seed=0)
    batches = train_iterator(there, batch_size=3, seed=0)
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


def test_a_batch_has_the_documented_arrays():
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
    """Even with more processes than videos; all views of a video are on one process."""
    source = CountedSource(11, damaged=(4,))
    crops = views.crops_per_clip
    each = (2 if views.when == "cover" else views.clips) * crops  # 5 frames, clips of 3
    expected_size = batch_size if crops == 1 else max(1, batch_size // 10) * 10
    seen = []
    for process in range(processes):
        reader = ClipReader(source, SMALL)
        share = dict(process_index=process, process_count=processes)
        batches = list(evaluation_batches(reader, batch_size=batch_size, views=views, **share))
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
    batches = train_iterator(reader, batch_size=4, seed=0)
    for batch in take(batches, 6):
        shown = batch["frames"][:, 0, 0, 0, 0].astype(int) // 10
        replaced = {3: 5, 4: 5, 11: 0}
        np.testing.assert_array_equal(shown, [replaced.get(i, i) for i in batch["indices"]])
        np.testing.assert_array_equal(batch["labels"], shown % 2)
    assert sorted(s.path for s in reader.damaged) == ["video11", "video3", "video4"]


def test_rejects_bad_batch_sizes_and_processes():
    with pytest.raises(ValueError, match="process_index: got 2 of process_count 2"):
        iterator(CountedSource(), process_index=2, process_count=2)
    with pytest.raises(ValueError, match="batch_size: got 0; give 1 or more"):
        evaluation_batches(ClipReader(CountedSource(), SMALL), batch_size=0)
    config = dataclasses.replace(SMALL, num_workers=2, teacher="tvl1")
    with pytest.raises(ValueError, match="data.num_workers: got 2, but the teacher tvl1"):
        next(train_iterator(ClipReader(CountedSource(), config), batch_size=2, seed=0))


def test_create_source():
    config = dataclasses.replace(SMALL, train_videos=16, test_videos=8, stride=1)
    train, test = (create_source(config, split, seed=3) for split in ("train", "test"))
    assert (len(train), len(test), train[0].num_frames, train.seed) == (16, 8, 3, 3)
    for change in ({"short_side": 0}, {"flow_bound": -1.0}):
        with pytest.raises(ValueError, match=f"data.{next(iter(change))}: got .* at least"):
            create_source(dataclasses.replace(config, **change), "train", 0)
    with pytest.raises(ValueError, match="data.source: got 'youtube'. Allowed are"):
        create_source(dataclasses.replace(config, source="youtube"), "train", 0)


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGBUS, "/dev/shm, is full"), (signal.SIGKILL, "memory ran out")]
)
def test_a_reading_process_that_is_killed_is_an_error_with_the_likely_reason(
    number, reason, monkeypatch
):
    received = []
    receive = pipeline._receive_damaged
    monkeypatch.setattr(
        pipeline, "_receive_damaged", lambda *args: received.append(args[1]) or receive(*args)
    )
    config = dataclasses.replace(SMALL, num_workers=1, num_threads=1, prefetch=1)
    batches = iterator(CountedSource(), config=config)
    next(batches)
    assert {type(array) for array in received[0].values()} == {np.ndarray}  # not in shared memory
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, number)
    with pytest.raises(RuntimeError, match=f"a reading process was ended by signal.*{reason}"):
        take(batches, 20)
