"""Images of clips, compared with loops and hand-computed values."""

import numpy as np
import pytest

from afn_jax.viz import (
    error_pictures,
    fit,
    flow_pictures,
    flow_scale,
    heat_colors,
    mean_endpoint_error,
)

SAME_SIZE = {"min_height": 1}


def test_fit_repeats_pixels_of_small_pictures():
    picture = np.random.default_rng(0).integers(0, 256, (2, 5, 3, 3)).astype(np.uint8)
    big = fit(picture, min_height=12)
    assert big.shape == (2, 15, 9, 3) and big.dtype == np.uint8
    for y, x in np.ndindex(15, 9):
        np.testing.assert_array_equal(big[:, y, x], picture[:, y // 3, x // 3])


def test_fit_averages_blocks_of_large_pictures():
    picture = np.random.default_rng(0).uniform(size=(1, 7, 4, 1)).astype(np.float32)
    small = fit(picture, min_height=1, max_height=4)
    assert small.shape == (1, 4, 2, 1)
    assert small[0, 0, 1, 0] == pytest.approx(picture[0, :2, 2:].mean())
    # The odd last row is paired with itself.
    assert small[0, 3, 0, 0] == pytest.approx(picture[0, 6, :2].mean())


def test_fit_returns_pictures_that_fit_unchanged():
    picture = np.zeros((1, 64, 40, 3), np.uint8)
    assert fit(picture) is picture


def test_fit_rounds_uint8_means_to_nearest():
    picture = np.array([0, 255, 255, 255], np.uint8).reshape(1, 2, 2, 1)
    assert fit(picture, min_height=1, max_height=1).item() == 191  # 191.25


def test_flow_scale_is_the_largest_valid_true_motion():
    target = np.zeros((1, 4, 4, 2))
    target[0, 0, 0] = (3, 4)
    target[0, 1, 1] = (30, 40)
    mask = np.ones((1, 4, 4), bool)
    mask[0, 1, 1] = False
    assert flow_scale(None, target, mask) == pytest.approx(5)
    assert flow_scale(target, target) == pytest.approx(50)
    # The prediction does not count where the true flow is known.
    assert flow_scale(target * 100, target, mask) == pytest.approx(5)


def test_flow_scale_has_a_minimum_without_motion():
    still = np.full((1, 4, 4, 2), 1e-4)
    assert flow_scale(still, still * 0) == 0.5
    assert flow_scale(still, None) == 0.5
    assert flow_scale(None, None) == 0.5
    assert flow_scale(None, still, np.zeros((1, 4, 4), bool)) == 0.5
    assert flow_scale(np.full((1, 4, 4, 2), np.nan), None) == 0.5


def test_flow_to_the_right_is_red_and_saturation_is_proportional_to_magnitude():
    flow = np.zeros((1, 1, 3, 2), np.float32)
    # Slightly downward too, because the seam of the wheel is exactly on the right.
    flow[0, 0, 1] = (2, 0.01)
    flow[0, 0, 2] = (3.99, 0.01)
    still, half, full = flow_pictures(flow, max_magnitude=4, **SAME_SIZE)[0, 0].astype(int)
    np.testing.assert_allclose(still, (255, 255, 255), atol=1)
    np.testing.assert_allclose(half, (255, 127, 127), atol=2)
    np.testing.assert_allclose(full, (255, 0, 0), atol=2)


def test_unknown_flow_is_gray():
    flow = np.full((1, 12, 12, 2), 3.0, np.float32)
    flow[0, :6] = np.nan
    mask = np.ones((1, 12, 12), bool)
    mask[0, :, :6] = False
    picture = flow_pictures(flow, max_magnitude=4, mask=mask, **SAME_SIZE)[0].astype(int)
    gray = np.ptp(picture, axis=-1) == 0
    assert gray[:6].all() and gray[:, :6].all()
    assert not gray[6:, 6:].any()
    assert len(np.unique(picture[:6, :6])) == 2  # stripes


def test_reduced_blocks_use_only_valid_pixels():
    """If one pixel of four is valid, as in LiDAR ground truth, the block has that pixel's color."""
    size = dict(min_height=1, max_height=2)
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 0, 0] = mask[0, 1, 2:] = True
    flow, target = np.zeros((2, 1, 4, 4, 2))
    flow[0, 0, 0], target[0, 0, 0] = (3, 4), (0, 0)
    target[0, 1, 2], target[0, 1, 3] = (3.0, 0.01), (3.0, 0.01)
    flow[0, 1, 2:] = target[0, 1, 2:]
    heat = error_pictures(flow, target, max_error=10, mask=mask, **size)[0].astype(int)
    assert heat.shape == (2, 2, 3)
    np.testing.assert_array_equal(heat[0, 0], (186, 48, 86))  # 5 of 10 px, not 5 / 4
    np.testing.assert_array_equal(heat[0, 1], (14, 12, 34))
    assert (np.ptp(heat[1], axis=-1) == 0).all()  # stripes
    colors = flow_pictures(target, max_magnitude=3.01, mask=mask, **size)[0].astype(int)
    np.testing.assert_allclose(colors[0, 1], (255, 0, 0), atol=2)


def test_error_is_dark_at_zero_light_at_the_maximum_and_gray_where_unknown():
    target = np.zeros((1, 1, 5, 2))
    flow = target.copy()
    flow[0, 0, 1] = (3, 4)
    flow[0, 0, 2] = (30, 40)
    flow[0, 0, 3] = np.nan
    mask = np.array([[[True, True, True, True, False]]])
    picture = error_pictures(flow, target, max_error=10, mask=mask, **SAME_SIZE)[0, 0].astype(int)
    np.testing.assert_array_equal(picture[0], (14, 12, 34))
    np.testing.assert_array_equal(picture[1], (186, 48, 86))  # 5 of 10 px
    np.testing.assert_array_equal(picture[2], (252, 244, 176))
    np.testing.assert_array_equal(picture[3], (252, 244, 176))  # NaN counts as infinite error
    assert np.ptp(picture[4]) == 0


def test_heat_colors_get_lighter_with_the_value():
    colors = heat_colors(np.linspace(0, 1, 50)).astype(int)
    brightness = colors @ (0.299, 0.587, 0.114)
    assert (np.diff(brightness) > 0).all()


def test_mean_endpoint_error_matches_a_loop():
    rng = np.random.default_rng(0)
    flow, target = rng.normal(size=(2, 3, 4, 5, 2))
    mask = rng.uniform(size=(3, 4, 5)) < 0.5
    mask[1] = False
    target[0][~mask[0]] = np.nan
    result = mean_endpoint_error(flow, target, mask)
    for time in (0, 2):
        errors = [
            np.hypot(*(flow[time, y, x] - target[time, y, x]))
            for y, x in np.ndindex(4, 5)
            if mask[time, y, x]
        ]
        assert result[time] == pytest.approx(np.mean(errors))
    assert np.isnan(result[1])
    flow[2] = np.nan
    assert np.isinf(mean_endpoint_error(flow, target, mask)[2])
