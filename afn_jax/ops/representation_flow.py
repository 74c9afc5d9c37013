"""Flow of CNN features: Algorithm 1 of Representation Flow (Piergiovanni and Ryoo).

TV-L1 at a single scale and without warping, applied to each channel of two feature maps separately
and differentiable with respect to the features and all parameters.
"""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from afn_jax.ops import flow_kernel
from afn_jax.ops.backend import on_cpu
from afn_jax.ops.checks import check_float
from afn_jax.ops.derivative import differentiate_as
from afn_jax.ops.stencils import forward_difference, forward_difference_again, shift
from afn_jax.ops.tvl1_step import Flow, Stencils, Weights, linearize, tvl1_iterations, zero_state
from afn_jax.types import Array

KERNELS = ("tvl1", "sobel")
REMAT = ("none", "iteration", "all")
IMPLEMENTATIONS = ("auto", "xla", "pallas")

# Target size of one variable of the iteration for a chunk of maps on the CPU: most of what an
# iteration touches then stays in the cache. Differentiation uses smaller chunks of only a few maps,
# because reverse mode sums the parameter gradients over the maps of a chunk.
_CHUNK_BYTES = 820_000
_DIFFERENTIATED_CHUNK_BYTES = 210_000
_DIFFERENTIATED_CHUNK_MAPS = 8
# On accelerators: large enough to keep every unit busy (guessed). Reverse mode stores ten variables
# per iteration, which for all maps of 32 clips of 32 frames took 18 GiB.
_ACCELERATOR_CHUNK_BYTES = 2**24

_LARGEST = 1e8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RepresentationFlowParams:
    """Learnable parameters of the flow layer: a pytree, any leaf of which may be a traced array.

    The kernels are pairs (x, y); None stands for the default of the `kernels` argument of
    `representation_flow`. Kernels are applied as cross-correlation: `(-1, 1)` is this pixel minus
    the previous one. The initial tau, lam and theta are those of TV-L1 and of the authors' code;
    the paper does not report them.

    Attributes:
        tau: step size of the dual update.
        lam: weight of the brightness term, for features in [0, 255].
        theta: coupling between the flow and its auxiliary copy.
        divergence: `[2, 2]`: taps for the previous and this pixel, along x and along y (Eq. 9).
        image_gradient: gradient kernels of the features, `[2, 3]` for "tvl1", `[2, 3, 3]` for
            "sobel".
        flow_gradient: gradient kernels of the flow, `[2, 2]` for "tvl1", `[2, 3, 3]` for "sobel".
    """

    tau: Any = 0.25
    lam: Any = 0.15
    theta: Any = 0.3
    divergence: Any = None
    image_gradient: Any = None
    flow_gradient: Any = None


def initial_params(kernels: Literal["tvl1", "sobel"] = "tvl1") -> RepresentationFlowParams:
    """Returns the initial values of all parameters as float32 arrays, none of them None.

    Args:
        kernels: "tvl1" or "sobel"; see `representation_flow`.

    Raises:
        ValueError: if `kernels` is unknown.
    """
    if kernels not in KERNELS:
        raise ValueError(f'kernels is {kernels!r}; choose "tvl1" or "sobel"')
    if kernels == "tvl1":
        image_gradient = [[-0.5, 0.0, 0.5]] * 2
        flow_gradient = [[-1.0, 1.0]] * 2
    else:
        # Eq. 8 and 10 are true convolutions, which flip the printed kernels: right minus left, and
        # below minus above.
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
    implementation: Literal["auto", "xla", "pallas"] = "auto",
) -> Float[Array, "*batch h w c 2"]:
    """Computes the flow from `features1` to `features2`, for each channel separately (Algorithm 1).

    The thresholds are absolute, so the range of the features matters: the default `lam` is meant
    for [0, 255]. At a single scale without warping, the flow follows motion of about one pixel at
    most.

    Args:
        features1: `[..., H, W, C]`, float. Any leading axes.
        features2: same shape, the later frame.
        params: learnable parameters; None uses the initial values.
        num_iterations: number of primal-dual updates, 0 or more. It can differ between calls with
            the same `params`.
        kernels: "tvl1": central differences of the features; forward differences of the flow and
            backward differences of its dual, which are exact negative adjoints. "sobel": Eq. 8 and
            10 to the letter, with Sobel kernels for both gradients. These have a gain of eight and
            are not adjoint to the divergence, so they do not recover true displacement. For a blob
            moved by 0.6 pixels, "tvl1" converges to 0.6 (0.57 after 20 iterations); "sobel" gives
            an eighth of it on average, with single pixels oscillating by one or two pixels.
        remat: what reverse mode stores. "none": everything computed in each iteration;
            "iteration": the ten maps at the start of each iteration, recomputing the rest; "all":
            only the inputs, recomputing all iterations, on the CPU chunk by chunk. "all" needs the
            least memory, and on the CPU also the least time.
        implementation: "xla": a loop that XLA compiles. "pallas": a kernel for NVIDIA GPUs of
            compute capability 9 or 10 and for TPUs that keeps a map on the chip for all iterations.
            It has derivatives in reverse mode only, with the memory of `remat="all"`, and is
            interpreted on the CPU, slowly, for tests. Where there is no kernel, "pallas" uses the
            loop: for "sobel", float64, zero iterations, unknown sizes (`jax.export`), other
            devices, and maps larger than 64 x 64 pixels on a GPU or 46 x 46 on a TPU.
            "auto": "xla", because the kernel has not been run on any device yet.

    Returns:
        `[..., H, W, C, 2]`, (x, y) = (right, down) in pixels; float32 or higher precision.

    Raises:
        ValueError: if the shapes differ, the features are not float, a kernel in `params` has the
            wrong shape, or an option is unknown.
    """
    _check(features1, features2, num_iterations, kernels, remat, implementation)
    params = _complete(params, kernels)
    dtype = jnp.promote_types(jnp.promote_types(features1.dtype, features2.dtype), jnp.float32)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)

    *leading, height, width, channels = features1.shape
    shape = (math.prod(leading), height, width, channels)
    known_maps = math.prod(n for n in leading if not jax.export.is_symbolic_dim(n))
    # The limit is far beyond any real feature; it keeps squares finite.
    pairs = tuple(
        jnp.clip(jnp.asarray(x, dtype).reshape(shape), -_LARGEST, _LARGEST)
        for x in (features1, features2)
    )

    def flow_of_pairs(params, features1, features2):
        return _flow_of_chunk(params, features1, features2, num_iterations, kernels, remat)

    to_differentiate = jax.checkpoint(flow_of_pairs) if remat == "all" else flow_of_pairs
    if math.prod(features1.shape) == 0:
        flow = jnp.zeros((*shape, 2), dtype)
    elif implementation == "pallas" and flow_kernel.fits(shape, dtype, kernels, num_iterations):
        # The checkpoint recomputes what the kernel reads from the features, but not the kernel.
        by_kernel = functools.partial(_flow_by_kernel, num_iterations=num_iterations)
        flow = jax.checkpoint(by_kernel)(params, *pairs)
    elif on_cpu():
        flow = differentiate_as(
            functools.partial(_map_chunks, flow_of_pairs, _CHUNK_BYTES, known_maps),
            functools.partial(
                _map_chunks,
                to_differentiate,
                _DIFFERENTIATED_CHUNK_BYTES,
                _DIFFERENTIATED_CHUNK_MAPS,
            ),
        )(params, pairs)
    elif chunk := _maps_per_chunk_on_accelerators(shape, dtype):
        flow = _map_chunks(to_differentiate, _ACCELERATOR_CHUNK_BYTES, chunk, params, pairs)
    else:
        flow = to_differentiate(params, *pairs)
    return flow.reshape(*leading, height, width, channels, 2)


