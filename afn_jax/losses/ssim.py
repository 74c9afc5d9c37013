"""Structural similarity (SSIM) of image patches (Wang et al. 2004)."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from afn_jax.losses.endpoint import masked_mean
from afn_jax.losses.photometric import as_float_image, check_image_pair
from afn_jax.types import Array

# Ratio of the standard deviation to the window size of 8 in the code of Hidden Two-Stream.
_SIGMA_PER_SIZE = 1 / 6


def ssim(
    image1: Float[Array, "*batch h w c"],
    image2: Float[Array, "*batch h w c"],
    *,
    window_size: int = 8,
    stride: int = 8,
    c1: float = 1e-4,
    c2: float = 1e-3,
    window: Literal["uniform", "gaussian"] = "uniform",
    edge: Literal["inside", "partial"] = "inside",
) -> Float[Array, "*batch rows columns c"]:
    """Computes the structural similarity of each patch and channel (Hidden Two-Stream Eq. 3).

    Args:
        image1: `[..., H, W, C]`, float in [0, 1], the range that `c1` and `c2` are meant for. Any
            leading axes.
        image2: same shape as `image1`.
        window_size: side of a patch, in pixels. With "inside", it is cut to the size of the image.
        stride: distance between patches, in pixels.
        c1: stabilizes the ratio of means.
        c2: stabilizes the ratio of variances.
        window: "uniform" weights, or "gaussian" with standard deviation `window_size` / 6, centered
            at `window_size` / 2 as in the authors' code.
        edge: "inside" uses only patches inside the image. "partial" adds one patch that extends
            beyond it if pixels remain, without renormalizing its weights, as in the authors' code.

    Returns:
        `[..., rows, columns, C]` in [-1, 1]; float32 or higher precision. With "inside" there are
        `(H - window_size) // stride + 1` rows.

    Raises:
        ValueError: if the shapes do not match, the images are empty or not float, or an option is
            out of range.
    """
    check_image_pair(image1, image2)
    height, width = image1.shape[-3:-1]
    if min(height, width) < 1 or window_size < 1 or stride < 1:
        raise ValueError(
            f"the image is {height} x {width}, window_size {window_size} and stride {stride}; all "
            "must be 1 or more"
        )
    if not c1 > 0 or not c2 > 0:
        raise ValueError(f"c1 is {c1} and c2 {c2}; both must be above 0")
    if window not in ("uniform", "gaussian"):
        raise ValueError(f'window is {window!r}; choose "uniform" or "gaussian"')
    if edge not in ("inside", "partial"):
        raise ValueError(f'edge is {edge!r}; choose "inside" or "partial"')
    dtype = jnp.promote_types(jnp.promote_types(image1.dtype, image2.dtype), jnp.float32)
    rows, columns = (
        jnp.asarray(_windows(size, window_size, stride, window, edge), dtype)
        for size in (height, width)
    )

    def weighted_mean(x):
        # Variances are small differences, so they need full precision on every platform.
        x = jnp.einsum("rh,...hwc->...rwc", rows, x, precision=jax.lax.Precision.HIGHEST)
        return jnp.einsum("sw,...rwc->...rsc", columns, x, precision=jax.lax.Precision.HIGHEST)

    image1, image2 = as_float_image(image1, dtype), as_float_image(image2, dtype)
    mean1, mean2 = weighted_mean(image1), weighted_mean(image2)
    # Rounding may make a variance, and with it the denominator, negative.
    variance1 = jnp.maximum(weighted_mean(image1 * image1) - mean1 * mean1, 0)
    variance2 = jnp.maximum(weighted_mean(image2 * image2) - mean2 * mean2, 0)
    # Eq. 3 with the covariance expressed in terms of the variance of the difference, so that
    # equal images give exactly 1 regardless of rounding.
    difference = jnp.square(mean1 - mean2)
    unlike = weighted_mean(jnp.square(image1 - image2)) - difference
    # Not jnp.clip, which would halve the second derivative at 0, the value for equal images.
    unlike = jnp.where(unlike < 0, 0, unlike)
    unlike = jnp.minimum(unlike, 2 * (variance1 + variance2))
    luminance = 1 - difference / (mean1 * mean1 + mean2 * mean2 + c1)
    structure = 1 - unlike / (variance1 + variance2 + c2)
    return luminance * structure


def ssim_loss(
    image1: Float[Array, "*batch h w c"], image2: Float[Array, "*batch h w c"], **options: Any
) -> Float[Array, ""]:
    """Computes the mean of `1 - ssim` over patches and channels (Hidden Two-Stream Eq. 4).

    Options and errors are those of `ssim`.

    Returns:
        A scalar in [0, 2]; float32 or higher precision.
    """
    return masked_mean(1 - ssim(image1, image2, **options))


def _windows(size: int, window_size: int, stride: int, window: str, edge: str) -> np.ndarray:
    """Returns `[patches, size]`: the weight of each pixel in each patch along one axis.

    Rows sum to 1, those of partial patches to less.
    """
    if edge == "inside":
        window_size = min(window_size, size)
        num_patches = (size - window_size) // stride + 1
    else:
        num_patches = max(math.ceil((size - window_size) / stride), 0) + 1
    if window == "uniform":
        weights = np.ones(window_size)
    else:
        sigma = window_size * _SIGMA_PER_SIZE
        weights = np.exp(-((np.arange(window_size) - window_size / 2) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    starts = stride * np.arange(num_patches)
    starts = starts[starts < size]
    matrix = np.zeros((len(starts), max(size, starts[-1] + window_size)))
    for row, start in zip(matrix, starts, strict=True):
        row[start : start + window_size] = weights
    return matrix[:, :size]
