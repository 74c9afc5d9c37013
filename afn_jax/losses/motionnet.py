"""Unsupervised loss of MotionNet (Hidden Two-Stream, section 3.1, Eq. 1-6).

The paper's weights of 1, 1 and .01 to .16 belong to the reductions of the authors' network, which
divides pixel means by the batch size and sums SSIM over channels and patches. Applied to plain
means they give a loss that differs by three orders of magnitude. Both forms are implemented here;
`effective_weights` converts the weights.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.losses.endpoint import masked_mean
from afn_jax.losses.photometric import photometric_loss
from afn_jax.losses.smoothness import smoothness_loss
from afn_jax.losses.ssim import ssim
from afn_jax.ops import warp
from afn_jax.ops.checks import check_float
from afn_jax.ops.resize import resize_linear
from afn_jax.types import Array

PIXEL_ALPHA = 0.4  # exponents of the penalties, from the authors' network definition
SMOOTH_ALPHA = 0.3
EPSILON = 1e-3
BORDER = 0.1  # fraction of the smaller side; pixels this close to the edge are ignored
_WINDOW = 8
_BGR_MEAN = (104 / 255, 117 / 255, 123 / 255)


class MotionNetWeights(NamedTuple):
    """Loss weights of Eq. 5, finest scale first, each multiplied by its scale's delta (Eq. 6).

    Attributes:
        pixel: lambda_1, one per scale.
        smooth: lambda_2, one per scale.
        ssim: lambda_3, one per scale.
    """

    pixel: tuple[float, ...]
    smooth: tuple[float, ...]
    ssim: tuple[float, ...]


# From the authors' network definitions, for flow2 to flow6; meant for `reduction="caffe"`.
CAFFE_PRETRAIN = MotionNetWeights((1.0,) * 5, (1.0,) * 5, (0.01, 0.02, 0.04, 0.08, 0.16))
CAFFE_JOINT = MotionNetWeights((1.0,) * 5, (1.0,) * 5, (0.001, 0.002, 0.004, 0.008, 0.016))


def effective_weights(
    weights: MotionNetWeights,
    sizes: Sequence[tuple[int, int]],
    *,
    batch_size: int,
    num_pairs: int = 10,
) -> MotionNetWeights:
    """Converts the authors' weights to the equivalent weights for plain means.

    At 224 pixels, 11 frames and the authors' batch size of 16, the SSIM weights of `CAFFE_PRETRAIN`
    become 58.8, 29.4, 19.2, 9.6 and 4.8, and each pixel weight becomes 1/16.

    Args:
        weights: weights for `reduction="caffe"`.
        sizes: (height, width) of the flow at each scale, finest first.
        batch_size: examples per step; the authors divide their means by it once more.
        num_pairs: frame pairs per example; 10 in the paper.

    Returns:
        Equivalent weights for `reduction="paper"`.

    Raises:
        ValueError: if a term does not have one weight per scale.
    """
    if any(len(term) != len(sizes) for term in weights):
        raise ValueError(
            f"weights has {[len(term) for term in weights]} values and sizes {len(sizes)} scales; "
            "give each term one weight per scale"
        )
    num_patches = [math.prod(_num_patches(side) for side in size) for size in sizes]
    return MotionNetWeights(
        pixel=tuple(w / batch_size for w in weights.pixel),
        # The authors average over both directions (1/2) and divide by the channels of frames
        # instead of those of flow (2/3).
        smooth=tuple(w / (3 * batch_size) for w in weights.smooth),
        ssim=tuple(w * 3 * num_pairs * n for w, n in zip(weights.ssim, num_patches, strict=True)),
    )


def motionnet_loss(
    frames: Float[Array, "batch time h w 3"],
    flows: Sequence[Float[Array, "batch pairs _ _ 2"]],
    *,
    weights: MotionNetWeights | None = None,
    reduction: Literal["paper", "caffe"] = "paper",
    normalization: Literal["lrn", "none"] = "lrn",
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Computes the reconstruction loss summed over all scales (Eq. 6).

    At each scale the frames are resized to the flow, and frame t is compared with frame t + 1
    warped by flow t. The terms are the Charbonnier penalty of 255 times the difference, the
    smoothness of the flow, and 1 - SSIM. Four details follow the authors' code and are not in the
    paper: the warp reads 0 outside the image, a border of one tenth is excluded from the pixel and
    smoothness terms, SSIM uses a Gaussian window, and the frames are first normalized across
    channels. Two details depart from the authors' code: frames are resized with half-pixel centers,
    where their layer aligns corners; and a flow difference counts for smoothness if both of its
    pixels are inside the border, where theirs counts if the first is.

    Args:
        frames: `[batch, T, H, W, 3]`, float RGB in [0, 1]. They get no gradient.
        flows: finest first, each `[batch, T - 1, h, w, 2]`, in pixels of its own map.
        weights: None = those of pre-training, `CAFFE_PRETRAIN`, translated by `effective_weights`
            to a batch of 16 where the reduction is "paper".
        reduction: "paper": plain means (Eq. 1, 2 and 4). "caffe": the authors' reductions, with
            pixel and smoothness means divided by the batch size and SSIM summed over channels and
            patches. Both include SSIM patches that extend beyond the right and lower edge, except
            that "paper" shortens the patches to the map if one of its sides is shorter than a
        patch. normalization: applied to the frames before the loss. "lrn": local response
        normalization
            across the channels of each frame, which evens out brightness; "none": no change.

    Returns:
        The loss, and its terms "pixel", "smooth" and "ssim", weighted and summed over scales.
        Scalars; float32 or higher precision.

    Raises:
        ValueError: if the shapes do not match, a term does not have one weight per flow, the frames
            are not float, or an option is unknown.
    """
    _check(frames, flows, reduction, normalization)
    batch_size, num_frames = frames.shape[:2]
    num_pairs = num_frames - 1
    sizes = [flow.shape[-3:-1] for flow in flows]
    default = weights is None
    if default:
        weights = MotionNetWeights(*(w[: len(flows)] for w in CAFFE_PRETRAIN))
    if any(len(term) != len(flows) for term in weights):
        raise ValueError(
            f"weights has {[len(term) for term in weights]} values and flows {len(flows)} scales; "
            "give each term one weight per scale"
        )
    if default and reduction == "paper":
        weights = effective_weights(weights, sizes, batch_size=16, num_pairs=num_pairs)

    dtype = jnp.promote_types(jnp.result_type(frames, *flows), jnp.float32)
    frames = jnp.asarray(frames, dtype)
    if normalization == "lrn":
        frames = local_response_normalize(frames)
    terms = {name: jnp.zeros((), dtype) for name in weights._fields}
    for scale, flow in enumerate(flows):
        height, width = sizes[scale]
        small = resize_linear(frames, (height, width))
        # Frames are data, and their gradient is the slow half of the gradient of a warp.
        small = jax.lax.stop_gradient(small)
        flow = jnp.asarray(flow, dtype)
        image, reconstruction = small[:, :-1], warp(small[:, 1:], flow, padding="zeros")
        inside = jnp.broadcast_to(_inside_border(height, width), flow.shape[:-1])

        pixel = photometric_loss(
            255 * image, 255 * reconstruction, alpha=PIXEL_ALPHA, epsilon=EPSILON, mask=inside
        )
        smooth = smoothness_loss(flow, alpha=SMOOTH_ALPHA, epsilon=EPSILON, mask=inside)
        dissimilarity = 1 - ssim(
            image,
            reconstruction,
            window_size=_WINDOW,
            stride=_WINDOW,
            window="gaussian",
            edge="partial" if reduction == "caffe" or min(height, width) >= _WINDOW else "inside",
        )
        if reduction == "caffe":
            pixel, smooth = pixel / batch_size, smooth / (3 * batch_size)
            dissimilarity = jnp.sum(dissimilarity) / batch_size
        else:
            dissimilarity = masked_mean(dissimilarity)
        terms["pixel"] += weights.pixel[scale] * pixel
        terms["smooth"] += weights.smooth[scale] * smooth
        terms["ssim"] += weights.ssim[scale] * dissimilarity
    return terms["pixel"] + terms["smooth"] + terms["ssim"], terms


