"""Random changes of colour on the device, the same for all frames of a clip.

Frames are float, RGB, in [0, 1]. A change that differed between frames would look like motion.
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
    """Change brightness, then contrast, then saturation, each by one random factor per clip.

    A factor is uniform in [1 - amount, 1 + amount]. Brightness multiplies; contrast mixes with the
    mean grey of the whole clip, so that frames do not flicker; saturation mixes with each pixel's
    own grey (BT.601). The result is clipped to [0, 1] after each of the three.

    Args:
        key: one key for the batch.
        frames: `[batch, time, H, W, 3]`, RGB in [0, 1].
        brightness: amount in [0, 1]; 0 changes nothing.
        contrast: amount in [0, 1]; 0 changes nothing.
        saturation: amount in [0, 1]; 0 changes nothing.

    Returns:
        `[batch, time, H, W, 3]` in [0, 1], of the dtype of `frames`. Inside it computes in float32
        or better.

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
            "of shape [batch, time, H, W, 3], as in frames / 255.0"
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
    """Add independent normal noise to every value (Odabasi: after input normalisation).

    Not clipped, because normalised frames have no fixed range.

    Args:
        key: one key for the whole array.
        frames: float, any shape and range.
        std: standard deviation, in the units of `frames`.

    Returns:
        An array like `frames`, in shape and dtype.

    Raises:
        ValueError: if `std` is negative or `frames` is not float.
    """
    if not std >= 0:
        raise ValueError(f"std is {std}; pass 0 or more, in the units of frames")
    check_float(frames=frames)
    dtype = jnp.promote_types(frames.dtype, jnp.float32)
    noise = jax.random.normal(key, frames.shape, dtype)
    return (jnp.asarray(frames, dtype) + std * noise).astype(frames.dtype)
