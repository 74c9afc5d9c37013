"""The TV-L1 iteration of the flow layer and its reverse, for maps that stay on the chip.

The same equations as `afn_jax.ops.tvl1_step`, written for a kernel: maps are references to on-chip
memory, which a `Memory` reads and writes in chunks. Each kernel sweeps over all chunks once per
stencil. A sweep only writes maps whose neighboring pixels it does not read, so every map can be
updated in place.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from afn_jax.ops.tvl1_step import EPSILON

Ref = Any  # a map in on-chip memory
Pair = tuple[Any, Any]  # along x and along y; or of the x and of the y component of flow
NUM_WEIGHTS = 11
NUM_SUMS = 10


class Chunk(ABC):
    """Some pixels of a map, which a kernel holds in registers.

    Attributes:
        has_right: 1.0 where a pixel has a right neighbor, else 0.0.
        has_below: 1.0 where a pixel has a neighbor below, else 0.0.
    """

    has_right: Any
    has_below: Any

    @abstractmethod
    def take(self, ref: Ref, rows: int = 0, columns: int = 0) -> Any:
        """Reads the pixels `rows` below and `columns` to the right of this chunk."""

    @abstractmethod
    def put(self, ref: Ref, value: Any) -> None:
        """Writes the pixels of this chunk."""


class Memory(ABC):
    """How a backend keeps maps on the chip. Beyond the border they read as zero."""

    @abstractmethod
    def sweep(self, body: Callable[[Chunk, Any], Any], carry: Any = ()) -> Any:
        """Runs `body` on each chunk; all its writes are complete when it returns."""

    @abstractmethod
    def zeros(self) -> Any:
        """Returns a chunk of zeros."""


class Weights(NamedTuple):
    """Scalars of the iteration.

    Attributes:
        step: `tau / theta`.
        bound: `lam * theta`.
        theta: coupling.
        divergence: taps for the previous and this pixel, along x and along y.
        gradient: taps for this and the next pixel, along x and along y.
    """

    step: Any
    bound: Any
    theta: Any
    divergence: tuple[Pair, Pair]
    gradient: tuple[Pair, Pair]

    @classmethod
    def unpack(cls, values: Any) -> "Weights":
        """Reads `NUM_WEIGHTS` scalars, in the order in which they are declared."""
        step, bound, theta, *taps = (values[i] for i in range(NUM_WEIGHTS))
        pairs = [(taps[i], taps[i + 1]) for i in range(0, 8, 2)]
        return cls(step, bound, theta, (pairs[0], pairs[1]), (pairs[2], pairs[3]))


class State(NamedTuple):
    """Maps of the iteration: flow (x, y), and for each of its components the dual (x, y)."""

    flow: Pair
    dual: tuple[Pair, Pair]

    @classmethod
    def of(cls, maps: Iterable[Ref]) -> "State":
        flow_x, flow_y, *dual = maps
        return cls((flow_x, flow_y), ((dual[0], dual[1]), (dual[2], dual[3])))

    def maps(self) -> list[Ref]:
        return [*self.flow, *self.dual[0], *self.dual[1]]


class Reverse(NamedTuple):
    """Maps that the reverse of the iteration needs in addition.

    Attributes:
        moved: the flow of the iteration, then its cotangent.
        slopes: cotangents of the slopes of each component of flow.
        d_state: cotangents of the state.
        d_brightness: cotangents of the constant and the gradient of the brightness residual.
    """

    moved: Pair
    slopes: tuple[Pair, Pair]
    d_state: State
    d_brightness: tuple[Ref, Ref, Ref]


def iterate(memory: Memory, weights: Weights, state: State, brightness: Any) -> None:
    """Runs one iteration in place."""

    def move(chunk: Chunk, carry):
        for ref, value in zip(state.flow, _move(chunk, weights, state, brightness), strict=True):
            chunk.put(ref, value)
        return carry

    def ascend(chunk: Chunk, carry):
        for flow, dual in zip(state.flow, state.dual, strict=True):
            slopes, _ = _slopes(chunk, weights, flow)
            scale = 1.0 / (1.0 + weights.step * _length(slopes))
            for ref, slope in zip(dual, slopes, strict=True):
                chunk.put(ref, (chunk.take(ref) + weights.step * slope) * scale)
        return carry

    memory.sweep(move)
    memory.sweep(ascend)


def reverse(
    memory: Memory, weights: Weights, state: State, brightness: Any, extra: Reverse, sums: tuple
) -> tuple:
    """Runs the reverse of the iteration that starts at `state`.

    Updates the cotangents in `extra` in place. Returns `sums` plus the contributions of this
    iteration: of `step`, of `bound`, of the taps of the divergence divided by theta, and of the
    taps of the gradient, each still a chunk that has to be summed.
    """
    d_state = extra.d_state

    def move(chunk: Chunk, carry):
        for ref, value in zip(extra.moved, _move(chunk, weights, state, brightness), strict=True):
            chunk.put(ref, value)
        return carry

    def reverse_ascent(chunk: Chunk, sums):
        d_step, d_bound, *taps = sums
        d_divergence, d_gradient = taps[:4], taps[4:]
        for d in range(2):
            slopes, (here, right, below) = _slopes(chunk, weights, extra.moved[d])
            length = _length(slopes)
            scale = 1.0 / (1.0 + weights.step * length)
            d_dual = [chunk.take(ref) * scale for ref in d_state.dual[d]]
            along = 0.0
            for e in range(2):
                ascended = chunk.take(state.dual[d][e]) + weights.step * slopes[e]
                along = along + d_dual[e] * ascended
            d_stretch = -(along * scale)
            d_step = d_step + d_dual[0] * slopes[0] + d_dual[1] * slopes[1] + d_stretch * length
            per_length = weights.step * d_stretch / length
            d_x, d_y = (weights.step * d_dual[e] + per_length * slopes[e] for e in range(2))
            d_x, d_y = d_x * chunk.has_right, d_y * chunk.has_below
            for tap, product in enumerate((d_x * here, d_x * right, d_y * here, d_y * below)):
                d_gradient[tap] = d_gradient[tap] + product
            for e, d_slope in enumerate((d_x, d_y)):
                chunk.put(extra.slopes[d][e], d_slope)
                chunk.put(d_state.dual[d][e], d_dual[e])
        return d_step, d_bound, *d_divergence, *d_gradient

    def reverse_slopes(chunk: Chunk, carry):
        (here_x, after_x), (here_y, after_y) = weights.gradient
        for d in range(2):
            x, y = extra.slopes[d]
            along_x = here_x * chunk.take(x) + after_x * chunk.take(x, columns=-1)
            along_y = here_y * chunk.take(y) + after_y * chunk.take(y, rows=-1)
            chunk.put(extra.moved[d], chunk.take(d_state.flow[d]) + along_x + along_y)
        return carry

    def reverse_move(chunk: Chunk, sums):
        d_step, d_bound, *taps = sums
        d_divergence, d_gradient = taps[:4], taps[4:]
        (before_x, here_x), (before_y, here_y) = weights.divergence
        d_flow = [chunk.take(ref) for ref in extra.moved]
        for d in range(2):
            # At the last column the right neighbor belongs to the next row. It does no harm: the
            # dual there is always 0, and so are the slopes that its cotangent would reach.
            right, below = chunk.take(extra.moved[d], columns=1), chunk.take(extra.moved[d], rows=1)
            d_x = weights.theta * (here_x * d_flow[d] + before_x * right)
            d_y = weights.theta * (here_y * d_flow[d] + before_y * below)
            for ref, change in zip(d_state.dual[d], (d_x, d_y), strict=True):
                chunk.put(ref, chunk.take(ref) + change)
            for tap, read in enumerate(_divergence_operands(chunk, state.dual[d])):
                d_divergence[tap] = d_divergence[tap] + d_flow[d] * read

        constant, *gradient = (chunk.take(ref) for ref in brightness)
        flow = [chunk.take(ref) for ref in state.flow]
        squared = gradient[0] * gradient[0] + gradient[1] * gradient[1] + EPSILON
        ratio = (constant + gradient[0] * flow[0] + gradient[1] * flow[1]) / squared
        raised = jnp.maximum(ratio, -weights.bound)
        shrink = jnp.minimum(raised, weights.bound)
        d_shrink = -(d_flow[0] * gradient[0] + d_flow[1] * gradient[1])
        zero = jnp.zeros_like(ratio)
        is_high, is_low = raised > weights.bound, ratio < -weights.bound
        d_low = jnp.where(is_low, -d_shrink, zero)
        d_bound = d_bound + jnp.where(is_high, d_shrink, d_low)
        d_ratio = jnp.where(is_high, zero, jnp.where(is_low, zero, d_shrink))
        d_residual = d_ratio / squared
        d_squared = -(d_residual * ratio)
        d_constant, *d_image = extra.d_brightness
        chunk.put(d_constant, chunk.take(d_constant) + d_residual)
        for d in range(2):
            change = d_residual * flow[d] + 2.0 * d_squared * gradient[d] - d_flow[d] * shrink
            chunk.put(d_image[d], chunk.take(d_image[d]) + change)
            chunk.put(d_state.flow[d], d_flow[d] + d_residual * gradient[d])
        return d_step, d_bound, *d_divergence, *d_gradient

    memory.sweep(move)
    sums = memory.sweep(reverse_ascent, sums)
    memory.sweep(reverse_slopes)
    return memory.sweep(reverse_move, sums)


def run(
    memory: Memory, weights: Weights, state: State, brightness: Any, num_iterations: int
) -> None:
    """Runs all iterations, in place."""

    def step(_, carry):
        iterate(memory, weights, state, brightness)
        return carry

    jax.lax.fori_loop(0, num_iterations, step, ())


def run_reverse(
    memory: Memory,
    weights: Weights,
    state: State,
    brightness: Any,
    extra: Reverse,
    checkpoints: Callable[[Any], State],
    num_iterations: int,
    every: int,
) -> tuple:
    """Runs all iterations and then their reverse.

    `state` is zero and `extra.d_state.flow` the cotangent of the flow at the start.

    Args:
        memory: see `Memory`.
        weights: see `Weights`.
        state: maps of the iteration.
        brightness: constant and gradient of the brightness residual.
        extra: see `Reverse`.
        checkpoints: returns the maps in which checkpoint number `i` is stored.
        num_iterations: 1 or more.
        every: iterations from one checkpoint to the next. The state of an iteration is recomputed
            from the checkpoint before it, `(every - 1) / 2` iterations on average.

    Returns:
        The sums of `reverse`.
    """

    def copy(source: State, target: State):
        def body(chunk: Chunk, carry):
            for a, b in zip(source.maps(), target.maps(), strict=True):
                chunk.put(b, chunk.take(a))
            return carry

        memory.sweep(body)

    def advance(_, carry):
        iterate(memory, weights, state, brightness)
        return carry

    def checkpoint(index, carry):
        copy(state, checkpoints(index))
        return jax.lax.fori_loop(0, every, advance, carry)

    last = (num_iterations - 1) // every
    jax.lax.fori_loop(0, last, checkpoint, ())
    copy(state, checkpoints(last))

    def step(done, sums):
        index = num_iterations - 1 - done
        copy(checkpoints(jax.lax.div(index, every)), state)
        jax.lax.fori_loop(0, jax.lax.rem(index, every), advance, ())
        return reverse(memory, weights, state, brightness, extra, sums)

    return jax.lax.fori_loop(0, num_iterations, step, (memory.zeros(),) * NUM_SUMS)


def _move(chunk: Chunk, weights: Weights, state: State, brightness) -> list:
    constant, *gradient = (chunk.take(ref) for ref in brightness)
    flow = [chunk.take(ref) for ref in state.flow]
    squared = gradient[0] * gradient[0] + gradient[1] * gradient[1] + EPSILON
    ratio = (constant + gradient[0] * flow[0] + gradient[1] * flow[1]) / squared
    shrink = jnp.minimum(jnp.maximum(ratio, -weights.bound), weights.bound)
    return [
        flow[d] - gradient[d] * shrink + weights.theta * _divergence(chunk, weights, state.dual[d])
        for d in range(2)
    ]


def _divergence(chunk: Chunk, weights: Weights, dual: Pair):
    (before_x, here_x), (before_y, here_y) = weights.divergence
    left, x, above, y = _divergence_operands(chunk, dual)
    return before_x * left + here_x * x + before_y * above + here_y * y


def _divergence_operands(chunk: Chunk, dual: Pair) -> tuple:
    """Returns what the taps of the divergence multiply.

    At the first column the left neighbor may belong to the previous row: it is 0 there too, because
    the slope of the last column is 0 in every iteration.
    """
    x, y = dual
    return chunk.take(x, columns=-1), chunk.take(x), chunk.take(y, rows=-1), chunk.take(y)


def _slopes(chunk: Chunk, weights: Weights, flow: Ref) -> tuple[Pair, tuple]:
    """Returns the slopes of a component of flow, and what their taps multiply."""
    (here_x, after_x), (here_y, after_y) = weights.gradient
    here, right, below = chunk.take(flow), chunk.take(flow, columns=1), chunk.take(flow, rows=1)
    slope_x = (here_x * here + after_x * right) * chunk.has_right
    slope_y = (here_y * here + after_y * below) * chunk.has_below
    return (slope_x, slope_y), (here, right, below)


def _length(slopes: Pair):
    squared = slopes[0] * slopes[0] + slopes[1] * slopes[1] + EPSILON
    return squared * jax.lax.rsqrt(squared)  # a square root; Mosaic GPU has no other