def local_response_normalize(
    frames: Float[Array, "*batch h w 3"],
    *,
    size: int = 9,
    alpha: float = 1.0,
    beta: float = 0.7,
) -> Float[Array, "*batch h w 3"]:
    """Computes local response normalization across the channels of each frame.

    The result is `x / (1 + alpha / size * sum of squared channels)**beta` for mean-free BGR x, as
    in the layers `img0Norm` to `img10Norm` of the authors' network. Caffe's window of `size`
    channels is wider than the three channels of a frame: it covers all of them, and the sum is
    still divided by `size`.

    Args:
        frames: `[..., H, W, 3]`, float RGB in [0, 1].
        size: window size in channels, 5 or more, so that it covers all three channels.
        alpha: scale of the sum of squares.
        beta: exponent.

    Returns:
        Same shape as `frames`, channels in BGR order.

    Raises:
        ValueError: if `size` is below 5.
    """
    if size < 5:
        raise ValueError(f"size is {size}; pass 5 or more: the window must hold all three channels")
    mean_free = frames[..., ::-1] - jnp.reshape(
        jnp.asarray(_BGR_MEAN, frames.dtype), (1,) * (frames.ndim - 1) + (3,)
    )
    total = jnp.sum(jnp.square(mean_free), -1, keepdims=True)
    return mean_free / (1 + alpha / size * total) ** beta


def _inside_border(height: int, width: int) -> Array:
    border = math.floor(BORDER * min(height, width) + 0.5)
    row = jnp.arange(height)[:, None]
    column = jnp.arange(width)[None, :]
    rows = (row >= border) & (row < height - border)
    columns = (column >= border) & (column < width - border)
    return rows & columns


def _num_patches(side: int) -> int:
    return max(math.ceil((side - _WINDOW) / _WINDOW), 0) + 1


def _check(frames, flows, reduction, normalization) -> None:
    if frames.ndim != 5 or frames.shape[1] < 2 or frames.shape[-1] != 3:
        raise ValueError(
            f"frames has shape {frames.shape}; it must be [batch, time, H, W, 3] with two or "
            "more frames"
        )
    check_float(frames=frames)
    batch_size, num_frames = frames.shape[:2]
    if batch_size == 0:
        raise ValueError("frames has an empty batch; pass one or more examples")
    for flow in flows:
        if flow.ndim != 5 or flow.shape[:2] != (batch_size, num_frames - 1) or flow.shape[-1] != 2:
            raise ValueError(
                f"flows has a map of shape {flow.shape}; with frames {frames.shape} each must be "
                f"[{batch_size}, {num_frames - 1}, h, w, 2]"
            )
    if not flows:
        raise ValueError("flows is empty; pass one or more scales, finest first")
    if reduction not in ("paper", "caffe"):
        raise ValueError(f'reduction is {reduction!r}; choose "paper" or "caffe"')
    if normalization not in ("lrn", "none"):
        raise ValueError(f'normalization is {normalization!r}; choose "lrn" or "none"')
