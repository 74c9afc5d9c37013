"""The flow of CNN features: Algorithm 1 of Representation Flow (Piergiovanni and Ryoo).

A single scale of TV-L1 without warping, on each channel of two feature maps by itself, all of it
differentiable: towards the features and towards every parameter.
"""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from afn_jax.ops.checks import check_float
from afn_jax.ops.derivative import differentiate_as
from afn_jax.ops.tvl1_step import (
    Flow,
    Stencils,
    Weights,
    forward_difference,
    forward_difference_again,
    linearize,
    shift,
    tvl1_iterations,
    zero_state,
)
from afn_jax.types import Array

KERNELS = ("tvl1", "sobel")
REMAT = ("none", "iteration", "all")

# On the CPU a chunk has so many maps that one variable of the iteration takes about this much: most
# of what an iteration touches then stays in the cache. To differentiate, less, and not more than a
# few maps, because reverse mode adds up the gradients of parameters over the maps of a chunk, which
# is slow for many.
_CHUNK_BYTES = 820_000
_DIFFERENTIATED_CHUNK_BYTES = 210_000
_DIFFERENTIATED_CHUNK_MAPS = 8

_LARGEST = 1e8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RepresentationFlowParams:
    """What the layer can learn: a pytree, any leaf of which may be a traced array.

    The kernels are pairs (x, y), and None stands for those that `kernels` names. A kernel is laid
    out in the order of the pixels it multiplies, as in cross-correlation: `(-1, 1)` is this pixel
    minus the one before it.

    Attributes:
        tau: step of the dual update. The initial values of these three are those of TV-L1 and of
            the authors' code; the paper does not give them.
        lam: weight of the brightness term, on features in [0, 255].
        theta: coupling of the two copies of the flow.
        divergence: `[2, 2]`: the pixel before and this one, along x and along y (Eq. 9).
        image_gradient: of the features. `[2, 3]` for "tvl1", `[2, 3, 3]` for "sobel".
        flow_gradient: of the flow. `[2, 2]` for "tvl1", `[2, 3, 3]` for "sobel".
    """

    tau: Any = 0.25
    lam: Any = 0.15
    theta: Any = 0.3
    divergence: Any = None
    image_gradient: Any = None
    flow_gradient: Any = None


