"""Normalization of frames and features, shared by the networks."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.ops.checks import check_float

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_normalize(frames: Float[Array, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """Normalizes RGB in [0, 1] to zero mean and unit variance over ImageNet.

    Raises:
        ValueError: if `frames` are integers, which lie in [0, 255].
    """
    check_float(frames=frames)
    shape = (1,) * (frames.ndim - 1) + (3,)
    return (frames - jnp.reshape(jnp.array(IMAGENET_MEAN), shape)) / jnp.reshape(
        jnp.array(IMAGENET_STD), shape
    )


def batch_norm(*, train: bool, dtype: Any, axis_name: str | None) -> Any:
    """Returns a maker of batch normalization layers, to be called as `norm(name=...)`.

    Args:
        train: use the statistics of the batch; False: the running statistics.
        dtype: of the output; statistics are float32.
        axis_name: pmap axis over which the statistics are averaged; None keeps them per device.
    """
    # 0.9 is the usual momentum of 2D ResNets (0.1 in PyTorch's convention).
    return partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=0.9,
        dtype=dtype,
        axis_name=axis_name,
    )
