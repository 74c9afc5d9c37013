"""Soft census loss, robust to brightness changes."""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import masked_mean
from afn_jax.losses.photometric import as_float_image, check_image_pair
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.types import Array

# UnFlow's constants for gray values in [0, 255]: saturation of gray differences and of differences
# between census values.
_DIFFERENCE = 0.81
_DISTANCE = 0.1


def census_loss(
    image1: Float[Array, "*batch h w c"],
    image2: Float[Array, "*batch h w c"],
    *,
    patch_size: int = 3,
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Computes the mean soft Hamming distance of census codes (UF-TSN Eq. 7; Meister et al. 2018).

    The census code of a pixel holds `t = d / sqrt(.81 + d * d)` for each pixel of the patch around
    it, where d is the difference of their gray values in [0, 255]. The distance of two codes is the
    mean of `e / (.1 + e)` with `e = (t1 - t2) ** 2`.

    Args:
        image1: `[..., H, W, C]`, float in [0, 1], RGB or a single gray channel.
        image2: same shape as `image1`.
        patch_size: side of the patch in pixels, odd. Pixels whose patch leaves the image are
            ignored.
        mask: `[..., H, W]` bool, True for pixels whose code counts; None = all. Excluded pixels
            still contribute to the codes of their neighbors.

    Returns:
        A scalar in [0, 1]; float32 or higher precision. 0 if no pixel counts, e.g. in an image
        smaller than the patch.

    Raises:
        ValueError: if the shapes do not match, the images are not float or do not have 1 or 3
            channels, or `patch_size` is even or below 1.
    """
    check_image_pair(image1, image2, mask)
    if image1.shape[-1] not in (1, 3):
        raise ValueError(f"the images have {image1.shape[-1]} channels; pass 1 (gray) or 3 (RGB)")
    if patch_size < 1 or patch_size % 2 == 0:
        raise ValueError(f"patch_size is {patch_size}; pass an odd number of pixels, e.g. 3 or 7")
    dtype = jnp.promote_types(jnp.promote_types(image1.dtype, image2.dtype), jnp.float32)
    gray1, gray2 = (
        255 * rgb_to_gray(as_float_image(image, dtype))[..., 0] for image in (image1, image2)
    )
    height, width = gray1.shape[-2:]
    reach = patch_size // 2
    if height <= 2 * reach or width <= 2 * reach:
        return jnp.zeros((), dtype)

    def interior(x, row=reach, column=reach):
        return x[..., row : row + height - 2 * reach, column : column + width - 2 * reach]

    distance = jnp.zeros_like(interior(gray1))
    for row in range(patch_size):
        for column in range(patch_size):
            if (row, column) == (reach, reach):
                continue  # a pixel never differs from itself
            code1 = _soft_sign(interior(gray1, row, column) - interior(gray1))
            code2 = _soft_sign(interior(gray2, row, column) - interior(gray2))
            squared = jnp.square(code1 - code2)
            distance += squared / (_DISTANCE + squared)
    return masked_mean(distance / patch_size**2, None if mask is None else interior(mask))


def _soft_sign(difference: Array) -> Array:
    return difference / jnp.sqrt(_DIFFERENCE + jnp.square(difference))
