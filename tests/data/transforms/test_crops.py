"""Geometry of crops, resizes and flips, against a brute-force warp and known averages."""

import numpy as np
import pytest

from afn_jax.data.source import Clip
from afn_jax.data.transforms.crops import (
    CenterCrop,
    CornerCrop,
    RandomCrop,
    SpatialTransform,
    ten_crops,
)


def scene(x, y):
    """Returns a smooth image over the plane without symmetries, `[..., 3]` in 0..255."""
    waves = (
        np.sin(0.21 * x + 0.1 * y) + np.cos(0.13 * x - 0.3 * y + 1) + np.sin(0.09 * y + 0.02 * x)
    )
    return np.clip(np.stack([127 + 40 * waves, 127 + 30 * waves, 100 - 30 * waves], -1), 0, 255)


def moving_scene(height=48, width=64):
    """Returns two frames and the flow between them, a spatially varying affine motion.

    The content of pixel p of frame 0 is at p + flow(p) in frame 1.
    """
    y, x = np.mgrid[:height, :width].astype(np.float64)
    flow = np.stack([3.0 + 0.03 * x - 0.02 * y, -1.5 + 0.04 * y + 0.01 * x], -1)
    # Invert the affine map to find what frame 1 shows.
    matrix = np.array([[1.03, -0.02], [0.01, 1.04]])
    back = np.stack([x - 3.0, y + 1.5], -1) @ np.linalg.inv(matrix).T
    frames = np.stack([scene(x, y), scene(back[..., 0], back[..., 1])])
    return frames.round().astype(np.uint8), flow.astype(np.float32)[None]


def warp(image, flow):
    """Samples `image` bilinearly at p + flow(p), one pixel at a time; NaN outside."""
    height, width, channels = image.shape
    out = np.full(image.shape, np.nan)
    for row in range(height):
        for column in range(width):
            x, y = column + flow[row, column, 0], row + flow[row, column, 1]
            left, top = int(np.floor(x)), int(np.floor(y))
            if 0 <= left < width - 1 and 0 <= top < height - 1:
                a, b = x - left, y - top
                patch = image[top : top + 2, left : left + 2].astype(np.float64)
                out[row, column] = (1 - b) * ((1 - a) * patch[0, 0] + a * patch[0, 1]) + b * (
                    (1 - a) * patch[1, 0] + a * patch[1, 1]
                )
    return out


def warp_error(frames, flow):
    difference = np.abs(warp(frames[1], flow) - frames[0])
    assert np.isfinite(difference).mean() > 0.6
    return np.nanmean(difference)


def test_scene_is_consistent():
    frames, flows = moving_scene()
    assert warp_error(frames, flows[0]) < 0.6
    assert warp_error(frames, flows[0] * [-1, 1]) > 10
    assert warp_error(frames, flows[0] * [1, -1]) > 5


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0, 0, 48, 64), (48, 64)),  # flip alone
        ((5, 11, 32, 40), (32, 40)),  # crop
        ((5, 11, 32, 40), (64, 80)),  # grow
        ((0, 7, 48, 56), (24, 28)),  # shrink
        ((2, 3, 40, 60), (20, 45)),  # shrink, more in height than in width
        ((2, 3, 20, 60), (30, 30)),  # grow in height, shrink in width
    ],
)
def test_transformed_flow_matches_transformed_frames(box, size, flip):
    frames, flows = moving_scene()
    transform = SpatialTransform(*box, size, flip)
    new_frames, new_flows = transform.frames(frames), transform.flows(flows)
    assert new_frames.shape == (2, *size, 3) and new_frames.dtype == np.uint8
    assert new_flows.shape == (1, *size, 2) and new_flows.dtype == np.float32
    assert warp_error(new_frames, new_flows[0]) < 1.5


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(24, 28), (80, 70), (50, 30)])
def test_pixel_centers(size, flip):
    """Pixel i of the result shows the scene at (i + 0.5) * scale - 0.5, in frames and flows."""
    top, left, height, width = 4, 6, 40, 50
    y, x = np.mgrid[:48, :64].astype(np.float32)
    transform = SpatialTransform(top, left, height, width, size, flip)
    ramps = transform.flows(np.stack([x, y], -1)[None])[0]
    column, row = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
    x_scale, y_scale = width / size[1], height / size[0]
    expected_x, expected_y = left + column * x_scale - 0.5, top + row * y_scale - 0.5
    if flip:
        expected_x = expected_x[::-1]
    inside = slice(2, -2)  # borders repeat
    sign = -1 if flip else 1
    # The mean over a box of whole pixels is up to a quarter of a pixel off the line.
    tolerance = 0.26 if size == (24, 28) else 1e-3
    np.testing.assert_allclose(
        ramps[inside, inside, 0] * sign * x_scale,
        np.broadcast_to(expected_x, size)[inside, inside],
        atol=tolerance,
    )
    np.testing.assert_allclose(
        ramps[inside, inside, 1] * y_scale,
        np.broadcast_to(expected_y[:, None], size)[inside, inside],
        atol=tolerance,
    )
    picture = np.repeat(x.astype(np.uint8)[None, ..., None], 3, -1)
    got = transform.frames(picture)[0, 5, inside, 0]
    # OpenCV computes on bytes in fixed point, up to one gray level off.
    assert np.abs(got - expected_x[inside]).max() <= 1 + tolerance


