"""Synthetic motion has exact flow, and a single frame does not show the class."""

import numpy as np
import pytest

from afn_jax import ops
from afn_jax.data.sources.synthetic_motion import CLASS_NAMES, SyntheticMotion


def as_numpy_warp(image, flow):
    """Samples bilinearly at p + flow(p), for points inside the image."""
    height, width = flow.shape[:2]
    x = np.clip(np.arange(width) + flow[..., 0], 0, width - 1)
    y = np.clip(np.arange(height)[:, None] + flow[..., 1], 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - a) * image[top, left] + a * image[top, right]
    lower = (1 - a) * image[bottom, left] + a * image[bottom, right]
    return (1 - b) * upper + b * lower


@pytest.mark.parametrize("size", [(32, 32), (48, 80)])
def test_warping_the_next_frame_by_the_flow_gives_the_frame(size):
    """With steps of up to 3 px and sub-pixel parts, for each class."""
    source = SyntheticMotion(64, size=size, num_frames=5)
    by_class = np.zeros((2, 8))
    valid = []
    for video in map(source.__getitem__, range(64)):
        clip = video.clip(np.arange(5))
        following = video.clip(np.arange(1, 6)).frames  # with the frame after the last
        for frame, after, flow, mask in zip(
            clip.frames, following, clip.flows, clip.flow_mask, strict=True
        ):
            error = np.abs(as_numpy_warp(after.astype(float), flow) - frame)[mask]
            still = np.abs(after.astype(float) - frame)[mask]
            by_class[:, video.label] += error.mean(), still.mean()
            valid.append(mask.mean())
    warped, unmoved = by_class / 40
    # Gray levels of 0..255: bilinear interpolation of waves of 7 px and more, and rounding.
    assert warped.max() < 4
    assert (warped < unmoved / 3).all()
    assert 0.5 < np.mean(valid) < 0.95


def test_the_library_warps_the_same_way():
    clip = SyntheticMotion(8)[3].clip(np.arange(2))
    ours = ops.warp(clip.frames[1].astype(np.float32), clip.flows[0])
    np.testing.assert_allclose(
        ours, as_numpy_warp(clip.frames[1].astype(float), clip.flows[0]), atol=1e-2
    )


def object_flow(video):
    """Returns points from the center and flow without the camera's, on the first object."""
    from afn_jax.data.sources import synthetic_motion as module

    source = video.source
    rng = np.random.default_rng([source.seed, module.SPLITS[source.split], video.index])
    scene = module.draw_scene(rng, source)
    thing = scene.objects[-1]  # in front
    clip = video.clip(np.arange(1))
    height, width = source.size
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
    offset = grid - thing.center
    offset -= np.rint(offset / (width, height)) * (width, height)  # the world wraps around
    near = np.linalg.norm(offset, axis=-1) < 0.6 * thing.radius
    return offset[near], clip.flows[0][near] - scene.camera, thing


@pytest.mark.parametrize("label", range(8))
def test_flow_shows_the_motion_of_the_class(label):
    for repeat in range(5):
        video = SyntheticMotion(64, seed=repeat)[8 * repeat + label]
        assert video.label == label
        offset, flow, thing = object_flow(video)
        name = CLASS_NAMES[label]
        outward = (offset * flow).sum(-1)
        clockwise = offset[:, 0] * flow[:, 1] - offset[:, 1] * flow[:, 0]  # y is down
        if name.startswith("translate"):
            direction = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
            expected = thing.speed * np.array(direction[name.removeprefix("translate_")])
            np.testing.assert_allclose(flow, np.broadcast_to(expected, flow.shape), atol=1e-5)
        elif name.startswith("rotate"):
            sign = 1 if name == "rotate_clockwise" else -1
            assert (sign * clockwise >= 0).all() and sign * clockwise.sum() > 0
            after = np.linalg.norm(offset + flow, axis=-1)
            np.testing.assert_allclose(after, np.linalg.norm(offset, axis=-1), atol=1e-4)
        else:
            sign = 1 if name == "approach" else -1
            assert (sign * outward >= 0).all() and sign * outward.sum() > 0
            np.testing.assert_allclose(clockwise, 0, atol=1e-3)


