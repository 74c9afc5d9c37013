"""Metrics of segments against hand-computed cases and plain loops over the published rules."""

import math

import numpy as np
import pytest

from afn_jax.metrics.segments import (
    BACKGROUND,
    Interval,
    SegmentMetric,
    frame_labels,
    interpolated_average_precision,
    matches,
    overlap_of,
)

TIMES = np.arange(100) / 10 + 0.05  # the middles of 100 frames in 10 s


def _random_video(rng, count=6, classes=3):
    edges = np.sort(rng.choice(np.arange(1, 100), 2 * count, replace=False)) / 10
    true = [
        Interval(int(rng.integers(classes)), edges[2 * i], edges[2 * i + 1]) for i in range(count)
    ]
    predicted = [
        Interval(
            item.label if rng.uniform() < 0.8 else int(rng.integers(classes)),
            item.start + rng.normal(0, 0.3),
            item.end + abs(rng.normal(0, 0.3)) + 0.9,
            float(rng.uniform()),
        )
        for item in [*true, *true[:2]]
        if rng.uniform() < 0.8
    ]
    return true, [item for item in predicted if item.start < item.end]


def test_overlap_of_hand_computed_cases():
    one = Interval(0, 1.0, 3.0)
    assert overlap_of(one, one) == 1
    assert overlap_of(one, Interval(0, 2.0, 4.0)) == pytest.approx(1 / 3)
    assert overlap_of(one, Interval(0, 1.5, 2.0)) == pytest.approx(1 / 4)
    assert overlap_of(one, Interval(0, 3.0, 4.0)) == 0  # they only touch
    assert overlap_of(one, Interval(0, 7.0, 8.0)) == 0


def test_frame_labels_prefer_the_higher_score():
    segments = [Interval(1, 0.0, 2.0, 0.9), Interval(2, 1.0, 3.0, 0.5)]
    labels = frame_labels(segments, np.array([0.0, 1.5, 2.0, 3.0]))
    np.testing.assert_array_equal(labels, [1, 1, 2, BACKGROUND])


def test_frame_accuracy_with_and_without_background():
    true = [Interval(0, 2.0, 4.0), Interval(1, 6.0, 8.0)]
    # Class 0 is found a second late; class 1 is taken for 0.
    predicted = [Interval(0, 3.0, 5.0), Interval(0, 6.0, 8.0)]
    result = SegmentMetric.from_video(true, predicted, TIMES).compute()
    assert result["action_frame_accuracy"] == pytest.approx(10 / 40)
    # Wrong: 1 s of class 0, 1 s after it, 2 s of class 1.
    assert result["frame_accuracy"] == pytest.approx(60 / 100)


def test_f1_of_hand_computed_cases():
    true = [Interval(0, 0.0, 2.0), Interval(1, 4.0, 6.0), Interval(0, 8.0, 9.0)]
    predicted = [
        Interval(0, 0.0, 1.0),  # IoU 1/2 with the first
        Interval(0, 1.0, 2.0),  # the same again: wrong, the first is taken
        Interval(1, 5.5, 7.5),  # IoU .5 / 3.5 = 1/7 with the second
        Interval(1, 8.0, 9.0),  # wrong class
    ]
    assert matches(true, predicted, 0.1) == (2, 2, 1)
    assert matches(true, predicted, 0.5) == (1, 3, 2)
    metric = SegmentMetric.from_video(true, predicted, TIMES)
    assert metric.f1(0.1) == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert metric.f1(0.25) == metric.f1(0.5) == pytest.approx(2 / (2 + 3 + 2))


def test_average_precision_of_hand_computed_cases():
    # Right, wrong, right; 4 true segments: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2.
    assert interpolated_average_precision(np.array([1, 0, 1]), 4) == pytest.approx(
        1 / 4 * 1 + 1 / 4 * 2 / 3
    )
    # Wrong, right, right: the precision at recall 1/2 is that at recall 1.
    assert interpolated_average_precision(np.array([0, 1, 1]), 2) == pytest.approx(2 / 3)
    assert interpolated_average_precision(np.zeros(0), 3) == 0


def test_average_precision_takes_the_highest_score_first():
    true = [Interval(0, 0.0, 2.0)]
    better_later = [Interval(0, 0.0, 1.4, 0.9), Interval(0, 0.0, 2.0, 0.1)]
    metric = SegmentMetric.from_video(true, better_later, TIMES)
    assert metric.mean_average_precision(0.5) == 1  # the second is wrong, but after recall 1
    assert metric.mean_average_precision(0.9) == pytest.approx(1 / 2)  # now the first is wrong


