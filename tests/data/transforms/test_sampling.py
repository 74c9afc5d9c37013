"""Frame numbers of clips, against known values and brute force."""

import numpy as np
import pytest

from afn_jax.data.transforms.sampling import (
    clip_indices,
    covering_clips,
    random_clip_start,
    random_segment_starts,
    uniform_clip_starts,
    uniform_segment_starts,
)


def test_clip_indices():
    np.testing.assert_array_equal(clip_indices(3, 4, 2, 20), [3, 5, 7, 9])
    assert clip_indices(3, 4, 2, 20).dtype == np.int64


def test_short_videos_are_repeated():
    np.testing.assert_array_equal(clip_indices(0, 8, 1, 3), [0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(clip_indices(2, 4, 3, 5), [2, 0, 3, 1])
    np.testing.assert_array_equal(clip_indices(0, 3, 5, 1), [0, 0, 0])


@pytest.mark.parametrize(
    ("num_frames", "stride", "video_frames"), [(4, 2, 12), (5, 1, 5), (5, 1, 6), (1, 3, 4)]
)
def test_random_start_is_uniform_over_all_valid_starts(num_frames, stride, video_frames):
    valid = [
        start
        for start in range(video_frames)
        if start + stride * (num_frames - 1) <= video_frames - 1
    ]
    rng = np.random.default_rng(0)
    drawn = [random_clip_start(video_frames, num_frames, stride, rng) for _ in range(2000)]
    counts = np.bincount(drawn, minlength=video_frames)
    assert sorted(set(drawn)) == valid
    assert counts[valid].min() > 0.7 * 2000 / len(valid)


def test_random_start_of_a_short_video_is_zero():
    rng = np.random.default_rng(0)
    assert {random_clip_start(7, 4, 3, rng) for _ in range(20)} == {0}


def test_random_start_follows_its_generator():
    draws = [[random_clip_start(500, 8, 2, np.random.default_rng(s))] for s in (5, 5, 6)]
    assert draws[0] == draws[1] != draws[2]


def test_uniform_starts():
    np.testing.assert_array_equal(uniform_clip_starts(20, 5, 1, 4), [0, 5, 10, 15])
    np.testing.assert_array_equal(uniform_clip_starts(20, 5, 2, 2), [0, 11])
    np.testing.assert_array_equal(uniform_clip_starts(20, 4, 1, 1), [8])
    np.testing.assert_array_equal(uniform_clip_starts(5, 4, 1, 3), [0, 1, 1])
    np.testing.assert_array_equal(uniform_clip_starts(3, 4, 1, 3), [0, 0, 0])
    np.testing.assert_array_equal(uniform_clip_starts(3, 4, 1, 1), [0])


def test_uniform_starts_are_even_and_valid():
    for video_frames in range(1, 60):
        for num_clips in (1, 2, 3, 10):
            starts = uniform_clip_starts(video_frames, 4, 3, num_clips)
            last = max(0, video_frames - 10)
            assert starts.shape == (num_clips,)
            if num_clips > 1:
                assert (starts[0], starts[-1]) == (0, last)
                exact = np.arange(num_clips) * last / (num_clips - 1)
                assert np.abs(starts - exact).max() <= 0.5
            else:
                assert abs(starts[0] - last / 2) <= 0.5


def test_segments_match_known_starts():
    """19 valid starts in three segments: 0 to 5, 6 to 11, 12 to 18."""
    rng = np.random.default_rng(0)
    drawn = np.stack([random_segment_starts(20, 3, 2, 1, rng) for _ in range(600)])
    for segment, valid in enumerate((range(6), range(6, 12), range(12, 19))):
        assert sorted(set(drawn[:, segment])) == list(valid)
        assert np.bincount(drawn[:, segment])[valid].min() > 0.6 * 600 / len(valid)
    np.testing.assert_array_equal(uniform_segment_starts(20, 3, 2, 1, 1), [[2, 8, 15]])
    np.testing.assert_array_equal(
        uniform_segment_starts(20, 3, 2, 1, 3), [[0, 6, 12], [3, 9, 15], [5, 11, 18]]
    )


@pytest.mark.parametrize("video_frames", [1, 2, 3, 9, 10, 11, 40])
@pytest.mark.parametrize(("num_frames", "stride"), [(1, 1), (3, 1), (2, 4)])
def test_segments_divide_the_valid_starts(video_frames, num_frames, stride):
    num_valid = max(1, video_frames - (num_frames - 1) * stride)
    rng = np.random.default_rng(0)
    for segments in (1, 2, 3, 7):
        arguments = (video_frames, segments, num_frames, stride)
        drawn = np.stack([random_segment_starts(*arguments, rng) for _ in range(400)])
        assert drawn.shape == (400, segments) and drawn.dtype == np.int64
        assert (np.diff(drawn, axis=1) >= 0).all()
        if segments <= num_valid:  # disjoint, and together all of them
            parts = [set(column) for column in drawn.T]
            assert sorted(start for part in parts for start in part) == list(range(num_valid))
        else:
            assert set(drawn.ravel()) <= set(range(num_valid))
        uniform = uniform_segment_starts(video_frames, segments, num_frames, stride, 5)
        assert ((uniform >= drawn.min(0)) & (uniform <= drawn.max(0))).all()


def test_one_segment_matches_the_plain_clip():
    for video_frames in (2, 9, 50):
        for num_clips in (1, 2, 25):
            np.testing.assert_array_equal(
                uniform_segment_starts(video_frames, 1, 4, 2, num_clips)[:, 0],
                uniform_clip_starts(video_frames, 4, 2, num_clips),
            )
        last = max(0, video_frames - 7)
        ours, plain = np.random.default_rng(3), np.random.default_rng(3)
        assert random_segment_starts(video_frames, 1, 4, 2, ours)[0] == plain.integers(last + 1)


@pytest.mark.parametrize("num_frames", [1, 3, 4])
def test_covering_clips_show_every_frame(num_frames):
    for video_frames in range(1, 40):
        count = covering_clips(video_frames, num_frames, 1)
        starts = uniform_clip_starts(video_frames, num_frames, 1, count)
        shown = [frame for s in starts for frame in range(s, min(s + num_frames, video_frames))]
        assert set(shown) == set(range(video_frames))
        assert count == np.ceil(video_frames / num_frames)
        if video_frames % num_frames == 0:
            assert sorted(shown) == list(range(video_frames))
    assert covering_clips(100, 4, 5) == 5
