"""Classical coarse-to-fine TV-L1 optical flow.

Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow" (2007). It uses
the primal-dual update of the representation flow layer, with a pyramid, warping, and a median
filter after each warp (Wedel et al. 2009; Sun, Roth and Black 2010).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Float

from afn_jax.ops.backend import on_cpu
from afn_jax.ops.checks import check_float
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.ops.median import median_filter
from afn_jax.ops.resize import resize_flow, resize_linear
from afn_jax.ops.stencils import (
    backward_difference,
    central_difference,
    forward_difference,
    forward_difference_again,
)
from afn_jax.ops.tvl1_step import (
    Brightness,
    Flow,
    State,
    Stencils,
    Weights,
    gradient_length,
    linearize,
    tvl1_iterations,
    tvl1_step,
)
from afn_jax.ops.warp import warp, warp_mask
from afn_jax.types import Array


@dataclasses.dataclass(frozen=True)
class TVL1Config:
    """Configuration of the TV-L1 solver; hashable, so it can be a static argument of `jax.jit`.

    Attributes:
        tau: step size of the dual update.
        lam: weight of the brightness term, for gray values in [0, 255]; larger values follow the
            images more closely.
        theta: coupling between the flow and its auxiliary copy; smaller values couple more tightly.
        num_scales: maximum number of pyramid scales; scales with a side below `min_size` are
            skipped.
        scale_factor: ratio of the sides of one scale to the next finer one, above 0 and below 1.
        min_size: smallest side of a pyramid scale, in pixels.
        num_warps: number of warps (linearizations) per scale.
        num_iterations: number of primal-dual updates per warp.
        median_size: side of the median filter after each warp, in pixels, odd; 1 = no filter.

    Raises:
        ValueError: if a value is out of range.
    """

    tau: float = 0.25
    lam: float = 0.15
    theta: float = 0.3
    num_scales: int = 5
    scale_factor: float = 0.5
    min_size: int = 16
    num_warps: int = 5
    num_iterations: int = 30
    median_size: int = 5

    def __post_init__(self) -> None:
        for name in ("tau", "lam", "theta"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; pass a number above 0")
        for name in ("num_scales", "min_size", "num_warps", "num_iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; pass 1 or more")
        if not 0 < self.scale_factor < 1:
            raise ValueError(f"scale_factor is {self.scale_factor}; pass one between 0 and 1")
        if self.median_size < 1 or self.median_size % 2 == 0:
            raise ValueError(f"median_size is {self.median_size}; pass an odd number, 1 for none")


def tvl1_flow(
    frame1: Float[Array, "..."],
    frame2: Float[Array, "..."],
    config: TVL1Config = TVL1Config(),  # noqa: B008, it is frozen
    *,
    return_energy: bool = False,
) -> Float[Array, "*batch h w 2"] | tuple[Float[Array, "*batch h w 2"], Float[Array, "..."]]:
    """Computes the TV-L1 flow from `frame1` to `frame2`.

    Args:
        frame1: `[..., H, W, 3]` RGB, or `[..., H, W, 1]` or `[..., H, W]` grayscale, float in
            [0, 1]. Any leading axes. A last axis of size 1 or 3 with at least two axes before it is
            taken as channels.
        frame2: same shape, the next frame.
        config: solver configuration.
        return_energy: whether to return the energy after each update as well.

    Returns:
        `[..., H, W, 2]`, (x, y) = (right, down) in pixels; float32 or higher precision. With
        `return_energy` also `[..., scales, warps, iterations]`, coarsest scale first: the mean over
        pixels of `|grad u| + lam * |rho(u)|` with `rho` linearized at the warp. The updates
        minimize the relaxed energy of `u` and its copy `v` together, so this one decreases overall,
        but not in every step.

    Raises:
        ValueError: if the shapes differ or are not frames, a frame is empty, or the frames are not
            float.
    """
    gray1, gray2 = _gray255(frame1, frame2)
    *leading, height, width = gray1.shape
    num_pairs = math.prod(leading)
    pairs = tuple(gray.reshape(num_pairs, height, width) for gray in (gray1, gray2))
    if gray1.size == 0:
        raise ValueError(f"frame1 has shape {frame1.shape}; a frame needs at least one pixel")

    def solve(gray1, gray2):
        return _solve(gray1, gray2, config, return_energy)

    if on_cpu() and num_pairs > 1:
        # One pair at a time, so that its maps stay in the cache.
        flow, energy = jax.lax.map(lambda pair: solve(pair[0][None], pair[1][None]), pairs)
        flow, energy = flow[:, 0], energy[:, 0]
    else:
        flow, energy = solve(*pairs)
    flow = flow.reshape(*leading, height, width, 2)
    if not return_energy:
        return flow
    return flow, energy.reshape(*leading, *energy.shape[1:])


def _solve(gray1: Array, gray2: Array, config: TVL1Config, return_energy: bool):
    """Maps two `[n, H, W]` to flow `[n, H, W, 2]` and energy `[n, scales, warps, iterations]`."""
    flow, energies = None, []
    for size in _pyramid(gray1.shape[-2:], config):
        small1, small2 = (resize_linear(gray, size, axes=(-2, -1)) for gray in (gray1, gray2))
        if flow is None:
            flow = jnp.zeros((*small1.shape, 2), small1.dtype)
        else:
            flow = resize_flow(flow, size)
        flow, energy = _solve_scale(small1, small2, flow, config, return_energy)
        energies.append(energy)
    return flow, jnp.stack(energies, axis=1)


def _solve_scale(gray1, gray2, flow, config, return_energy):
    slopes = (central_difference(gray2, -1), central_difference(gray2, -2))
    second = jnp.stack([gray2, *slopes], axis=-1)

    def warp_and_solve(state, _):
        linearized_at = jnp.stack(state.flow, axis=-1)
        warped, slope_x, slope_y = jnp.moveaxis(warp(second, linearized_at), -1, 0)
        # Outside the image there is no data term: the flow is filled in from its neighbors.
        inside = warp_mask(linearized_at)
        gradient = Flow(jnp.where(inside, slope_x, 0), jnp.where(inside, slope_y, 0))
        constant = warped - gradient.x * state.flow.x - gradient.y * state.flow.y - gray1
        brightness = linearize(jnp.where(inside, constant, 0), gradient)
        state, energy = _iterate(state, brightness, config, return_energy)
        filtered = Flow(*(median_filter(x, config.median_size) for x in state.flow))
        return State(filtered, state.dual_x, state.dual_y), energy

    zeros = Flow(jnp.zeros_like(gray1), jnp.zeros_like(gray1))
    state = State(Flow(flow[..., 0], flow[..., 1]), zeros, zeros)
    # Reverse mode stores the state at the start of each warp and recomputes its iterations.
    state, energy = jax.lax.scan(jax.checkpoint(warp_and_solve), state, length=config.num_warps)
    return jnp.stack(state.flow, axis=-1), jnp.moveaxis(energy, -1, 0)


def _iterate(state: State, brightness: Brightness, config: TVL1Config, return_energy: bool):
    """Runs all updates of one warp; returns the state and `[iterations or 0, n]` energies."""
    weights = Weights(config.tau, config.lam, config.theta)
    if return_energy:

        def step_with_energy(state, _):
            state = tvl1_step(state, brightness, weights, _STENCILS)
            return state, _energy(state.flow, brightness, config.lam)

        return jax.lax.scan(step_with_energy, state, length=config.num_iterations)
    state = tvl1_iterations(state, brightness, weights, _STENCILS, config.num_iterations)
    return state, jnp.zeros((0, state.flow.x.shape[0]), state.flow.x.dtype)


def _energy(flow: Flow, brightness: Brightness, lam: float) -> Array:
    variation = sum(gradient_length(*_gradient((), component)) for component in flow)
    return jnp.mean(variation + lam * jnp.abs(brightness.residual(flow)), axis=(-2, -1))


def _gradient(kernels, x: Array) -> tuple[Array, Array]:
    return forward_difference(x, -1), forward_difference(x, -2)


def _gradient_again(kernels, x: Array) -> tuple[Array, Array]:
    return forward_difference_again(x, -1), forward_difference_again(x, -2)


def _divergence(kernels, dual: Flow) -> Array:
    return backward_difference(dual.x, -1) + backward_difference(dual.y, -2)


_STENCILS = Stencils(_gradient, _divergence, _gradient_again)


def _pyramid(size: tuple[int, int], config: TVL1Config) -> list[tuple[int, int]]:
    """Returns the sizes of the pyramid, coarsest first."""
    sizes = [size]
    for scale in range(1, config.num_scales):
        factor = config.scale_factor**scale
        smaller = tuple(round(side * factor) for side in size)
        if min(smaller) < config.min_size:
            break
        sizes.append(smaller)
    return sizes[::-1]


def _gray255(frame1: Array, frame2: Array) -> tuple[Array, Array]:
    if frame1.shape != frame2.shape:
        raise ValueError(
            f"frame1 has shape {frame1.shape} and frame2 {frame2.shape}; they must be the same"
        )
    if frame1.ndim < 2:
        raise ValueError(
            f"frame1 has shape {frame1.shape}; it must be [..., H, W, 3] in RGB, or [..., H, W, 1] "
            "or [..., H, W] in gray"
        )
    check_float(frame1=frame1, frame2=frame2)
    dtype = jnp.promote_types(jnp.promote_types(frame1.dtype, frame2.dtype), jnp.float32)

    def gray(frame):
        frame = 255 * jnp.clip(jnp.asarray(frame, dtype), -1e4, 1e4)
        if frame.ndim == 2 or frame.shape[-1] not in (1, 3):
            return frame
        return rgb_to_gray(frame)[..., 0]

    return gray(frame1), gray(frame2)