def test_mean_average_precision_is_over_the_classes_that_occur():
    true = [Interval(0, 0.0, 2.0), Interval(3, 4.0, 6.0)]
    predicted = [Interval(0, 0.0, 2.0), Interval(5, 8.0, 9.0)]
    metric = SegmentMetric.from_video(true, predicted, TIMES)
    assert metric.average_precision(0.5) == {0: 1.0, 3: 0.0}
    assert metric.mean_average_precision(0.5) == 0.5


def test_a_prediction_matches_only_its_own_video():
    item = [Interval(0, 1.0, 2.0)]
    metric = SegmentMetric.from_video(item, [], TIMES)
    metric = metric.merge(SegmentMetric.from_video([], item, TIMES))
    result = metric.compute()
    assert result["f1_10"] == 0 and result["map_10"] == 0
    assert (result["segments"], result["true_segments"]) == (1, 1)


def test_perfect_and_empty_predictions():
    true = [Interval(0, 1.0, 2.0), Interval(1, 3.0, 4.0)]
    perfect = SegmentMetric.from_video(true, true, TIMES).compute()
    assert {value for name, value in perfect.items() if "segments" not in name} == {1.0}
    nothing = SegmentMetric.from_video(true, [], TIMES).compute()
    assert nothing["f1_50"] == nothing["map_activitynet"] == nothing["action_frame_accuracy"] == 0
    assert nothing["frame_accuracy"] == pytest.approx(0.8)
    assert math.isnan(SegmentMetric().compute()["f1_10"])


def _ms_tcn(true, predicted, overlap):
    """The rule of MS-TCN, segment by segment with arrays over the true ones."""
    starts, ends, labels = (
        np.array([getattr(s, k) for s in true]) for k in ("start", "end", "label")
    )
    taken, right, wrong = np.zeros(len(true)), 0, 0
    for item in sorted(predicted, key=lambda s: s.start):
        both = np.minimum(item.end, ends) - np.maximum(item.start, starts)
        values = both / (np.maximum(item.end, ends) - np.minimum(item.start, starts))
        values = values * (labels == item.label)
        best = values.argmax()
        if values[best] >= overlap and not taken[best]:
            right, taken[best] = right + 1, 1
        else:
            wrong += 1
    return right, wrong, len(true) - int(taken.sum())


def _activitynet(videos, label, overlap):
    """The rule of ActivityNet, with its curve made of explicit points."""
    true = [(v, s) for v, (t, _) in enumerate(videos) for s in t if s.label == label]
    found = [(v, s) for v, (_, p) in enumerate(videos) for s in p if s.label == label]
    locked, hits = set(), []
    for video, item in sorted(found, key=lambda pair: pair[1].score, reverse=True):
        order = sorted(
            (i for i, (v, _) in enumerate(true) if v == video),
            key=lambda i: overlap_of(item, true[i][1]),
            reverse=True,
        )
        hit = False
        for i in order:
            if overlap_of(item, true[i][1]) < overlap:
                break
            if i not in locked:
                locked.add(i)
                hit = True
                break
        hits.append(hit)
    points = [
        (sum(hits[: k + 1]) / len(true), sum(hits[: k + 1]) / (k + 1)) for k in range(len(hits))
    ]
    area, last = 0.0, 0.0
    for recall, _ in points:
        if recall > last:
            area += (recall - last) * max(p for r, p in points if r >= recall)
            last = recall
    return area


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_plain_loops_over_the_published_rules(seed):
    rng = np.random.default_rng(seed)
    videos = [_random_video(rng) for _ in range(4)]
    metric = SegmentMetric()
    for true, predicted in videos:
        metric = metric.merge(SegmentMetric.from_video(true, predicted, TIMES))
    for overlap in (0.1, 0.25, 0.5, 0.75):
        counts = np.sum([_ms_tcn(*video, overlap) for video in videos], axis=0)
        assert metric.f1(overlap) == pytest.approx(
            2 * counts[0] / (2 * counts[0] + counts[1:].sum())
        )
        for label, value in metric.average_precision(overlap).items():
            assert value == pytest.approx(_activitynet(videos, label, overlap))


@pytest.mark.parametrize(
    "true, message",
    [
        ([Interval(0, 2.0, 2.0)], "class 0 lasts from 2.0 to 2.0 s"),
        ([Interval(0, 1.0, 3.0), Interval(1, 2.0, 4.0)], "true segments overlap"),
    ],
)
def test_rejects_impossible_segments(true, message):
    with pytest.raises(ValueError, match=message):
        SegmentMetric.from_video(true, [], TIMES)
