"""Photometric augmentation on the device: color jitter and Gaussian noise.

Color jitter uses the same factors for all frames of a clip, because a change between frames would
look like motion.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from afn_jax.ops.checks import check_float
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.types import Array


def color_jitter(
    key: PRNGKeyArray,
    frames: Float[Array, "batch time h w 3"],
    *,
    brightness: float,
    contrast: float,
    saturation: float,
) -> Float[Array, "batch time h w 3"]:
    """Jitters brightness, contrast and saturation, in this order, by one factor each per clip.

    Each factor is drawn uniformly from [1 - amount, 1 + amount]. Brightness scales the frames;
    contrast blends them with the mean gray of the whole clip, so that frames do not flicker;
    saturation blends each pixel with its own gray (BT.601). Values are clipped to [0, 1] after
    each of the three.

    Args:
        key: one PRNG key for the whole batch.
        frames: `[batch, time, H, W, 3]`, RGB in [0, 1].
        brightness: amount in [0, 1]; 0 leaves it unchanged.
        contrast: amount in [0, 1]; 0 leaves it unchanged.
        saturation: amount in [0, 1]; 0 leaves it unchanged.

    Returns:
        `[batch, time, H, W, 3]` in [0, 1], with the dtype of `frames`; computed in float32 or
        higher precision.

    Raises:
        ValueError: if an amount is outside [0, 1] or `frames` is not a float RGB batch of clips.
    """
    amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, amount in amounts.items():
        if not 0 <= amount <= 1:
            raise ValueError(
                f"{name} is {amount}; factors are drawn from [1 - {name}, 1 + {name}], so pass an "
                "amount from 0 (no change) to 1"
            )
    if frames.ndim != 5 or frames.shape[-1] != 3 or not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ValueError(
            f"frames has shape {frames.shape} and dtype {frames.dtype}; pass float RGB in [0, 1] "
            "of shape [batch, time, H, W, 3], e.g. frames / 255.0"
        )
    dtype = jnp.promote_types(frames.dtype, jnp.float32)
    limits = jnp.asarray(list(amounts.values()), dtype)[:, None]
    offsets = jax.random.uniform(key, (3, frames.shape[0]), dtype, minval=-1, maxval=1)
    factors = (1 + limits * offsets)[..., None, None, None, None]

    jittered = jnp.asarray(frames, dtype)
    jittered = jnp.clip(factors[0] * jittered, 0, 1)
    mean_gray = jnp.mean(rgb_to_gray(jittered), axis=(1, 2, 3, 4), keepdims=True)
    jittered = jnp.clip(mean_gray + factors[1] * (jittered - mean_gray), 0, 1)
    gray = rgb_to_gray(jittered)
    jittered = jnp.clip(gray + factors[2] * (jittered - gray), 0, 1)
    return jittered.astype(frames.dtype)


def gaussian_noise(
    key: PRNGKeyArray, frames: Float[Array, "..."], *, std: float
) -> Float[Array, "..."]:
    """Adds independent Gaussian noise to every value (Odabasi, section III-A).

    The result is not clipped, because normalized frames have no fixed range.

    Args:
        key: one PRNG key for the whole array.
        frames: float, any shape and range.
        std: standard deviation, in the unit of `frames`; 0 or more.

    Returns:
        Same shape and dtype as `frames`; computed in float32 or higher precision.

    Raises:
        ValueError: if `std` is negative or `frames` is not float.
    """
    if not std >= 0:
        raise ValueError(f"std is {std}; pass 0 or more, in the unit of frames")
    check_float(frames=frames)
    dtype = jnp.promote_types(frames.dtype, jnp.float32)
    noise = jax.random.normal(key, frames.shape, dtype)
    return (jnp.asarray(frames, dtype) + std * noise).astype(frames.dtype)
