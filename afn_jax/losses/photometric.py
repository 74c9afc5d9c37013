"""How unlike an image and its reconstruction are, pixel by pixel."""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import masked_mean
from afn_jax.losses.robust import absolute, charbonnier
from afn_jax.ops.checks import check_float
from afn_jax.types import Array


def photometric_loss(
    image: Float[Array, "*batch h w c"],
    reconstruction: Float[Array, "*batch h w c"],
    *,
    alpha: float = 0.4,
    epsilon: float = 1e-3,
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Mean Charbonnier penalty of the difference (Hidden Two-Stream Eq. 1).

    The penalty is concave away from 0, so the unit of the images is part of it: the authors of
    Hidden Two-Stream multiply images in [0, 1] by 255 first.

    Args:
        image: `[..., H, W, C]`. Any leading axes.
        reconstruction: the same shape: the other frame, warped by the flow.
        alpha: exponent of the penalty.
        epsilon: of the penalty, in the unit of the images.
        mask: `[..., H, W]` bool, True = counts; None = everything counts.

    Returns:
        A scalar, float32 or better; 0 where the mask leaves nothing.

    Raises:
        ValueError: shapes that do not fit, or `alpha` or `epsilon` not positive.
    """
    check_image_pair(image, reconstruction, mask)
    difference = _difference(image, reconstruction, mask)
    penalty = charbonnier(difference, alpha=alpha, epsilon=epsilon)
    return masked_mean(penalty, over_channels(mask, penalty))


def l1_loss(
    image: Float[Array, "*batch h w c"],
    reconstruction: Float[Array, "*batch h w c"],
    *,
    mask: Bool[Array, "*batch h w"] | None = None,
) -> Float[Array, ""]:
    """Mean over pixels of the sum over channels of absolute differences (UF-TSN Eq. 6 and 9).

    Args:
        image: `[..., H, W, C]`. Any leading axes.
        reconstruction: the same shape.
        mask: `[..., H, W]` bool, True = counts; None = everything counts.

    Returns:
        A scalar, float32 or better; 0 where the mask leaves nothing. Where the two are equal its
        gradient is zero.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_image_pair(image, reconstruction, mask)
    difference = _difference(image, reconstruction, mask)
    return masked_mean(jnp.sum(absolute(difference), axis=-1), mask)


def _difference(image: Array, reconstruction: Array, mask: Array | None) -> Array:
    """The difference in float32 or better, 0 where the mask is False, whatever is there."""
    dtype = jnp.promote_types(jnp.promote_types(image.dtype, reconstruction.dtype), jnp.float32)
    image, reconstruction = as_float_image(image, dtype), as_float_image(reconstruction, dtype)
    if mask is not None:
        image = jnp.where(mask[..., None], image, 0)
        reconstruction = jnp.where(mask[..., None], reconstruction, 0)
    return image - reconstruction


def over_channels(mask: Array | None, values: Array) -> Array | None:
    """The mask of pixels as a mask of `values`, which have channels."""
    return None if mask is None else jnp.broadcast_to(mask[..., None], values.shape)


def as_float_image(image: Array, dtype) -> Array:
    """The image in that dtype. Beyond 1e8, where squares of squares overflow, it is 1e8."""
    return jnp.clip(jnp.asarray(image, dtype), -1e8, 1e8)


def check_image_pair(image1: Array, image2: Array, mask: Array | None = None) -> None:
    """Raises ValueError unless both are the same `[..., H, W, C]` and the mask fits them."""
    if image1.shape != image2.shape or image1.ndim < 3:
        raise ValueError(
            f"the images have shapes {image1.shape} and {image2.shape}; both must be the same "
            "[..., H, W, C]"
        )
    check_float(image1=image1, image2=image2)
    if mask is not None and (mask.shape != image1.shape[:-1] or mask.dtype != jnp.bool_):
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}; it must be "
            f"{image1.shape[:-1]} of bool, True = counts"
        )
