"""Cost volume: correlation of each pixel with its neighborhood in the other frame."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.ops.backend import on_cpu
from afn_jax.ops.checks import check_float
from afn_jax.types import Array

# Largest number of columns per matrix product. A product computes all pairs of columns and keeps
# a band of them, so wide maps are split into equal blocks.
_BLOCK = 32

_LARGEST = 1e15


def cost_volume(
    features1: Float[Array, "*batch h w c"],
    features2: Float[Array, "*batch h w c"],
    *,
    max_displacement: int = 4,
) -> Float[Array, "*batch h w d"]:
    """Computes the correlation for every displacement in a square (UF-TSN Eq. 3; FlowNet, PWC-Net).

    `out[..., y, x, (dy + d) * (2 * d + 1) + (dx + d)]` is the mean over channels of
    `features1[..., y, x, :] * features2[..., y + dy, x + dx, :]`, where `features2` is 0 outside
    the map.

    Args:
        features1: `[..., H, W, C]`, float. Any leading axes.
        features2: same shape as `features1`.
        max_displacement: d, in pixels, 0 or more.

    Returns:
        `[..., H, W, (2 * d + 1) ** 2]`, with the dtype of the features; summed in float32 or
        higher precision.

    Raises:
        ValueError: if the shapes differ, the features are not float or have no channels, or
            `max_displacement` is negative.
    """
    _check(features1, features2, max_displacement)
    *leading, height, width, channels = features1.shape
    reach = max_displacement
    side = 2 * reach + 1
    dtype = jnp.promote_types(features1.dtype, features2.dtype)
    sum_dtype = jnp.promote_types(dtype, jnp.float32)
    num_maps = math.prod(leading)
    # The limit is far beyond any real feature; it keeps products finite. Features of half precision
    # are widened first, so that their gradients are summed in float32 too.
    features1, features2 = (
        jnp.clip(x.astype(sum_dtype), -_LARGEST, _LARGEST) for x in (features1, features2)
    )
    if num_maps * height * width == 0:
        return jnp.zeros((*leading, height, width, side * side), dtype)

    shape = (num_maps, height, width, channels)
    pair = (features1.reshape(shape), features2.reshape(shape))

    def volume_of(features1, features2):
        return _volume(features1, features2, reach)

    if on_cpu():
        # One map at a time, so that its data stays in the cache; recomputed in reverse mode.
        one = jax.checkpoint(lambda pair: volume_of(*(x[None] for x in pair))[0])
        volume = jax.lax.map(one, pair)
    else:
        volume = volume_of(*pair)
    return volume.astype(dtype).reshape(*leading, height, width, side * side)


def _volume(features1: Array, features2: Array, reach: int) -> Array:
    """`[n, H, W, C]` twice -> `[n, H, W, (2 * reach + 1) ** 2]`."""
    num_maps, height, width, channels = features1.shape
    side = 2 * reach + 1
    num_blocks = -(-width // _BLOCK)
    block = -(-width // num_blocks)
    spare = num_blocks * block - width
    sources = jnp.pad(features1, ((0, 0), (0, 0), (0, spare), (0, 0)))
    targets = jnp.pad(features2, ((0, 0), (reach, reach), (reach, reach + spare), (0, 0)))
    sources = sources.reshape(num_maps, height, num_blocks, block, channels)
    columns = [targets[:, :, i * block : (i + 1) * block + 2 * reach] for i in range(num_blocks)]
    targets = jnp.stack(columns, axis=2)

    # Matrix product of each row with the row `dy` below it: all pairs of columns.
    costs = []
    for row in range(side):
        pairs = jnp.einsum(
            "nybic,nybjc->nybij",
            sources,
            targets[:, row : row + height],
            precision=jax.lax.Precision.HIGHEST,  # no reduced precision on a GPU or TPU
        )
        costs.append(_band(pairs, side))
    volume = jnp.stack(costs, axis=-2).reshape(num_maps, height, num_blocks * block, side * side)
    return volume[:, :, :width] / channels


def _band(pairs: Array, side: int) -> Array:
    """`[..., i, j]` -> `[..., i, k]`: the elements `[..., i, i + k]` for k below `side`.

    Reading the same memory with rows one element longer turns diagonals into columns, so no gather
    is needed.
    """
    *leading, rows, columns = pairs.shape
    flat = pairs.reshape(*leading, rows * columns)
    flat = jnp.pad(flat, [(0, 0)] * len(leading) + [(0, rows)])
    return flat.reshape(*leading, rows, columns + 1)[..., :side]


def _check(features1, features2, max_displacement) -> None:
    if features1.shape != features2.shape or features1.ndim < 3 or features1.shape[-1] == 0:
        raise ValueError(
            f"features1 has shape {features1.shape} and features2 {features2.shape}; both must be "
            "the same [..., H, W, C] with at least one channel"
        )
    check_float(features1=features1, features2=features2)
    if max_displacement < 0:
        raise ValueError(f"max_displacement is {max_displacement}; pass 0 or more, in pixels")
