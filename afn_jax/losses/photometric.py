"""Photometric losses between an image and its reconstruction."""

import jax.numpy as jnp
from jax.typing import DTypeLike
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
    """Computes the mean Charbonnier penalty of the difference (Hidden Two-Stream Eq. 1).

    The penalty is not homogeneous, so the value range of the images matters: the authors of Hidden
    Two-Stream multiply images in [0, 1] by 255 first.

    Args:
        image: `[..., H, W, C]`, float, any range. Any leading axes.
        reconstruction: same shape: the other frame, warped by the flow.
        alpha: exponent of the penalty.
        epsilon: epsilon of the penalty, in the unit of the images.
        mask: `[..., H, W]` bool, True = counts; None = everything counts.

    Returns:
        A scalar; float32 or higher precision. 0 if the mask excludes everything.

    Raises:
        ValueError: if the shapes do not match, the images are not float, or `alpha` or `epsilon` is
            not positive.
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
    """Computes the L1 distance over channels, averaged over pixels (UF-TSN Eq. 6 and 9).

    Args:
        image: `[..., H, W, C]`, float, any range. Any leading axes.
        reconstruction: same shape as `image`.
        mask: `[..., H, W]` bool, True = counts; None = everything counts.

    Returns:
        A scalar; float32 or higher precision. 0 if the mask excludes everything. The gradient is
        zero where the images are equal.

    Raises:
        ValueError: if the shapes do not match or the images are not float.
    """
    check_image_pair(image, reconstruction, mask)
    difference = _difference(image, reconstruction, mask)
    return masked_mean(jnp.sum(absolute(difference), axis=-1), mask)


def _difference(image: Array, reconstruction: Array, mask: Array | None) -> Array:
    """Returns the difference in float32 or higher precision, 0 where the mask is False."""
    dtype = jnp.promote_types(jnp.promote_types(image.dtype, reconstruction.dtype), jnp.float32)
    image, reconstruction = as_float_image(image, dtype), as_float_image(reconstruction, dtype)
    if mask is not None:
        image = jnp.where(mask[..., None], image, 0)
        reconstruction = jnp.where(mask[..., None], reconstruction, 0)
    return image - reconstruction


def over_channels(mask: Array | None, values: Array) -> Array | None:
    """Broadcasts a mask of pixels over the channels of `values`."""
    return None if mask is None else jnp.broadcast_to(mask[..., None], values.shape)


def as_float_image(image: Array, dtype: DTypeLike) -> Array:
    """Converts to `dtype`, clipped to +-1e8 so that fourth powers do not overflow."""
    return jnp.clip(jnp.asarray(image, dtype), -1e8, 1e8)


def check_image_pair(image1: Array, image2: Array, mask: Array | None = None) -> None:
    """Raises ValueError unless both are float of one `[..., H, W, C]` and the mask matches."""
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
