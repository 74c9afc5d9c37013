"""One primal-dual iteration of TV-L1 optical flow.

Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow" (2007), minimize
`sum |grad u| + lam * |rho(u)|` alternately over the flow `u`, its copy `v` and the dual `p` of its
gradient. The classical solver (`afn_jax.ops.tvl1`) and the representation flow layer
(`afn_jax.ops.representation_flow`, Eq. 2-5 of its paper) share these steps but differ in how they
differentiate a map, so the stencils are arguments.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from afn_jax.ops.derivative import differentiate_as
from afn_jax.types import Array

EPSILON = 1e-12  # keeps the gradients of square root and division finite for a constant map


class Flow(NamedTuple):
    """The x and y components of flow, or of another vector field."""

    x: Array
    y: Array


class State(NamedTuple):
    """State of the iteration.

    Attributes:
        flow: `u`, in pixels.
        dual_x: `p` of the x component of flow: the duals of its x and its y derivative.
        dual_y: `p` of the y component of flow.
    """

    flow: Flow
    dual_x: Flow
    dual_y: Flow


class Brightness(NamedTuple):
    """Linearized brightness residual `rho(u) = constant + gradient . u`.

    Attributes:
        constant: residual at zero flow.
        gradient: gradient of the second image, along x and y.
        squared: `|gradient|^2 + EPSILON`.
    """

    constant: Array
    gradient: Flow
    squared: Array

    def residual(self, flow: Flow) -> Array:
        return self.constant + self.gradient.x * flow.x + self.gradient.y * flow.y


def linearize(constant: Array, gradient: Flow) -> Brightness:
    """Returns the residual with the given value at zero flow and the given gradient."""
    squared = gradient.x * gradient.x + gradient.y * gradient.y
    return Brightness(constant, gradient, squared + EPSILON)


def zero_state(like: Array) -> State:
    zeros = Flow(jnp.zeros_like(like), jnp.zeros_like(like))
    return State(zeros, zeros, zeros)


class Weights(NamedTuple):
    """Weights of an iteration: a pytree, any leaf of which may be a traced scalar.

    Attributes:
        tau: step size of the dual ascent; convergence is proven up to 1/8, in practice 1/4 is used.
        lam: weight of the data term.
        theta: coupling between `u` and `v`; smaller values couple more tightly.
        kernels: kernel taps passed to the stencils.
    """

    tau: Array | float
    lam: Array | float
    theta: Array | float
    kernels: Any = ()


class Stencils(NamedTuple):
    """Differential operators; each receives `Weights.kernels` as its first argument.

    Attributes:
        gradient: x and y derivatives of a map, for the regularizer.
        divergence: divergence of a pair of maps. The iteration converges if it is the negative
            adjoint of `gradient`.
        gradient_again: same function as `gradient` in another formulation. XLA stores and reloads
            an expression that two of its kernels share; separate expressions avoid that, which
            saves a quarter of an iteration on the CPU.
    """

    gradient: Callable[[Any, Array], tuple[Array, Array]]
    divergence: Callable[[Any, Flow], Array]
    gradient_again: Callable[[Any, Array], tuple[Array, Array]]


def tvl1_step(state: State, brightness: Brightness, weights: Weights, stencils: Stencils) -> State:
    """Computes one iteration: `v` exactly, `u` from the divergence, one ascent step of `p`.

    The three cases of the threshold (Eq. 3 of Representation Flow) are written as one clip:
    `v = u - grad * clip(rho / |grad|^2, -lam * theta, lam * theta)`.
    """
    flow = _move(state, brightness, weights, stencils)
    step = weights.tau / weights.theta

    def ascend(dual, component):
        length = gradient_length(*stencils.gradient(weights.kernels, component))
        scale = 1 / (1 + step * length)
        x, y = stencils.gradient_again(weights.kernels, component)
        return Flow((dual.x + step * x) * scale, (dual.y + step * y) * scale)

    return State(flow, ascend(state.dual_x, flow.x), ascend(state.dual_y, flow.y))


def _move(state: State, brightness: Brightness, weights: Weights, stencils: Stencils) -> Flow:
    """Updates the flow by its data term and the divergence of its dual."""
    flow, gradient = state.flow, brightness.gradient
    bound = weights.lam * weights.theta
    # Dividing is faster than multiplying by a precomputed reciprocal: XLA computes the division
    # once for both components, but a multiplication twice.
    shrink = jnp.clip(brightness.residual(flow) / brightness.squared, -bound, bound)
    across = stencils.divergence(weights.kernels, state.dual_x)
    down = stencils.divergence(weights.kernels, state.dual_y)
    return Flow(
        flow.x - gradient.x * shrink + weights.theta * across,
        flow.y - gradient.y * shrink + weights.theta * down,
    )


def tvl1_iterations(
    state: State,
    brightness: Brightness,
    weights: Weights,
    stencils: Stencils,
    num_iterations: int,
    remat: bool = True,
) -> State:
    """Runs `num_iterations` of `tvl1_step`.

    Args:
        state: initial state.
        brightness: data term.
        weights: see `Weights`.
        stencils: see `Stencils`.
        num_iterations: 0 or more.
        remat: whether reverse mode stores only the ten maps at the start of each iteration and
            recomputes the rest.
    """

    def compute(state, brightness, weights):
        def step(_, state):
            return tvl1_step(state, brightness, weights, stencils)

        return jax.lax.fori_loop(0, num_iterations, step, state)

    def differentiate(state, brightness, weights):
        return _iterations_to_differentiate(
            state, brightness, weights, stencils, num_iterations, remat
        )

    return differentiate_as(compute, differentiate)(state, brightness, weights)


def _iterations_to_differentiate(state, brightness, weights, stencils, num_iterations, remat):
    """Runs `tvl1_iterations` with loop steps from one dual ascent to the next.

    The slopes of the flow are part of the carry, so that reverse mode stores their cotangents.
    Otherwise XLA on the CPU would fuse the shifts of all of them into one slow kernel.
    """
    if num_iterations == 0:
        return state
    # Broadcast to maps, so that reverse mode accumulates the gradient of a scalar pixel by pixel; a
    # sum over all pixels in every iteration would be slow.
    shape = (1, *state.flow.x.shape[1:])
    weights = jax.tree.map(lambda weight: jnp.broadcast_to(weight, shape), weights)
    step = weights.tau / weights.theta

    def move(state):
        flow = _move(state, brightness, weights, stencils)
        slopes = [Flow(*stencils.gradient(weights.kernels, component)) for component in flow]
        return state._replace(flow=flow), slopes

    def ascend(state, slopes):
        duals = (_ascend(d, s, step) for d, s in zip(state[1:], slopes, strict=True))
        return State(state.flow, *duals)

    def iterate(carry):
        return move(ascend(*carry))

    if remat:
        move, iterate = jax.checkpoint(move), jax.checkpoint(iterate)
    carry = jax.lax.fori_loop(1, num_iterations, lambda _, carry: iterate(carry), move(state))
    return ascend(*carry)


@jax.custom_jvp
def _ascend(dual: Flow, slopes: Flow, step: Array) -> Flow:
    scale = 1 / (1 + step * gradient_length(*slopes))
    return Flow((dual.x + step * slopes.x) * scale, (dual.y + step * slopes.y) * scale)


@_ascend.defjvp
def _ascend_jvp(primals, tangents):
    """Derivative in terms of the result, which is cheaper than automatic differentiation."""
    (_, slopes, step), (d_dual, d_slopes, d_step) = primals, tangents
    ascended = _ascend(*primals)
    length = gradient_length(*slopes)
    scale = 1 / (1 + step * length)
    d_length = (slopes.x * d_slopes.x + slopes.y * d_slopes.y) / length
    d_stretch = step * d_length + d_step * length
    return ascended, Flow(
        *(
            scale * (d_dual[i] + d_step * slopes[i] + step * d_slopes[i] - ascended[i] * d_stretch)
            for i in range(2)
        )
    )


def gradient_length(x: Array, y: Array) -> Array:
    """Computes `|grad u|`, with an epsilon under the root to keep the derivative finite at 0."""
    return jnp.sqrt(x * x + y * y + EPSILON)
