"""Probabilities per step, computed by hand."""

import numpy as np

from afn_jax.predict.timeline import Timeline


def run(starts, windows, num_frames):
    """Frames are 1 s apart; probabilities of class 0 are given by window."""
    timeline, steps = Timeline(), []
    starts = list(starts)
    for first, last, p in windows:
        while starts and starts[0] <= last:  # known once the window is complete
            timeline.start(starts[0], float(starts.pop(0)))
        steps += timeline.add(first, last, np.array([p, 1 - p]))
    for start in starts:
        timeline.start(start, float(start))
    steps += timeline.finish(num_frames, float(num_frames))
    return [(s.start, s.end, round(s.probabilities[0], 6), s.first, s.last) for s in steps]


def test_a_step_is_the_mean_of_the_windows_that_cover_it():
    steps = run([0, 2, 4, 6], [(0, 3, 0.2), (2, 5, 0.6), (4, 7, 1.0)], 8)
    assert steps == [
        (0, 2, 0.2, 0, 1),
        (2, 4, 0.4, 2, 3),  # (.2 + .6) / 2
        (4, 6, 0.8, 4, 5),  # (.6 + 1) / 2
        (6, 8, 1.0, 6, 7),
    ]


def test_the_window_at_the_end_of_the_video_counts_where_it_covers():
    # Steps of 4 frames, middles 1, 5, 8; the last window covers the frames 5 to 8.
    steps = run([0, 4, 8], [(0, 3, 0.1), (4, 7, 0.5), (5, 8, 0.9)], 9)
    assert steps == [(0, 4, 0.1, 0, 3), (4, 8, 0.7, 4, 7), (8, 9, 0.9, 8, 8)]


def test_windows_that_do_not_overlap_count_until_the_next_one():
    steps = run([0, 10, 20], [(0, 1, 0.1), (10, 11, 0.2), (23, 24, 0.3)], 25)
    assert steps == [(0, 10, 0.1, 0, 9), (10, 20, 0.2, 10, 19)]  # the middle of 20..24 is 22


def test_a_short_video_is_one_step():
    assert run([0, 2], [(0, 2, 0.3)], 3) == [(0, 2, 0.3, 0, 1), (2, 3, 0.3, 2, 2)]


def test_a_step_without_a_window_is_left_out():
    steps = run([0, 2, 4, 6], [(0, 1, 0.2), (6, 7, 0.4)], 8)
    assert steps == [(0, 2, 0.2, 0, 1), (6, 8, 0.4, 6, 7)]


def test_steps_are_returned_as_soon_as_no_window_can_change_them():
    timeline = Timeline()
    timeline.start(0, 0.0)
    assert timeline.add(0, 3, np.ones(1)) == []
    timeline.start(2, 2.0)
    (step,) = timeline.add(2, 5, np.ones(1))
    assert (step.first, step.last) == (0, 1)


def test_keeps_only_what_overlaps():
    timeline = Timeline()
    for k in range(1000):
        timeline.start(2 * k, 2.0 * k)
        timeline.add(2 * k, 2 * k + 3, np.ones(1))
    assert len(timeline._windows) < 5 and len(timeline._starts) < 5
