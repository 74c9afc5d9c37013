"""Grey of colour."""

from jaxtyping import Float

from afn_jax.ops.checks import check_float
from afn_jax.types import Array

_WEIGHTS = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


def rgb_to_grey(image: Float[Array, "*batch c"]) -> Float[Array, "*batch 1"]:
    """The luma of RGB, in the range of the image; one channel is grey already.

    Raises:
        ValueError: channels other than 1 or 3, or integers, of which a small weight leaves nothing.
    """
    check_float(image=image)
    if image.shape[-1] == 1:
        return image
    if image.shape[-1] != 3:
        raise ValueError(
            f"image has shape {image.shape}; its last axis must be 3 for RGB, or 1 for grey"
        )
    red, green, blue = (weight * image[..., i : i + 1] for i, weight in enumerate(_WEIGHTS))
    return red + green + blue