def test_frames_match_known_values():
    frames = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    cropped = SpatialTransform(1, 2, 2, 4, (2, 4)).frames(frames)
    np.testing.assert_array_equal(cropped, frames[:, 1:3, 2:6])
    mirrored = SpatialTransform(1, 2, 2, 4, (2, 4), True).frames(frames)
    np.testing.assert_array_equal(mirrored, frames[:, 1:3, [5, 4, 3, 2]])
    halved = SpatialTransform(0, 0, 4, 6, (2, 3)).frames(frames)
    blocks = frames.reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
    assert np.abs(halved - blocks).max() <= 0.5


def test_flows_match_known_values():
    flows = np.zeros((1, 4, 6, 2), np.float32)
    flows[..., 0], flows[..., 1] = 4, 6
    out = SpatialTransform(0, 0, 4, 6, (2, 12), True).flows(flows)
    np.testing.assert_allclose(out, np.broadcast_to([-8, 3], (1, 2, 12, 2)), rtol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(8, 12), (4, 6), (3, 5), (16, 24), (11, 15), (5, 20)])
def test_mask_is_false_wherever_a_false_pixel_is_mixed_in(size, flip):
    """Measures which pixels are mixed in: a spike at each masked pixel shows where it goes."""
    rng = np.random.default_rng(0)
    mask = rng.random((2, 10, 14)) > 0.1
    transform = SpatialTransform(1, 2, 8, 12, size, flip)
    spikes = np.where(mask[..., None], 0, 1e3).astype(np.float32) * np.ones(2, np.float32)
    polluted = (transform.flows(spikes) != 0).any(-1)
    got = transform.mask(mask)
    assert got.dtype == bool
    np.testing.assert_array_equal(got, ~polluted)
    assert got.any() and not got.all()


def test_mask_stays_with_its_pixels():
    mask = np.ones((1, 4, 6), bool)
    mask[0, 1, 4] = False
    out = SpatialTransform(0, 0, 4, 6, (2, 3), True).mask(mask)
    np.testing.assert_array_equal(out[0], [[False, True, True], [True, True, True]])


def test_apply_transforms_all_parts_without_copies():
    frames, flows = moving_scene()
    mask = np.ones(flows.shape[:-1], bool)
    same = SpatialTransform(0, 0, 48, 64, (48, 64)).apply(Clip(frames, flows, mask))
    for ours, given in ((same.frames, frames), (same.flows, flows), (same.flow_mask, mask)):
        assert np.shares_memory(ours, given)
        np.testing.assert_array_equal(ours, given)
    transform = SpatialTransform(3, 4, 30, 40, (15, 20), True)
    clip = transform.apply(Clip(frames))
    assert clip.flows is None and clip.flow_mask is None
    clip = transform.apply(Clip(frames, flows, mask))
    np.testing.assert_array_equal(clip.frames, transform.frames(frames))
    np.testing.assert_array_equal(clip.flows, transform.flows(flows))
    np.testing.assert_array_equal(clip.flow_mask, transform.mask(mask))


def test_any_leading_axes():
    frames, _ = moving_scene()
    transform = SpatialTransform(3, 4, 30, 40, (15, 20), True)
    stacked = transform.frames(np.stack([frames, frames[::-1]]))
    np.testing.assert_array_equal(stacked[1, 0], transform.frames(frames)[1])
    np.testing.assert_array_equal(transform.frames(frames[0]), stacked[0, 0])
    assert transform.frames(frames[:0]).shape == (0, 15, 20, 3)


def test_rejects_a_box_outside_the_image():
    frames, _ = moving_scene()
    with pytest.raises(ValueError, match=r"rows 20 to 50 .* \(48, 64\); draw the transform for"):
        SpatialTransform(20, 0, 30, 10, (8, 8)).frames(frames)


def test_center_crop():
    assert CenterCrop((112, 112)).draw(240, 320) == SpatialTransform(0, 40, 240, 240, (112, 112))
    assert CenterCrop((50, 100)).draw(240, 320) == SpatialTransform(40, 0, 160, 320, (50, 100))
    assert CenterCrop((240, 320)).draw(120, 160) == SpatialTransform(0, 0, 120, 160, (240, 320))


