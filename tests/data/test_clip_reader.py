"""Examples: frames, flow and mask match, brightening, and rejected settings."""

import dataclasses
import os
import sys
import threading

import numpy as np
import pytest

from afn_jax.data.clip_reader import ClipReader, read_clips
from afn_jax.data.config import DataConfig
from afn_jax.data.source import Clip, Video, VideoReadError
from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.transforms.views import Views
from tests.counted_videos import SMALL, Counted, CountedSource


def test_rejects_many_damaged_videos_in_a_row():
    source = CountedSource(30, damaged=range(30))
    with pytest.raises(VideoReadError, match="20 videos in a row cannot be decoded, the last one"):
        ClipReader(source, SMALL).training_example(7, np.random.default_rng(0))


class Recorder:
    """A teacher that returns which frames it saw."""

    def __call__(self, frames):
        value = frames[:-1, :, :, :1].astype(np.float32)
        return np.concatenate([value, frames[1:, :, :, :1].astype(np.float32)], -1)


def test_the_teacher_sees_the_frame_after_the_clip():
    (clip,) = read_clips(Counted(0, num_frames=9), np.array([[2]]), 3, 2, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [2, 4, 6])
    np.testing.assert_array_equal(clip.flows[:, 0, 0], [[2, 4], [4, 6], [6, 8]])
    assert clip.flow_mask.all() and clip.flow_mask.shape == (3, 20, 24)


def test_a_flow_that_nobody_uses_is_not_estimated_and_its_frame_not_decoded(monkeypatch):
    decoded, estimated = [], []
    clip_of = Counted.clip
    monkeypatch.setattr(
        Counted,
        "clip",
        lambda video, indices: decoded.append(len(indices)) or clip_of(video, indices),
    )

    def teacher(frames):
        estimated.append(len(frames) - 1)
        return Recorder()(frames)

    starts = np.array([[2, 13]])
    (clip,) = read_clips(Counted(0, num_frames=20), starts, 2, 3, teacher, future=False)
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [2, 5, 13, 16])
    np.testing.assert_array_equal(clip.flows[:, 0, 0], [[2, 5], [0, 0], [13, 16], [0, 0]])
    np.testing.assert_array_equal(clip.flow_mask[:, 0, 0], [True, False, True, False])
    assert (decoded, estimated) == ([4], [1, 1])
    config = dataclasses.replace(SMALL, num_frames=2, size=(20, 24), flip=False, teacher="dis")
    for flow_starts, frames in ((None, 3), ((0,), 2), ((0, 1), 3)):
        example = ClipReader(CountedSource(3), config, flow_starts).evaluation_example(0)
        assert example["flow_mask"][0, :, 0, 0].tolist() == [True, frames == 3]
        assert decoded[-1] == frames


def test_the_flow_mask_is_false_where_a_short_video_wraps_around():
    (clip,) = read_clips(Counted(0, num_frames=3), np.array([[0]]), 5, 1, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(clip.flow_mask[:, 0, 0], [True, True, False, True, True])


def test_no_flow_leads_from_one_segment_to_the_next():
    (clip,) = read_clips(Counted(0, num_frames=20), np.array([[2, 13]]), 2, 3, Recorder())
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [2, 5, 13, 16])
    np.testing.assert_array_equal(clip.flows[:, 0, 0], [[2, 5], [5, 8], [13, 16], [16, 19]])
    assert clip.flow_mask.all()


def test_for_the_device_each_segment_has_one_more_frame():
    starts = np.array([[2, 17]])
    (clip,) = read_clips(Counted(0, num_frames=20), starts, 2, 2, None, later=True)
    np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], [2, 4, 6, 17, 19, 1])
    np.testing.assert_array_equal(clip.flow_mask[:, 0, 0], [True, True, True, False])
    assert clip.flows is None
    config = dataclasses.replace(SMALL, teacher="device-tvl1")
    reader = ClipReader(CountedSource(3), config)
    example = reader.training_example(0, np.random.default_rng(0))
    assert len(example["frames"]) == config.num_frames + 1 and "flows" not in example
    assert len(example["flow_mask"]) == config.num_frames


@pytest.mark.parametrize("teacher", [None, Recorder()])
@pytest.mark.parametrize("video", [Counted(1, num_frames=20), SyntheticMotion(1, num_frames=20)[0]])
def test_clips_read_together_match_clips_read_alone(video, teacher):
    starts = np.array([[2, 9], [3, 12], [0, 17]])
    for together, start in zip(read_clips(video, starts, 2, 1, teacher), starts, strict=True):
        (alone,) = read_clips(video, start[None], 2, 1, teacher)
        for name in ("frames", "flows", "flow_mask"):
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))