def test_a_clip_depends_only_on_seed_split_and_index():
    source = SyntheticMotion(100, num_frames=6)
    whole = source[17].clip(np.arange(6))
    source[3].clip(np.arange(6))  # no state is left behind
    again = SyntheticMotion(5000, num_frames=6)[17].clip(np.arange(6))
    for one, other in zip(
        (whole.frames, whole.flows, whole.flow_mask),
        (again.frames, again.flows, again.flow_mask),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    # Any frames, in any order, any number of times.
    picked = source[17].clip(np.array([4, 1, 1, 5]))
    for part, all_of_it in ((picked.frames, whole.frames), (picked.flows, whole.flows)):
        np.testing.assert_allclose(part, all_of_it[[4, 1, 1, 5]], atol=1)
    np.testing.assert_array_equal(picked.frames[1], picked.frames[2])


def test_videos_differ_across_splits_and_seeds():
    seen = set()
    for split in ("train", "test", "validation"):
        for seed in (0, 1):
            source = SyntheticMotion(40, num_frames=1, seed=seed, split=split)
            seen |= {source[i].clip(np.arange(1)).frames.tobytes() for i in range(40)}
    assert len(seen) == 3 * 2 * 40


def test_classes_are_balanced():
    source = SyntheticMotion(80)
    assert np.bincount([source[i].label for i in range(80)]).tolist() == [10] * 8


def test_the_first_frame_does_not_depend_on_the_class():
    """The scene is drawn without the label, and nothing has moved at time 0."""
    from afn_jax.data.sources import synthetic_motion as module

    source = SyntheticMotion(8)
    scene = module.draw_scene(np.random.default_rng([0, 0, 3]), source)
    first = [module._render(scene, label, np.arange(1), (32, 32))[0] for label in range(8)]
    for frame in first[1:]:
        np.testing.assert_array_equal(frame, first[0])


def accuracy_of_a_linear_classifier(train_x, train_y, test_x, test_y):
    """Ridge regression on one-hot labels, best of a range of strengths on the test side."""
    mean, deviation = train_x.mean(0), train_x.std(0) + 1e-6
    train_x, test_x = (train_x - mean) / deviation, (test_x - mean) / deviation
    targets = np.eye(8)[train_y] - 1 / 8
    gram, moment = train_x.T @ train_x, train_x.T @ targets
    best = 0.0
    for strength in (10.0, 1e3, 1e5):
        weights = np.linalg.solve(gram + strength * np.eye(len(gram)), moment)
        best = max(best, (np.argmax(test_x @ weights, -1) == test_y).mean())
    return best


def appearance(frame):
    """Returns features of a frame: a small image, moments of its gradients, and its colors."""
    small = frame.reshape(8, 4, 8, 4, 3).mean((1, 3))
    gray = frame.astype(float).mean(-1)
    dy, dx = np.gradient(gray)
    moments = [
        f(g.reshape(4, 8, 4, 8))
        for g in (np.abs(dx), np.abs(dy), dx * dy, gray * gray)
        for f in (lambda blocks: blocks.mean((1, 3)).ravel(),)
    ]
    return np.concatenate([small.ravel(), *moments])


@pytest.mark.slow
@pytest.mark.parametrize("time", [0, 7])
def test_a_classifier_on_single_frames_stays_at_chance(time):
    def load(split, count):
        source = SyntheticMotion(count, split=split)
        videos = [source[i] for i in range(count)]
        features = np.stack([appearance(v.clip(np.array([time])).frames[0]) for v in videos])
        return features, np.array([v.label for v in videos])

    accuracy = accuracy_of_a_linear_classifier(*load("train", 2400), *load("test", 1600))
    # Chance is 0.125; three standard deviations of 1600 draws are 0.025.
    assert 0.10 < accuracy < 0.155


@pytest.mark.slow
def test_the_same_classifier_sees_the_class_in_the_flow():
    """Shows that the test above can fail."""

    def load(split, count):
        source = SyntheticMotion(count, split=split, num_objects=(1, 1))
        flows, labels = [], []
        for i in range(count):
            flow = source[i].clip(np.arange(1)).flows[0]
            x, y = flow[..., 0], flow[..., 1]
            flows.append(
                np.concatenate([np.percentile(x, [2, 50, 98]), np.percentile(y, [2, 50, 98])])
            )
            labels.append(source[i].label)
        return np.stack(flows), np.array(labels)

    assert accuracy_of_a_linear_classifier(*load("train", 800), *load("test", 400)) > 0.4


def test_renders_any_size_and_length():
    clip = SyntheticMotion(8, size=(16, 77), num_frames=40)[7].clip(np.array([0, 39]))
    assert clip.frames.shape == (2, 16, 77, 3) and clip.frames.dtype == np.uint8
    assert clip.flows.shape == (2, 16, 77, 2) and clip.flows.dtype == np.float32
    assert clip.flow_mask.shape == (2, 16, 77) and clip.flow_mask.dtype == bool
    assert np.isfinite(clip.flows).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "dev"}, "split: got 'dev', but synthetic-motion has train, test, validation"),
        ({"size": (8, 32)}, r"size: got \(8, 32\).*at least \(16, 16\)"),
        ({"radius": (0.2, 0.5)}, "above 0.34 an object would overlap itself"),
    ],
)
def test_rejects_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SyntheticMotion(**{"num_videos": 8} | settings)


def test_rejects_an_index_beyond_the_last_video():
    source = SyntheticMotion(8)
    with pytest.raises(IndexError, match="video 8 of 8"):
        source[8]
    assert len(source) == len(list(source)) == 8
