"""One primal-dual iteration of TV-L1 optical flow.

Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1 Optical Flow" (2007), minimise
`sum |grad u| + lam * |rho(u)|` by turns in the flow `u`, its copy `v` and the dual `p` of its
gradient. The classical solver (`afn_jax.ops.tvl1`) and the layer of Representation Flow
(`afn_jax.ops.representation_flow`, there Eq. 2-5) both take these steps; they differ in how they
differentiate a map, so the stencils are arguments.

A map is an array of any shape; `x_axis` and `y_axis` say which axes are right and down.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from afn_jax.types import Array

EPSILON = 1e-12  # under the square root and the division: a constant map has no NaN gradient

Stencil = Callable[[Array], tuple[Array, Array]]  # map -> its x and y derivative


class Flow(NamedTuple):
    """The x and the y component of flow, or of anything that has one value for each."""

    x: Array
    y: Array


class State(NamedTuple):
    """What an iteration starts from.

    Attributes:
        flow: `u`, in pixels.
        dual_x: `p` of the x component: the dual of its x and of its y derivative.
        dual_y: the same of the y component.
    """

    flow: Flow
    dual_x: Flow
    dual_y: Flow


class Brightness(NamedTuple):
    """The linearised brightness residual `rho(u) = constant + gradient . u`.

    Attributes:
        constant: residual at zero flow.
        gradient: of the second image, along x and y.
        inverse: `1 / (|gradient|^2 + EPSILON)`, the same in all iterations.
    """

    constant: Array
    gradient: Flow
    inverse: Array

    def residual(self, flow: Flow) -> Array:
        return self.constant + self.gradient.x * flow.x + self.gradient.y * flow.y


def linearize(constant: Array, gradient: Flow) -> Brightness:
    """The residual with that value at zero flow and that slope."""
    squared = gradient.x * gradient.x + gradient.y * gradient.y
    return Brightness(constant, gradient, 1 / (squared + EPSILON))


def zero_state(like: Array) -> State:
    zeros = Flow(jnp.zeros_like(like), jnp.zeros_like(like))
    return State(zeros, zeros, zeros)


def tvl1_step(
    state: State,
    brightness: Brightness,
    *,
    tau: Array | float,
    lam: Array | float,
    theta: Array | float,
    gradient: Stencil,
    divergence: Callable[[Flow], Array],
) -> State:
    """One iteration: `v` exactly, then `u` from the divergence, then one ascent of `p`.

    The three cases of the threshold (Eq. 3 of Representation Flow) are one clip:
    `v = u - grad * clip(rho / |grad|^2, -lam * theta, lam * theta)`.

    Args:
        state: where to start.
        brightness: the data term, of maps of the same shape.
        tau: step of the dual ascent; convergence is proven up to 1/8, practice takes 1/4.
        lam: weight of the data term.
        theta: how tightly `u` follows `v`; small is tight.
        gradient: of a map, for the regulariser.
        divergence: of a pair of maps; to converge, the negative adjoint of `gradient`.
    """
    flow = state.flow
    bound = lam * theta
    shrink = jnp.clip(brightness.residual(flow) * brightness.inverse, -bound, bound)
    new_x = flow.x - brightness.gradient.x * shrink + theta * divergence(state.dual_x)
    new_y = flow.y - brightness.gradient.y * shrink + theta * divergence(state.dual_y)
    step = tau / theta
    return State(
        Flow(new_x, new_y),
        _ascend(state.dual_x, gradient(new_x), step),
        _ascend(state.dual_y, gradient(new_y), step),
    )


def _ascend(dual: Flow, gradient: tuple[Array, Array], step: Array | float) -> Flow:
    x, y = gradient
    scale = 1 / (1 + step * gradient_length(x, y))
    return Flow((dual.x + step * x) * scale, (dual.y + step * y) * scale)


def gradient_length(x: Array, y: Array) -> Array:
    """`|grad u|`, with the epsilon inside the root that keeps its derivative finite at 0."""
    return jnp.sqrt(x * x + y * y + EPSILON)


# Stencils. Written as one slice and one pad an axis, which XLA fuses into the loop over pixels.


def shift(x: Array, axis: int, step: int) -> Array:
    """`x` moved by `step` (+1 or -1) along `axis`, zeros coming in."""
    size = x.shape[axis]
    axis %= x.ndim
    if step > 0:
        kept, pad = _slice(x, axis, 0, size - 1), (1, 0)
    else:
        kept, pad = _slice(x, axis, 1, size), (0, 1)
    return jnp.pad(kept, [pad if a == axis else (0, 0) for a in range(x.ndim)])


def forward_difference(x: Array, axis: int) -> Array:
    """`x[i + 1] - x[i]`, and 0 at the last: the gradient with Neumann borders."""
    axis %= x.ndim
    size = x.shape[axis]
    difference = _slice(x, axis, 1, size) - _slice(x, axis, 0, size - 1)
    return jnp.pad(difference, [(0, 1) if a == axis else (0, 0) for a in range(x.ndim)])


def backward_difference(p: Array, axis: int) -> Array:
    """`p[i] - p[i - 1]`, with 0 before the first.

    Where the last `p` is 0, as it stays in the dual of `forward_difference`, this is its negative
    adjoint.
    """
    return p - shift(p, axis, 1)


def central_difference(x: Array, axis: int) -> Array:
    """`(x[i + 1] - x[i - 1]) / 2`, the border pixels repeated outside."""
    axis %= x.ndim
    size = x.shape[axis]
    padded = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)], mode="edge")
    return 0.5 * (_slice(padded, axis, 2, size + 2) - _slice(padded, axis, 0, size))


def _slice(x: Array, axis: int, start: int, stop: int) -> Array:
    return x[tuple(slice(start, stop) if a == axis else slice(None) for a in range(x.ndim))]
