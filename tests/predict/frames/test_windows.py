"""Windows of a sequence of frames: which frames they have, when they start, how a video ends."""

import numpy as np
import pytest

from afn_jax.data.transforms.sampling import clip_indices, uniform_segment_starts
from afn_jax.data.transforms.views import segment_indices
from afn_jax.predict.frames.windows import Windows, window_shape


def cut(num_frames, shape, *, times=None, **options):
    """Returns the cutter, its windows and the number of frames given when each was returned."""
    cutter, found = Windows(shape, **options), []
    for k in range(num_frames):
        image = np.full((1, 1, 3), k % 256, np.uint8)
        new = cutter.add(k / 10 if times is None else times[k], image)
        found += [(window, k + 1) for window in new]
    found += [(window, num_frames) for window in cutter.finish()]
    return cutter, [window for window, _ in found], [count for _, count in found]


def numbers(window):
    return window.frames[:, 0, 0, 0].tolist()


def test_windows_start_every_half_span_and_the_last_ends_with_the_video():
    cutter, windows, given = cut(11, window_shape(4, 1))
    assert [numbers(w) for w in windows] == [
        [0, 1, 2, 3],
        [2, 3, 4, 5],
        [4, 5, 6, 7],
        [6, 7, 8, 9],
        [7, 8, 9, 10],
    ]
    assert given == [4, 6, 8, 10, 11]  # each as soon as its last frame is there
    assert [(w.first, w.last) for w in windows] == [(0, 3), (2, 5), (4, 7), (6, 9), (7, 10)]
    assert [w.number for w in windows] == [0, 1, 2, 3, 4]
    assert [frame for frame, _ in cutter.take_grid()] == [0, 2, 4, 6, 8, 10]
    assert cutter.take_grid() == []


def test_no_window_is_added_if_the_last_one_ends_with_the_video():
    _, windows, _ = cut(10, window_shape(4, 1))
    assert [w.last for w in windows] == [3, 5, 7, 9]


def test_windows_with_a_stride():
    _, windows, _ = cut(12, window_shape(3, 2), every_frames=5, period=0.1)
    assert [numbers(w) for w in windows] == [[0, 2, 4], [5, 7, 9], [7, 9, 11]]
    assert [(round(w.start, 6), round(w.end, 6)) for w in windows] == [
        (0.0, 0.5),
        (0.5, 1.0),
        (0.7, 1.2),
    ]


def test_windows_far_apart():
    cutter, windows, _ = cut(31, window_shape(2, 1), every_frames=10)
    assert [w.first for w in windows] == [0, 10, 20, 29]
    assert [frame for frame, _ in cutter.grid] == [0, 10, 20, 30]  # 29 is inside a step


def test_a_last_window_after_the_grid_belongs_to_it():
    cutter, windows, _ = cut(28, window_shape(4, 1), every_frames=10)
    assert [w.first for w in windows] == [0, 10, 20, 24]
    assert cutter.grid == [(0, 0.0), (10, 1.0), (20, 2.0), (24, 2.4)]


def test_windows_start_at_the_first_frame_of_each_interval_of_time():
    times = [0.0, 0.1, 0.2, 0.3, 0.9, 1.0, 3.7, 3.8, 4.0, 4.1, 4.2]  # seconds; a variable rate
    cutter, windows, _ = cut(11, window_shape(2, 1), times=times, every_seconds=1.0)
    assert [frame for frame, _ in cutter.grid] == [0, 5, 6, 8, 9]
    assert [w.first for w in windows] == [0, 5, 6, 8, 9]


@pytest.mark.parametrize("rate", [24, 25, 29.97, 30, 60])
def test_intervals_of_time_do_not_drift(rate):
    """Times rounded to milliseconds, as in Matroska."""
    times = [round(k / rate, 3) for k in range(600)]
    cutter, _, _ = cut(600, window_shape(2, 1), times=times, every_seconds=0.5)
    starts = [frame for frame, _ in cutter.grid if frame < 598]  # the last window begins there
    assert starts == [int(np.ceil(k * 0.5 * rate - 0.05)) for k in range(len(starts))]


@pytest.mark.parametrize("num_frames", [1, 3, 6])
def test_a_short_video_is_repeated_as_in_training(num_frames):
    cutter, windows, _ = cut(num_frames, window_shape(4, 2))
    assert [numbers(w) for w in windows] == [clip_indices(0, 4, 2, num_frames).tolist()]
    assert cutter.repeated
    assert (windows[0].first, windows[0].last) == (0, num_frames - 1)


def test_a_video_of_one_window_is_not_called_short():
    cutter, windows, _ = cut(7, window_shape(4, 2))
    assert [numbers(w) for w in windows] == [[0, 2, 4, 6]]
    assert not cutter.repeated


def test_parts_are_adjacent():
    _, windows, _ = cut(12, window_shape(6, 2, 3), every_frames=100)
    assert numbers(windows[0]) == [0, 2, 4, 6, 8, 10]
    _, windows, _ = cut(6, window_shape(6, 1, 3))
    assert numbers(windows[0]) == [0, 1, 2, 3, 4, 5]


def test_parts_are_spread_over_a_window_as_evaluation_spreads_them_over_a_video():
    shape = window_shape(6, 1, 3, frames=30)
    _, windows, _ = cut(40, shape, every_frames=10)
    starts = uniform_segment_starts(30, 3, 2, 1, 1)[0]
    expected = segment_indices(starts, 2, 1, 30).ravel()
    assert numbers(windows[0]) == expected.tolist()
    assert numbers(windows[1]) == (expected + 10).tolist()
    assert [w.first for w in windows] == [0, 10]


def test_parts_of_a_short_video_are_those_of_evaluation():
    _, windows, _ = cut(4, window_shape(6, 1, 3))
    starts = uniform_segment_starts(4, 3, 2, 1, 1)[0]
    assert numbers(windows[0]) == segment_indices(starts, 2, 1, 4).ravel().tolist()


def test_no_frames_no_windows():
    _, windows, _ = cut(0, window_shape(4, 1))
    assert windows == []


def test_keeps_only_the_frames_of_one_window():
    cutter, _, _ = cut(1000, window_shape(4, 3), every_frames=1)
    assert len(cutter._kept) == 10


@pytest.mark.parametrize(
    ("segments", "frames", "message"),
    [(1, 60, "window: .* fixed at 6 frames.*leave --window out"), (3, 5, "window: .*at least 6")],
)
def test_rejects_a_window_that_does_not_fit(segments, frames, message):
    with pytest.raises(ValueError, match=message):
        window_shape(6, 1, segments, frames)
