"""FlowNet's augmentation against composed matrices, warped images and the plain crop."""

import cv2
import numpy as np
import pytest

from afn_jax.data.files.flow import read_flow
from afn_jax.data.files.image import read_picture
from afn_jax.data.source import Clip
from afn_jax.data.transforms.crops import RandomCrop, SpatialTransform
from afn_jax.data.transforms.flow_augmentation import FlowNetAugmentation, MovingView

# The point p in frame t moves to MOTION p in frame t + 1, in pixels.
MOTION = np.array([[1.03, -0.02, 3.0], [0.01, 1.04, -1.5], [0, 0, 1]])


def scene(x, y):
    """Returns a smooth image over the plane without symmetries, `[..., 3]` in 0..255."""
    waves = np.sin(0.21 * x + 0.1 * y) + np.cos(0.13 * x - 0.3 * y + 1)
    return np.stack([127 + 50 * waves, 127 + 40 * waves, 100 - 40 * waves], -1)


def moved(matrix, points):
    return np.einsum(
        "ij,...j->...i", matrix, np.concatenate([points, points[..., :1] * 0 + 1], -1)
    )[..., :2]


def grid(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return np.stack([x, y], -1)


def affine_clip(height=60, width=80, num_frames=3):
    """Returns frames of `scene` moving by `MOTION`, and their exact flow."""
    points = grid(height, width)
    back = [np.linalg.matrix_power(np.linalg.inv(MOTION), t) for t in range(num_frames)]
    frames = [scene(*np.moveaxis(moved(matrix, points), -1, 0)) for matrix in back]
    flow = (moved(MOTION, points) - points).astype(np.float32)
    return Clip(np.stack(frames).round().astype(np.uint8), np.stack([flow] * num_frames))


def warped(picture, flow):
    x, y = np.moveaxis(grid(*flow.shape[:2]).astype(np.float32) + flow, -1, 0)
    return cv2.remap(picture.astype(np.float32), x, y, cv2.INTER_LINEAR, borderValue=(np.nan,) * 3)


POLICY = FlowNetAugmentation((40, 50))


@pytest.mark.parametrize("seed", range(6))
def test_an_affine_motion_stays_affine(seed):
    """The new flow is that of A_{t+1}^-1 MOTION A_t, and warps the new frames onto each other."""
    clip = affine_clip()
    view = POLICY.draw(60, 80, np.random.default_rng(seed))
    out = view.apply(clip)
    assert out.frames.shape == (3, 40, 50, 3) and out.frames.dtype == np.uint8
    # For flow that is estimated later there is a mask, here of two segments of two frames each.
    to_come = view.apply(Clip(clip.frames[[0, 1, 2, 2]], None, np.ones((2, 60, 80), bool)))
    assert to_come.flows is None and len(to_come.frames) == 4
    np.testing.assert_array_equal(to_come.flow_mask, out.flow_mask[[0, 2]])
    assert out.flows.dtype == np.float32 and out.flow_mask.dtype == bool
    points = grid(40, 50)
    for t in range(3):
        steps = [np.linalg.matrix_power(view.step, n) for n in (t, t + 1)]
        first, second = (view.view @ step for step in steps)
        expected = moved(np.linalg.inv(second) @ MOTION @ first, points) - points
        places = moved(first, points)
        inside = ((places >= 0) & (places <= [79, 59])).all(-1)
        assert inside.mean() > 0.5 and out.flow_mask[t][inside].all()
        # OpenCV interpolates at multiples of 1/32 px.
        np.testing.assert_allclose(out.flows[t][inside], expected[inside], atol=0.005)
        if t < 2:
            seen = inside & np.isfinite(warped(out.frames[t + 1], out.flows[t])[..., 0])
            inner = (moved(second, points + out.flows[t]) >= 0).all(-1)
            inner &= (moved(second, points + out.flows[t]) <= [79, 59]).all(-1)
            error = np.abs(warped(out.frames[t + 1], out.flows[t]) - out.frames[t])[seen & inner]
            wrong = np.abs(warped(out.frames[t + 1], -out.flows[t]) - out.frames[t])
            assert error.mean() < 2 < 4 < np.nanmean(wrong)


def test_a_quarter_turn_rotates_the_flow():
    """Seen through a window rotated clockwise, a motion to the right points up."""
    turn = np.array([[0, -1, 4], [1, 0, 0], [0, 0, 1.0]])  # (x, y) of the result -> (4 - y, x)
    frames = np.zeros((2, 5, 5, 3), np.uint8)
    frames[:, 1, 3] = 200
    flows = np.zeros((2, 5, 5, 2), np.float32)
    flows[..., 0] = np.arange(5)  # of column x
    mask = np.ones((2, 5, 5), bool)
    mask[0, 1, 3] = False
    out = MovingView(turn, np.eye(3), (5, 5)).apply(Clip(frames, flows, mask))
    assert (out.frames[0, 1, 1] == 200).all() and out.frames[0].sum() == 600
    np.testing.assert_array_equal(np.argwhere(~out.flow_mask[0]), [[1, 1]])
    speeds = np.broadcast_to(np.arange(4, -1, -1)[:, None], (5, 5))  # row y shows column 4 - y
    np.testing.assert_allclose(out.flows[1][..., 1], -speeds, atol=1e-5)
    np.testing.assert_allclose(out.flows[1][..., 0], 0, atol=1e-5)


def test_a_moving_window_gives_the_opposite_flow():
    """Through a window that moves right by 2 px per frame, a still image has a flow of -2."""
    step = np.array([[1, 0, 2.0], [0, 1, 0], [0, 0, 1]])
    frames = np.random.default_rng(0).integers(0, 256, (1, 6, 9, 3)).astype(np.uint8)
    clip = Clip(frames.repeat(2, 0), np.zeros((2, 6, 9, 2), np.float32))
    out = MovingView(np.eye(3), step, (6, 5)).apply(clip)
    np.testing.assert_array_equal(out.frames[1], frames[0][:, 2:7])
    np.testing.assert_allclose(out.flows[0], np.broadcast_to([-2.0, 0], (6, 5, 2)))
    assert out.flow_mask.all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(20, 30), (40, 60), (60, 90)])
