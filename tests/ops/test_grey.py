"""Grey of colour: the luma that NumPy adds up, and one channel as it is."""

import numpy as np
import pytest

from afn_jax.ops.grey import rgb_to_grey


def test_grey_is_the_luma(float64):
    image = np.random.default_rng(0).random((2, 3, 4, 3))
    np.testing.assert_allclose(
        rgb_to_grey(image)[..., 0], image @ [0.299, 0.587, 0.114], rtol=1e-12
    )
    np.testing.assert_allclose(rgb_to_grey(np.full((1, 1, 3), 0.25)), 0.25)


def test_one_channel_is_grey_already():
    image = np.random.default_rng(0).random((2, 3, 1), np.float32)
    np.testing.assert_array_equal(rgb_to_grey(image), image)
    with pytest.raises(ValueError, match=r"shape \(2, 3, 2\); its last axis must be 3 for RGB"):
        rgb_to_grey(np.zeros((2, 3, 2), np.float32))
