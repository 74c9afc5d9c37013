"""Images as PNG `data:` URIs, which put them into a page without another file."""

import base64

import numpy as np


def png_data_uri(image: np.ndarray) -> str:
    """Encodes an image losslessly.

    Args:
        image: `[H, W, 3]` RGB or `[H, W, 4]` RGBA, uint8.

    Returns:
        `data:image/png;base64,...`, to be used as the `src` of an `<img>`.

    Raises:
        ValueError: if `image` has a different shape or type.
    """
    import cv2  # here, so that `afn_jax.viz` can be imported without the `train` extra

    image = np.asarray(image)
    if (
        image.ndim != 3
        or image.shape[-1] not in (3, 4)
        or image.dtype != np.uint8
        or not image.size
    ):
        raise ValueError(
            f"image: got shape {image.shape} and type {image.dtype}, but an image must be "
            "[H, W, 3] RGB or [H, W, 4] RGBA in uint8; scale it to 0..255 and cast it."
        )
    to_bgr = cv2.COLOR_RGB2BGR if image.shape[-1] == 3 else cv2.COLOR_RGBA2BGRA
    _, encoded = cv2.imencode(
        ".png",
        cv2.cvtColor(np.ascontiguousarray(image), to_bgr),
        [
            cv2.IMWRITE_PNG_COMPRESSION,
            9,
            cv2.IMWRITE_PNG_STRATEGY,
            cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
        ],
    )
    return "data:image/png;base64," + base64.b64encode(encoded).decode("ascii")