def initial_params(kernels: Literal["tvl1", "sobel"] = "tvl1") -> RepresentationFlowParams:
    """All parameters as float32 arrays, none of them None: what a learned layer starts from.

    Args:
        kernels: "tvl1" or "sobel"; see `representation_flow`.

    Raises:
        ValueError: an unknown `kernels`.
    """
    if kernels not in KERNELS:
        raise ValueError(f'kernels is {kernels!r}; choose "tvl1" or "sobel"')
    if kernels == "tvl1":
        image_gradient = [[-0.5, 0.0, 0.5]] * 2
        flow_gradient = [[-1.0, 1.0]] * 2
    else:
        # Eq. 8 and 10 as a true convolution flips the printed kernels: right minus left, and below
        # minus above.
        sobel_x = [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
        sobel_y = [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]
        image_gradient = flow_gradient = [sobel_x, sobel_y]
    defaults = RepresentationFlowParams()
    return RepresentationFlowParams(
        tau=jnp.float32(defaults.tau),
        lam=jnp.float32(defaults.lam),
        theta=jnp.float32(defaults.theta),
        divergence=jnp.array([[-1.0, 1.0]] * 2, jnp.float32),
        image_gradient=jnp.array(image_gradient, jnp.float32),
        flow_gradient=jnp.array(flow_gradient, jnp.float32),
    )


def representation_flow(
    features1: Float[Array, "*batch h w c"],
    features2: Float[Array, "*batch h w c"],
    params: RepresentationFlowParams | None = None,
    *,
    num_iterations: int = 20,
    kernels: Literal["tvl1", "sobel"] = "tvl1",
    remat: Literal["none", "iteration", "all"] = "all",
) -> Float[Array, "*batch h w c 2"]:
    """The flow from `features1` to `features2`, of each channel by itself (Algorithm 1).

    The thresholds are absolute, so the range of the features is part of the algorithm: the default
    `lam` expects [0, 255]. A single scale without warping follows motion of up to about a pixel.

    Args:
        features1: `[..., H, W, C]`, float. Any leading axes.
        features2: the same shape, the later of the two.
        params: what can be learned; None = the initial values, fixed.
        num_iterations: of the primal-dual update, 0 or more. It may differ from one call to the
            next: nothing in `params` depends on it.
        kernels: "tvl1" = central differences of the features, forward differences of the flow and
            backward differences of its dual, which are an exact pair. "sobel" = Eq. 8 and 10 to
            the letter, Sobel kernels for both. Their gain is eight and they are no adjoint of the
            divergence, so this does not recover true displacement: a blob moved by 0.6 pixels
            gives 0.6 with "tvl1" (0.57 after 20 iterations); with "sobel" an eighth of it on
            average, and single pixels swing by a pixel or two without settling.
        remat: what reverse mode stores. "none" = all that each iteration computed; "iteration" =
            what each iteration started from, ten maps, computing the rest again; "all" = nothing
            but the inputs, computing all iterations again, on the CPU chunk by chunk. "all" takes
            the least memory, and there the least time too.

    Returns:
        `[..., H, W, C, 2]`, (x, y) = (right, down) in pixels; float32 or better whatever comes in.

    Raises:
        ValueError: shapes that differ, features that are not float, kernels of the wrong shape, or
            an unknown option.
    """
    _check(features1, features2, num_iterations, kernels, remat)
    params = _complete(params, kernels)
    dtype = jnp.promote_types(jnp.promote_types(features1.dtype, features2.dtype), jnp.float32)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)

    *leading, height, width, channels = features1.shape
    shape = (math.prod(leading), height, width, channels)
    # Clipped far beyond any feature, so that no square overflows.
    pairs = tuple(
        jnp.clip(jnp.asarray(x, dtype).reshape(shape), -_LARGEST, _LARGEST)
        for x in (features1, features2)
    )

    def flow_of_pairs(params, features1, features2):
        return _flow_of_chunk(params, features1, features2, num_iterations, kernels, remat)

    to_differentiate = jax.checkpoint(flow_of_pairs) if remat == "all" else flow_of_pairs
    if math.prod(features1.shape) == 0:
        flow = jnp.zeros((*shape, 2), dtype)
    elif jax.default_backend() == "cpu":
        flow = differentiate_as(
            functools.partial(_map_chunks, flow_of_pairs, _CHUNK_BYTES, shape[0]),
            functools.partial(
                _map_chunks,
                to_differentiate,
                _DIFFERENTIATED_CHUNK_BYTES,
                _DIFFERENTIATED_CHUNK_MAPS,
            ),
        )(params, pairs)
    else:
        flow = to_differentiate(params, *pairs)
    return flow.reshape(*leading, height, width, channels, 2)