def test_center_crop_with_a_scale():
    """224 of 256 x 340, as most papers test."""
    crop = CenterCrop((112, 112), 0.875).draw(256, 340)
    assert crop == SpatialTransform(16, 58, 224, 224, (112, 112))


def test_ten_crops_match_known_positions():
    boxes = [(0, 0), (0, 116), (32, 0), (32, 116), (16, 58)]
    expected = [
        SpatialTransform(top, left, 224, 224, (224, 224), flip)
        for flip in (False, True)
        for top, left in boxes
    ]
    assert list(ten_crops(256, 340, (224, 224), 0.875)) == expected
    assert [t.left for t in ten_crops(50, 100, (50, 50))] == [0, 50, 0, 50, 25] * 2


def test_the_last_five_of_ten_crops_mirror_the_first_five():
    frames, flows = moving_scene()
    mask = np.random.default_rng(0).random(flows.shape[:-1]) > 0.1
    crops = [crop.apply(Clip(frames, flows, mask)) for crop in ten_crops(48, 64, (36, 36), 0.75)]
    for one, mirrored in zip(crops[:5], crops[5:], strict=True):
        np.testing.assert_array_equal(one.frames, mirrored.frames[:, :, ::-1])
        np.testing.assert_array_equal(one.flows * [-1, 1], mirrored.flows[:, :, ::-1])
        np.testing.assert_array_equal(one.flow_mask, mirrored.flow_mask[:, :, ::-1])
        for crop in (one, mirrored):
            assert warp_error(crop.frames, crop.flows[0]) < 1.5


@pytest.mark.parametrize(
    ("places", "quarters"),
    [
        (5, "00 04 40 44 22"),
        (13, "00 04 40 44 22 02 20 24 42 11 13 31 33"),
    ],
)
def test_corner_crop_draws_every_box_at_every_position(places, quarters):
    """Heights and widths of 256, 224, 192, 169 pixels, at most one place apart in that list."""
    sides = [256, 224, 192, 169]
    pairs = [(a, b) for a in sides for b in sides if abs(sides.index(a) - sides.index(b)) <= 1]
    expected = {
        ((256 - a) * int(down) // 4, (340 - b) * int(right) // 4, a, b)
        for a, b in pairs
        for down, right in quarters.split()
    }
    policy = CornerCrop((224, 224), places=places, flip_probability=0.25)
    rng = np.random.default_rng(0)
    draws = [policy.draw(256, 340, rng) for _ in range(4000)]
    assert {(d.top, d.left, d.height, d.width) for d in draws} == expected
    assert np.mean([d.height == d.width for d in draws]) == pytest.approx(0.4, abs=0.04)
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.25, abs=0.04)


def test_corner_crop_without_distortion_keeps_the_aspect():
    policy = CornerCrop((20, 40), scales=(1.0, 0.5), max_distortion=0)
    rng = np.random.default_rng(0)
    draws = [policy.draw(60, 90, rng) for _ in range(100)]
    assert {(d.height, d.width) for d in draws} == {(45, 90), (22, 45)}


def test_random_crop_draws_every_box_of_every_scale():
    policy = RandomCrop((10, 10), scales=(1.0, 0.5), flip_probability=0.25)
    rng = np.random.default_rng(0)
    draws = [policy.draw(8, 12, rng) for _ in range(3000)]
    boxes = {(d.top, d.left, d.height, d.width) for d in draws}
    expected = {(0, left, 8, 8) for left in range(5)}
    expected |= {(top, left, 4, 4) for top in range(5) for left in range(9)}
    assert boxes == expected
    assert np.mean([d.height == 8 for d in draws]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.25, abs=0.04)
    assert all(d.size == (10, 10) for d in draws)
    again = np.random.default_rng(0)
    assert draws[:5] == [policy.draw(8, 12, again) for _ in range(5)]


def test_random_crop_never_and_always_flips():
    rng = np.random.default_rng(0)
    for probability in (0.0, 1.0):
        policy = RandomCrop((4, 4), flip_probability=probability)
        assert {policy.draw(9, 9, rng).flip for _ in range(50)} == {bool(probability)}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (97, 131)])
def test_boxes_fit_images_of_any_size(height, width):
    rng = np.random.default_rng(0)
    frames = np.zeros((1, height, width, 3), np.uint8)
    policies = [CenterCrop((32, 48)), RandomCrop((32, 48)), RandomCrop((7, 5), scales=(0.01,))]
    for policy in (*policies, CornerCrop((32, 48)), CornerCrop((7, 5), (0.01, 1.0), places=13)):
        for _ in range(20):
            transform = policy.draw(height, width, rng)
            assert transform.frames(frames).shape == (1, *policy.size, 3)
