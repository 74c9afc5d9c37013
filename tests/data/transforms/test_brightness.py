"""Gamma curves against powers of pixel values, and on real dark video."""

import numpy as np
import pytest

from afn_jax.data.files.video import index_video, read_frames
from afn_jax.data.transforms.brightness import LOWEST_GAMMA, apply_gamma, normalizing_gamma


def test_gamma_matches_powers():
    frames = np.arange(256, dtype=np.uint8).reshape(2, 128)
    expected = [[round(255 * (value / 255) ** 0.4) for value in row] for row in frames.tolist()]
    np.testing.assert_array_equal(apply_gamma(frames, 0.4), expected)
    assert apply_gamma(frames, 0.4).dtype == np.uint8
    assert (apply_gamma(frames, 2.0) <= frames).all()
    assert apply_gamma(frames, 1) is frames


@pytest.mark.parametrize("mean", [0.2, 0.4, 0.5])
def test_dark_frames_reach_the_mean(mean):
    frames = np.random.default_rng(0).gamma(2.0, 15.0, (4, 20, 30, 3)).clip(0, 255)
    frames = frames.astype(np.uint8)
    gamma = normalizing_gamma(frames, mean)
    assert LOWEST_GAMMA < gamma < 1
    assert apply_gamma(frames, gamma).mean() / 255 == pytest.approx(mean, abs=2e-3)


def test_bright_and_black_frames_stay():
    assert normalizing_gamma(np.full((2, 3), 200, np.uint8)) == 1
    black = np.zeros((2, 3), np.uint8)
    assert normalizing_gamma(black) == pytest.approx(LOWEST_GAMMA, abs=1e-5)
    assert (apply_gamma(black, LOWEST_GAMMA) == 0).all()


def test_brightens_real_dark_video(shared_data):
    path = sorted((shared_data / "arid6" / "videos").rglob("*.avi"))[0]
    frames = read_frames(path, index_video(path), np.arange(8))
    assert frames.mean() < 0.2 * 255
    assert apply_gamma(frames, 0.4).mean() > 1.8 * frames.mean()
    assert apply_gamma(frames, normalizing_gamma(frames)).mean() == pytest.approx(102, abs=3)