def test_clips_before_a_damaged_end_are_used():
    class Cut(Counted):
        def clip(self, indices):
            if max(indices) > 6:
                raise VideoReadError("cut off")
            return super().clip(indices)

    reader = ClipReader([Cut(0, num_frames=9)], SMALL)
    example = reader.evaluation_example(0, Views(3), range(3))
    np.testing.assert_array_equal(example["mask"], [True, True, False])
    np.testing.assert_array_equal(example["frames"][:2, :, 0, 0, 0], [[0, 1, 2], [3, 4, 5]])
    assert [item.reason for item in reader.damaged] == ["cut off"]


def test_the_teacher_sees_brightened_frames():
    brighten = dict(brighten=lambda frames: frames + np.uint8(100))
    (clip,) = read_clips(Counted(0, num_frames=9), np.array([[1]]), 2, 1, Recorder(), **brighten)
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
class Coded(Video):
    """A video whose frames, flow and mask encode their position.

    Pixel (t, y, x): red 8 x, green 8 y, blue 10 t; flow (1 + x, 1 + y + 100 t); known if x + t > 5.
    """

    name: str = "coded"
    label: int = 0
    num_frames: int = 20
    has_flow: bool = True
    flow_stride: int = 1

    def clip(self, indices):
        t, y, x = np.meshgrid(indices, np.arange(24), np.arange(30), indexing="ij")
        frames = np.stack([8 * x, 8 * y, 10 * t], -1).astype(np.uint8)
        return Clip(frames, np.stack([1.0 + x, 1 + y + 100 * t], -1).astype("f4"), x + t > 5)


def assert_one_place(frames, flows, mask, times):
    """Asserts that frames, flows and mask have the same crop, times and mirroring."""
    x, y, t = (frames[..., channel] / scale for channel, scale in ((0, 8), (1, 8), (2, 10)))
    np.testing.assert_array_equal(t, np.broadcast_to(times[:, None, None], t.shape))
    mirrored = x[0, 0, 0] > x[0, 0, -1]
    # Flow scales with the image: source pixels per pixel of the result.
    x_scale, y_scale = abs(x[0, 0, 9] - x[0, 0, 2]) / 7, (y[0, 9, 0] - y[0, 2, 0]) / 7
    sign = -1 if mirrored else 1
    np.testing.assert_allclose(sign * flows[..., 0] * x_scale, 1 + x, rtol=0.03, atol=0.3)
    np.testing.assert_allclose(flows[..., 1] * y_scale, 1 + y + 100 * t, rtol=0.03, atol=0.3)
    assert mask[x + t > 6.5].all() and not mask[x + t < 4.5].any()
    return bool(mirrored)


@pytest.mark.parametrize("crop", ["random", "corners", "corners-13"])
@pytest.mark.parametrize("sampling", ["clip", "segments"])
def test_frames_flow_and_mask_have_the_same_clip_and_crop(sampling, crop):
    config = DataConfig(
        num_frames=6, size=(12, 12), sampling=sampling, crop=crop, crop_scales=(1.0, 0.75, 0.5)
    )
    reader = ClipReader([Coded()], config)
    examples = [reader.training_example(0, np.random.default_rng(seed)) for seed in range(24)]
    for views in (Views(2), Views(2, crops="ten", scale=0.5), Views(2, "random", "random", 0.5)):
        for clip in (0, 1):
            crops = reader.evaluation_example(0, views, [clip])
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


@pytest.mark.parametrize("flow_stride, stride", [(1, 2), (3, 1)])
def test_rejects_a_stride_that_is_not_that_of_the_flow(flow_stride, stride):
    video = Coded(flow_stride=flow_stride)
    message = f"data.stride: got {stride}.*Use --data.stride {flow_stride}"
    with pytest.raises(ValueError, match=message):
        ClipReader([video], DataConfig(num_frames=3, stride=stride))
    ClipReader([video], DataConfig(num_frames=3, stride=flow_stride))
    ClipReader([dataclasses.replace(video, has_flow=False)], DataConfig(stride=stride))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sampling": "segments", "num_segments": 2},
            "data.num_segments: got 2, which does not divide the 3 frames of a clip",
        ),
        ({"crop": "middle"}, "data.crop: got 'middle'; allowed: random, corners, corners-13"),
        ({"crop_scales": (2.0,)}, r"data.crop_scales: got \(2.0,\), but each must be at most 1"),
        ({"crop_distortion": -1}, "data.crop_distortion: got -1, but it must be at least 0"),
        ({"brighten": "more"}, "data.brighten: got 'more'; allowed: none, gamma, auto"),
        ({"gamma": 0.0}, "data.gamma: got 0.0, but it must be above 0"),
    ],
)
def test_rejects_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        ClipReader(CountedSource(), dataclasses.replace(SMALL, **change))


def test_reading_ahead_lowers_only_the_priority_of_its_own_threads():
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