def _maps_per_chunk_on_accelerators(shape: tuple, dtype: Any) -> int:
    """Returns a divisor of the number of maps, so that there is one program; 0: all at once."""
    num_maps = shape[0]
    largest = max(_ACCELERATOR_CHUNK_BYTES // (math.prod(shape[1:]) * dtype.itemsize), 1)
    if jax.export.is_symbolic_dim(num_maps) or num_maps <= largest:
        return 0
    return max(n for n in range(1, largest + 1) if num_maps % n == 0)


def _map_chunks(flow_of_pairs, chunk_bytes, chunk_maps, params, pairs):
    """Processes the maps in chunks that are small enough to stay in the cache.

    With `jax.export`, the number of maps may be a multiple of an unknown batch size; then the size
    of a chunk divides it for any batch size.
    """
    num_maps = pairs[0].shape[0]
    map_bytes = math.prod(pairs[0].shape[1:]) * pairs[0].dtype.itemsize
    largest = min(max(chunk_bytes // map_bytes, 1), chunk_maps)
    if jax.export.is_symbolic_dim(num_maps):
        chunk = max(n for n in range(1, largest + 1) if num_maps % n == 0)
    else:
        chunk = min(largest, num_maps)
    num_chunks = num_maps // chunk
    whole = num_chunks * chunk
    chunks = tuple(x[:whole].reshape(num_chunks, chunk, *x.shape[1:]) for x in pairs)
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


def _flow_by_kernel(params, features1, features2, num_iterations):
    flow = flow_kernel.iterate(
        features2 - features1,
        _central(_taps(params.image_gradient), features2),
        (params.tau, params.lam, params.theta),
        params.divergence,
        params.flow_gradient,
        num_iterations,
    )
    return jnp.stack(flow, axis=-1)


def _taps(kernels: Array) -> list:
    """Splits the pair of kernels, along x and along y, into lists of scalars."""
    return [[kernel[index] for index in np.ndindex(kernel.shape)] for kernel in kernels]


def _central(taps: list, x: Array) -> tuple[Array, Array]:
    """Applies three taps along each axis, with border pixels repeated outside."""
    wide = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
    high = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge")
    (left, here_x, right), (above, here_y, below) = taps
    along_x = left * wide[:, :, :-2] + here_x * x + right * wide[:, :, 2:]
    along_y = above * high[:, :-2] + here_y * x + below * high[:, 2:]
    return along_x, along_y


def _gradient_3x3(taps: list, x: Array) -> tuple[Array, Array]:
    """Applies two 3 x 3 kernels, with border pixels repeated outside."""
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
    """Applies two taps along each axis, this pixel and the next; 0 in the last column and row."""
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
    """Replaces None by initial values and checks all shapes."""
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


def _check(features1, features2, num_iterations, kernels, remat, implementation) -> None:
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
    if implementation not in IMPLEMENTATIONS:
        allowed = ", ".join(map(repr, IMPLEMENTATIONS))
        raise ValueError(f"implementation is {implementation!r}; choose one of {allowed}")
