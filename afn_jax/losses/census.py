"""The soft census loss: unlike neighbourhoods, whatever the brightness."""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import masked_mean
from afn_jax.losses.photometric import as_float_image, check_image_pair
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.types import Array

# UnFlow's constants, for grey in [0, 255]: how soon a difference counts as one, and how soon a
# difference of two census values does.
_DIFFERENCE = 0.81
_DISTANCE = 0.1


def census_loss(
    image1: Float[Array, "*batch h w c"],
    image2: Float[Array, "*batch h w c"],
    *,
    patch_size: int = 3,
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Mean soft Hamming distance of soft census codes (UF-TSN Eq. 7; Meister et al. 2018).

    A pixel's code holds, for each pixel of the patch around it, `t = d / sqrt(.81 + d * d)` of the
    grey difference d. Two codes differ by the mean of `e / (.1 + e)` with `e = (t1 - t2) ** 2`.

    Args:
        image1: `[..., H, W, C]` in [0, 1], RGB, or one channel that is grey already.
        image2: the same shape.
        patch_size: odd; pixels nearer to the edge than half of it do not count.
        mask: `[..., H, W]` bool, True = the code of this pixel counts; None = every one. A pixel
            that does not count is still a neighbour of those that do.

    Returns:
        A scalar, 0 to 1; float32 or better. 0 where no pixel counts, as in an image smaller than
        the patch.

    Raises:
        ValueError: shapes that do not fit, channels other than 1 or 3, or an even `patch_size`.
    """
    check_image_pair(image1, image2, mask)
    if image1.shape[-1] not in (1, 3):
        raise ValueError(
            f"the images have {image1.shape[-1]} channels; the census is of grey: pass 1 or 3"
        )
    if patch_size < 1 or patch_size % 2 == 0:
        raise ValueError(f"patch_size is {patch_size}; pass an odd number of pixels, as 3 or 7")
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
                continue  # a pixel does not differ from itself
            code1 = _soft_sign(interior(gray1, row, column) - interior(gray1))
            code2 = _soft_sign(interior(gray2, row, column) - interior(gray2))
            squared = jnp.square(code1 - code2)
            distance += squared / (_DISTANCE + squared)
    return masked_mean(distance / patch_size**2, None if mask is None else interior(mask))


def _soft_sign(difference: Array) -> Array:
    return difference / jnp.sqrt(_DIFFERENCE + jnp.square(difference))
