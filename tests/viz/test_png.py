"""Images in `data:` URIs decode to the same pixels."""

import base64

import cv2
import numpy as np
import pytest

from afn_jax.viz import png_data_uri

PREFIX = "data:image/png;base64,"


@pytest.mark.parametrize("channels", [3, 4])
def test_data_uri_decodes_to_the_same_pixels(channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    address = png_data_uri(image)
    assert address.startswith(PREFIX)
    data = np.frombuffer(base64.b64decode(address.removeprefix(PREFIX)), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    decoded[..., :3] = decoded[..., 2::-1].copy()  # OpenCV stores blue first
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
)
def test_rejects_other_shapes_and_types(image):
    with pytest.raises(ValueError, match=r"image: got shape .* in uint8; scale it"):
        png_data_uri(image)
