"""Segments by hysteresis thresholds, computed by hand."""

import numpy as np
import pytest

from afn_jax.predict.segments import Segment, SegmentFinder, Threshold, find_segments


def segments(rows, *thresholds, ends=None):
    starts = np.arange(len(rows), dtype=float)
    ends = starts + 1 if ends is None else ends
    thresholds = thresholds[0] if len(thresholds) == 1 else thresholds
    found = find_segments(starts, ends, np.array(rows, float), thresholds)
    return [(s.label, s.start, s.end, round(s.score, 6)) for s in found]


def test_a_segment_extends_over_the_low_threshold():
    rows = [[0.1], [0.35], [0.7], [0.4], [0.2], [0.45], [0.1]]
    assert segments(rows, Threshold(0.5, 0.3)) == [(0, 1, 4, round((0.35 + 0.7 + 0.4) / 3, 6))]


def test_equal_to_a_threshold_counts():
    assert segments([[0.3], [0.5], [0.3]], Threshold(0.5, 0.3)) == [(0, 0, 3, round(1.1 / 3, 6))]


def test_the_gap_of_one_step_below_low_separates():
    rows = [[0.9], [0.2], [0.9]]
    assert segments(rows, Threshold(0.5, 0.3)) == [(0, 0, 1, 0.9), (0, 2, 3, 0.9)]


def test_short_segments_are_left_out():
    rows = [[0.9], [0.1], [0.9], [0.9], [0.1]]
    assert segments(rows, Threshold(0.5, 0.3, least=2.0)) == [(0, 2, 4, 0.9)]


def test_classes_have_their_own_thresholds_and_may_overlap():
    rows = [[0.6, 0.4], [0.6, 0.4], [0.2, 0.1]]
    assert segments(rows, Threshold(0.5, 0.3), Threshold(0.35, 0.35)) == [
        (0, 0, 2, 0.6),
        (1, 0, 2, 0.4),
    ]
    assert segments(rows, Threshold(0.5, 0.3), Threshold(0.5, 0.3)) == [(0, 0, 2, 0.6)]


def test_a_segment_does_not_lead_over_time_that_is_unknown():
    rows, ends = [[0.9], [0.9], [0.9]], np.array([1.0, 1.5, 3.0])
    assert segments(rows, Threshold(0.5, 0.3), ends=ends) == [(0, 0, 1.5, 0.9), (0, 2, 3, 0.9)]


def test_the_score_is_weighted_by_time():
    finder = SegmentFinder([Threshold(0.5, 0.3)])
    assert finder.add(0.0, 1.0, [0.9]) == []
    assert finder.add(1.0, 4.0, [0.5]) == []
    (segment,) = finder.finish()
    assert segment == Segment(0, 0.0, 4.0, pytest.approx((0.9 + 3 * 0.5) / 4))


def test_segments_of_one_class_never_overlap_and_agree_with_a_plain_loop():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(4, 0.4), 300)
    high, low = 0.6, 0.25
    expected = []
    for label in range(4):
        step = 0
        while step < 300:
            end = step
            while end < 300 and rows[end, label] >= low:
                end += 1
            if end > step and rows[step:end, label].max() >= high and end - step >= 2:
                expected.append((label, step, end, round(rows[step:end, label].mean(), 6)))
            step = max(end, step + 1)
    assert sorted(segments(rows, Threshold(high, low, 2.0))) == expected
    assert len(expected) > 20


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.0, 0.1), "threshold: got 0"),
        ((1.5, 0.1), "threshold: got 1.5.*at most 1"),
        ((0.5, 0.6), "low: got 0.6.*at most the threshold 0.5"),
        ((0.5, 0.3, -1.0), "least: got -1"),
        ((float("nan"), 0.1), "threshold: got nan"),
    ],
)
def test_rejects_wrong_thresholds(values, message):
    with pytest.raises(ValueError, match=message):
        Threshold(*values)