def _map_chunks(flow_of_pairs, chunk_bytes, chunk_maps, params, pairs):
    """One chunk of maps after the other, each small enough to stay in the cache."""
    num_maps = pairs[0].shape[0]
    map_bytes = pairs[0][0].size * pairs[0].dtype.itemsize
    chunk = min(max(chunk_bytes // map_bytes, 1), chunk_maps, num_maps)
    whole = num_maps - num_maps % chunk
    chunks = tuple(x[:whole].reshape(-1, chunk, *x.shape[1:]) for x in pairs)
    flow = jax.lax.map(lambda chunk: flow_of_pairs(params, *chunk), chunks)
    flow = flow.reshape(whole, *flow.shape[2:])
    if whole == num_maps:
        return flow
    rest = flow_of_pairs(params, *(x[whole:] for x in pairs))
    return jnp.concatenate([flow, rest])


def _flow_of_chunk(params, features1, features2, num_iterations, kernels, remat):
    if kernels == "tvl1":
        image_gradient, stencils = _central, _TVL1
    else:
        image_gradient, stencils = _gradient_3x3, _SOBEL
    brightness = linearize(
        features2 - features1, Flow(*image_gradient(_taps(params.image_gradient), features2))
    )
    weights = Weights(
        params.tau,
        params.lam,
        params.theta,
        (_taps(params.divergence), _taps(params.flow_gradient)),
    )
    state = tvl1_iterations(
        zero_state(features1), brightness, weights, stencils, num_iterations, remat != "none"
    )
    return jnp.stack(state.flow, axis=-1)


def _taps(kernels: Array) -> list:
    """The pair of kernels, one along x and one along y, as lists of scalars."""
    return [[kernel[index] for index in np.ndindex(kernel.shape)] for kernel in kernels]


def _central(taps: list, x: Array) -> tuple[Array, Array]:
    """Three taps along each axis, the border pixels repeated outside."""
    wide = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
    high = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge")
    (left, here_x, right), (above, here_y, below) = taps
    along_x = left * wide[:, :, :-2] + here_x * x + right * wide[:, :, 2:]
    along_y = above * high[:, :-2] + here_y * x + below * high[:, 2:]
    return along_x, along_y


def _gradient_3x3(taps: list, x: Array) -> tuple[Array, Array]:
    """Nine taps, the border pixels repeated outside."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    windows = [padded[:, i : i + height, j : j + width] for i, j in np.ndindex(3, 3)]
    along_x, along_y = (
        sum(tap * window for tap, window in zip(nine, windows, strict=True)) for nine in taps
    )
    return along_x, along_y


def _divergence(kernels, dual: Flow) -> Array:
    ((before_x, here_x), (before_y, here_y)), _ = kernels
    along_x = here_x * dual.x + before_x * shift(dual.x, -2, 1)
    along_y = here_y * dual.y + before_y * shift(dual.y, -3, 1)
    return along_x + along_y


def _forward(kernels, x: Array) -> tuple[Array, Array]:
    """Two taps along each axis, this pixel and the next; 0 in the last column and row."""
    _, (across, down) = kernels
    return forward_difference(x, -2, *across), forward_difference(x, -3, *down)


def _forward_again(kernels, x: Array) -> tuple[Array, Array]:
    _, (across, down) = kernels
    return forward_difference_again(x, -2, *across), forward_difference_again(x, -3, *down)


def _sobel(kernels, x: Array) -> tuple[Array, Array]:
    _, taps = kernels
    return _gradient_3x3(taps, x)


_TVL1 = Stencils(_forward, _divergence, _forward_again)
_SOBEL = Stencils(_sobel, _divergence, _sobel)


def _complete(params: RepresentationFlowParams | None, kernels: str) -> RepresentationFlowParams:
    """The parameters with every None filled in, checked."""
    initial = initial_params(kernels)
    params = RepresentationFlowParams() if params is None else params
    filled = {}
    for field in dataclasses.fields(params):
        value, default = getattr(params, field.name), getattr(initial, field.name)
        filled[field.name] = default if value is None else value
        if jnp.shape(filled[field.name]) != default.shape:
            raise ValueError(
                f"params.{field.name} has shape {jnp.shape(value)}; with kernels={kernels!r} it "
                f"must be {default.shape}: start from initial_params({kernels!r})"
            )
    return RepresentationFlowParams(**filled)


def _check(features1, features2, num_iterations, kernels, remat) -> None:
    if features1.shape != features2.shape or features1.ndim < 3:
        raise ValueError(
            f"features1 has shape {features1.shape} and features2 {features2.shape}; both must be "
            "the same [..., H, W, C]"
        )
    check_float(features1=features1, features2=features2)
    if num_iterations < 0:
        raise ValueError(f"num_iterations is {num_iterations}; pass 0 or more")
    if kernels not in KERNELS:
        raise ValueError(f'kernels is {kernels!r}; choose "tvl1" or "sobel"')
    if remat not in REMAT:
        raise ValueError(f"remat is {remat!r}; choose one of {', '.join(map(repr, REMAT))}")