def test_without_rotation_matches_the_plain_crop(size, flip):
    clip = affine_clip(60, 90, 2)
    still = FlowNetAugmentation(size, (1, 1), 0, 0, 0, 0, 0, flip_probability=float(flip))
    out = still.draw(60, 90, np.random.default_rng(0)).apply(clip)
    plain = SpatialTransform(0, 0, 60, 90, size, flip).apply(clip)
    assert np.abs(out.frames.astype(int) - plain.frames).mean() < 1.5
    np.testing.assert_allclose(out.flows, plain.flows, atol=0.02)
    assert out.flow_mask.all()


def test_the_mask_is_false_outside_and_next_to_unknown_flow():
    clip = affine_clip(num_frames=2)
    known = np.ones((2, 60, 80), bool)
    known[0, 20:30, 30:45] = False
    spoilt = np.where(known[..., None], clip.flows, np.float32(1e6))
    away = np.array([[1.3, 0.4, -20.13], [-0.4, 1.3, 10.07], [0, 0, 1]])
    out = MovingView(away, np.eye(3), (40, 50)).apply(Clip(clip.frames, spoilt, known))
    places = moved(away, grid(40, 50))
    outside = ((places < -0.5) | (places > [79.5, 59.5])).any(-1)
    assert 0.2 < outside.mean() < 0.8
    assert not out.flow_mask[:, outside].any() and (out.flows[:, outside] == 0).all()
    assert np.abs(out.flows[out.flow_mask]).max() < 50  # no unknown flow is mixed in
    near = np.abs(places - [37, 24.5]).max(-1)
    assert not out.flow_mask[0][(near < 4) & ~outside].any()
    assert out.flow_mask[0][(near > 12) & ~outside].all() and out.flow_mask[1][~outside].all()


def test_draws_stay_in_the_ranges_of_the_paper():
    rng = np.random.default_rng(0)
    policy = FlowNetAugmentation((30, 40), flip_probability=0.25)
    views = [policy.draw(60, 80, rng) for _ in range(400)]
    corners = grid(30, 40)[::29, ::39]
    angles, scales, shifts, turns, flips = [], [], [], [], []
    for view in views:
        for t in (0, 1):
            places = moved(view.matrix(t), corners)
            assert (places >= -0.5001).all() and (places <= [79.5001, 59.5001]).all()
        linear = view.view[:2, :2]
        flips.append(np.linalg.det(linear) < 0)
        scales.append(np.sqrt(abs(np.linalg.det(linear))) / 2)
        angles.append(np.degrees(np.arctan2(-linear[0, 1], linear[1, 1])))
        shifts.append((moved(view.view, np.array([19.5, 14.5])) - [39.5, 29.5]) / [80, 60])
        turns.append(np.degrees(np.arctan2(view.step[1, 0], view.step[0, 0])))
    assert 15 < np.abs(angles).max() <= 17 and abs(np.mean(angles)) < 2
    assert 0.5 <= min(scales) < 0.55 and 0.75 < max(scales) <= 1
    assert 0.15 < np.abs(shifts).max() <= 0.2
    assert 1.5 < np.abs(turns).max() <= 1.7
    assert np.mean(flips) == pytest.approx(0.25, abs=0.07)
    again = policy.draw(60, 80, np.random.default_rng(0))
    np.testing.assert_array_equal(again.view, views[0].view)


@pytest.mark.parametrize("height, width", [(1, 1), (3, 200), (97, 131)])
def test_replaces_the_random_crop_for_images_of_any_size(height, width):
    """Works like `RandomCrop`, with or without flow, for images of any size."""
    clip = Clip(np.zeros((2, height, width, 3), np.uint8))
    for policy in (RandomCrop((7, 5)), FlowNetAugmentation((7, 5)), FlowNetAugmentation((33, 48))):
        out = policy.draw(height, width, np.random.default_rng(0)).apply(clip)
        assert out.frames.shape == (2, *policy.size, 3) and out.flows is None
    with_flow = Clip(clip.frames, np.zeros((2, height, width, 2), np.float32))
    out = FlowNetAugmentation((8, 8)).draw(height, width, np.random.default_rng(1)).apply(with_flow)
    assert out.flow_mask[0].all()


def test_flow_of_real_chairs_matches_the_frames(shared_data):
    folder = shared_data / "flow_chairs/samples"
    frames = np.stack([read_picture(folder / f"0img{i}.ppm") for i in (0, 1)])
    flow, known = read_flow(folder / "0flow.flo")
    clip = Clip(frames, np.stack([flow, flow]), np.stack([known, ~known]))
    policy = FlowNetAugmentation((224, 224))
    for seed in range(3):
        out = policy.draw(*known.shape, np.random.default_rng(seed)).apply(clip)
        assert out.flow_mask[0].all() and not out.flow_mask[1].any()
        right = np.abs(warped(out.frames[1], out.flows[0]) - out.frames[0])
        still = np.abs(out.frames[1].astype(float) - out.frames[0])
        assert np.nanmedian(right) < 6 and np.nanmean(right) < 0.6 * still.mean()
