import dataclasses
import tracemalloc

import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.sources import create_source
from afn_jax.data.sources.synthetic_motion import CLASS_NAMES, SyntheticMotion
from afn_jax.data.sources.synthetic_untrimmed import (
    FPS,
    NONE,
    PAUSE,
    SyntheticUntrimmed,
    TrimmedWindows,
)

SHORT = SyntheticUntrimmed(
    20, size=(24, 24), num_actions=(2, 3), action_seconds=(0.3, 0.6), pause_seconds=(0.2, 0.4)
)


def test_actions_and_pauses_take_turns_within_the_settings():
    source = SyntheticUntrimmed(50, num_actions=(2, 5), action_seconds=(1.0, 2.0))
    lengths = {PAUSE: [], 0: []}
    for index in range(50):
        video = source[index]
        labels, starts, ends = zip(*video.intervals, strict=True)
        assert starts[0] == 0 and starts[1:] == ends[:-1] and ends[-1] == video.num_frames
        assert set(labels[::2]) == {PAUSE} and PAUSE not in labels[1::2]
        assert 2 <= len(labels[1::2]) <= 5
        for label, start, end in video.intervals:
            lengths[min(label, 0)].append((end - start) / FPS)
    assert 0.48 <= min(lengths[PAUSE]) < 0.6 and 1.9 < max(lengths[PAUSE]) <= 2.0
    assert 1.0 <= min(lengths[0]) < 1.1 and 1.9 < max(lengths[0]) <= 2.0


def test_segments_are_the_actions_in_seconds():
    video = SHORT[4]
    assert video.segments == tuple(
        (label, start / 25, end / 25) for label, start, end in video.intervals if label != PAUSE
    )
    assert {SHORT.class_names[label] for label, _, _ in video.segments} <= set(CLASS_NAMES)


def test_frames_are_those_of_clip_in_order():
    video = SHORT[0]
    frames = np.stack(list(video.frames()))
    assert frames.shape == (video.num_frames, 24, 24, 3) and frames.dtype == np.uint8
    indices = np.array([video.num_frames - 1, 0, 7, 7])
    np.testing.assert_array_equal(video.clip(indices).frames, frames[indices])


def test_memory_does_not_grow_with_the_length():
    long = dataclasses.replace(SHORT, num_actions=(400, 400))[0]
    assert long.num_frames > 7000
    frames = long.frames()
    tracemalloc.start()
    for _ in range(300):
        next(frames)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6 < long.num_frames * 24 * 24 * 3


def test_an_action_moves_as_in_the_trimmed_videos():
    """Until the first action ends, a video without a pause before it is a trimmed video."""
    source = dataclasses.replace(SHORT, num_videos=60, pause_seconds=(0, 0))
    trimmed = SyntheticMotion(60, size=(24, 24))
    same = [index for index in range(60) if source[index].segments[0][0] == trimmed[index].label]
    assert len(same) >= 3
    for index in same:
        clip, expected = (one[index].clip(np.arange(7)) for one in (source, trimmed))
        np.testing.assert_allclose(clip.frames.astype(int), expected.frames.astype(int), atol=1)
        np.testing.assert_allclose(clip.flows, expected.flows, atol=1e-4)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_exact_flow_maps_each_frame_to_the_next(index):
    """Across starts and ends of actions too: the motion is continuous."""
    video = SHORT[index]
    clip = video.clip(np.arange(video.num_frames - 1))
    after = video.clip(np.arange(1, video.num_frames)).frames.astype(float)
    y, x = np.mgrid[:24, :24]
    errors, still = [], []
    for frame, flow, mask, following in zip(
        clip.frames.astype(float), clip.flows, clip.flow_mask, after, strict=True
    ):
        px, py = (x + flow[..., 0])[mask], (y + flow[..., 1])[mask]
        left, top = np.floor(px).astype(int), np.floor(py).astype(int)
        right, below = np.minimum(left + 1, 23), np.minimum(top + 1, 23)
        a, b = (px - left)[:, None], (py - top)[:, None]
        warped = (1 - b) * ((1 - a) * following[top, left] + a * following[top, right])
        warped += b * ((1 - a) * following[below, left] + a * following[below, right])
        errors.append(np.abs(warped - frame[mask]).mean())
        still.append(np.abs(following - frame).mean())
    assert np.mean(errors) < 0.5 * np.mean(still)
    assert max(errors) < 2.5 * np.median(errors)  # no jump where an action starts or ends


def test_objects_rest_in_pauses_while_the_camera_moves():
    for index in range(10):
        video = SHORT[index]
        for label, start, end in video.intervals:
            flow = video.clip(np.arange(start, end)).flows
            moving = np.abs(flow - flow[:, :1, :1]).max((1, 2, 3)) > 1e-4
            assert moving.all() if label != PAUSE else not moving.any()
        assert np.abs(flow).max() > 0  # of the last pause


def test_videos_depend_on_seed_split_and_index_only():
    first = SHORT[3].clip(np.arange(4)).frames
    np.testing.assert_array_equal(dataclasses.replace(SHORT)[3].clip(np.arange(4)).frames, first)
    for other in (
        dataclasses.replace(SHORT, seed=1)[3],
        dataclasses.replace(SHORT, split="test")[3],
        SHORT[2],
    ):
        assert (other.clip(np.arange(4)).frames != first).any()
        assert other.intervals != SHORT[3].intervals


def test_trimmed_windows_show_their_class_in_the_middle():
    windows = TrimmedWindows(dataclasses.replace(SHORT, num_videos=90), 8)
    assert windows.class_names == (*CLASS_NAMES, NONE)
    for index in range(90):
        window = windows[index]
        clip = window.clip(np.arange(8))
        flow = clip.flows[4]
        moving = bool(np.abs(flow - flow[:1, :1]).max() > 1e-4)
        assert moving == (windows.class_names[window.label] != NONE)
        assert window.label == index % 9 and clip.frames.shape == (8, 24, 24, 3)


def test_is_registered():
    config = DataConfig(source="synthetic-untrimmed", num_frames=8, size=(16, 16), train_videos=9)
    source = create_source(config, "train", 0)
    assert len(source) == 9 and source.class_names[-1] == NONE
    assert source[8].label == 8 and source[8].num_frames == 8


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"size": (8, 32)}, "size: got .*16"),
        ({"split": "tset"}, "split: got 'tset'"),
        ({"num_actions": (0, 2)}, "num_actions: got .*at least 1"),
        ({"action_seconds": (2.0, 1.0)}, "action_seconds: got"),
        ({"pause_seconds": (-1.0, 1.0)}, "pause_seconds: got .*at least 0"),
    ],
)
def test_rejects_wrong_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        SyntheticUntrimmed(**({"num_videos": 4} | changes))


def test_rejects_clips_that_are_longer_than_pauses():
    config = DataConfig(source="synthetic-untrimmed", num_frames=16, stride=4, size=(16, 16))
    with pytest.raises(ValueError, match="num_frames: .*spans 61 frames.*pause"):
        create_source(config, "train", 0)


def test_rejects_frames_outside_the_video():
    with pytest.raises(ValueError, match="outside untrimmed-train-0-0"):
        SHORT[0].clip(np.array([SHORT[0].num_frames]))
    with pytest.raises(IndexError):
        SHORT[20]
