"""Conversion of RGB to grayscale."""

from jaxtyping import Float

from afn_jax.ops.checks import check_float
from afn_jax.types import Array

_WEIGHTS = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


def rgb_to_gray(image: Float[Array, "*batch c"]) -> Float[Array, "*batch 1"]:
    """Computes the luma of an RGB image (ITU-R BT.601).

    Args:
        image: `[..., 3]`, float RGB, any range; or `[..., 1]`, already gray and returned as it is.

    Returns:
        `[..., 1]`, in the range and dtype of `image`.

    Raises:
        ValueError: if the last axis is not 1 or 3, or `image` is not float (the weights would
            round to 0).
    """
    check_float(image=image)
    if image.shape[-1] == 1:
        return image
    if image.shape[-1] != 3:
        raise ValueError(
            f"image has shape {image.shape}; its last axis must be 3 for RGB, or 1 for gray"
        )
    red, green, blue = (weight * image[..., i : i + 1] for i, weight in enumerate(_WEIGHTS))
    return red + green + blue
