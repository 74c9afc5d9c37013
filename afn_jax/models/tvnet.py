"""TVNet: TV-L1 unrolled into layers; its kernels and initial flow are learned with the action.

Fan, Huang, Gan, Ermon, Gong, Huang: End-to-End Learning of Motion Representation for Video
Understanding, 2018. Representation Flow compares with it in its Tables 8 and 9.

| part | source | here |
|---|---|---|
| unrolled iterations | "Unfolding TV-L1 to TVNet" | `TVNetFlow` |
| learned initial flow u0, of the size of the image | "Going beyond TV-L1" | `learned_start` |
| learned kernels of the flow's gradient and of the divergence | the same | `learned` |
| separate ones per scale, warp, iteration and component | the authors' code | kernel shapes |
| tau 0.25, lambda 0.15, theta 0.3 | the authors' code | `RepresentationFlowParams` |
| 1 scale, 1 warp, 50 iterations | the authors' README and training script | defaults |
| 0.1 M parameters | UF-TSN, Table 1 | 2 x 224 x 224 + 50 x 16 = 101,152 |
| gray, each pair to [0, 255], Gaussian of 0.8 pixels | the authors' code | `_prepare` |

In the authors' code tau, lambda, theta and the gradient of the image are fixed; here, `learned` may
include them. Their flow loss, `lambda |warped - frame| + |grad u|`, is not part of the network.

Differences from their code: gray values are not rounded down; smoothing repeats the edges of the
frames instead of padding with zeros; scales are resized with half-pixel centers and averaging.

Guessed, because only the abstract, the figures and the code of the paper were available: the
classifier, which is the BN-Inception of Temporal Segment Networks on stacks of 10 flows as pictures
in [0, 255], and its dropout (0.7, as in those networks).
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork, check_choice
from afn_jax.models.streams import BACKBONES, FrameClassifier, both_rates
from afn_jax.ops import RepresentationFlowParams, normalize_flow, resize_flow, warp
from afn_jax.ops.backend import on_cpu
from afn_jax.ops.checks import check_num_frames
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.ops.resize import resize_linear
from afn_jax.ops.stencils import forward_difference, shift
from afn_jax.ops.tvl1_step import Brightness, Flow, State, gradient_length, linearize
from afn_jax.types import Prediction

LEARNABLE = ("tau", "lam", "theta", "divergence", "flow_gradient", "image_gradient")
LEARNED_BY_DEFAULT = ("divergence", "flow_gradient")

_SIGMA = 0.8  # standard deviation of the smoothing, in pixels
_MIN_DIAGONAL = 4.0  # of the smallest scale, in pixels


class TVNetFlow(nn.Module):
    """Pairs of RGB frames `[n, H, W, 3]` in [0, 1] -> flow `[n, H, W, 2]` in pixels, float32.

    Attributes:
        num_scales: maximum number of scales of the pyramid.
        scale_factor: ratio of the sides of consecutive scales, above 0 and below 1.
        num_warps: number of linearizations at each scale.
        num_iterations: iterations per warp. Each has separate kernels, so the number cannot change
            after training.
        learned: names from `LEARNABLE` that become parameters; the others keep their initial value.
        learned_start: whether the initial flow at the coarsest scale is a parameter, which ties the
            network to one size of frames. False: zero.
    """

    num_scales: int = 1
    scale_factor: float = 0.5
    num_warps: int = 1
    num_iterations: int = 50
    learned: tuple[str, ...] = LEARNED_BY_DEFAULT
    learned_start: bool = True

    @nn.compact
    def __call__(
        self, frames1: Float[Array, "n h w 3"], frames2: Float[Array, "n h w 3"]
    ) -> Float[Array, "n h w 2"]:
        self._check()
        sizes = self._sizes(frames1.shape[1:3])
        weights = {
            name: self.param(name, lambda key, value=value: value)
            if name in self.learned
            else value
            for name, value in self._initial(len(sizes)).items()
        }
        start = jnp.zeros((*sizes[0], 2), jnp.float32)
        if self.learned_start:
            if self.has_variable("params", "start"):
                self._check_start(self.get_variable("params", "start").shape[:2], sizes[0])
            start = self.param("start", nn.initializers.zeros, start.shape, jnp.float32)

        @jax.checkpoint
        def solve(weights, start, pair):
            images = _prepare(pair)
            flow = jnp.broadcast_to(start[None], (pair.shape[0], *start.shape))
            for scale, size in enumerate(sizes):
                small = resize_linear(images, size, axes=(-2, -1))
                flow = _solve_scale(resize_flow(flow, size), small, weights, scale)
            return flow

        pairs = jnp.stack([frames1, frames2], 1).astype(jnp.float32)
        if on_cpu():
            # Pair by pair, so that the maps of a pair stay in the cache.
            return jax.lax.map(lambda pair: solve(weights, start, pair[None])[0], pairs)
        return solve(weights, start, pairs)

    def _initial(self, num_scales: int) -> dict[str, Array]:
        """Returns kernels `[scale, warp, iteration, flow component, axis, tap]`; x before y."""
        scalars = RepresentationFlowParams()
        kernels = (num_scales, self.num_warps, self.num_iterations, 2, 2, 2)
        taps = jnp.array([-1.0, 1.0], jnp.float32)
        central = jnp.array([-0.5, 0.0, 0.5], jnp.float32)
        return {
            "tau": jnp.float32(scalars.tau),
            "lam": jnp.float32(scalars.lam),
            "theta": jnp.float32(scalars.theta),
            "divergence": jnp.broadcast_to(taps.reshape(1, 1, 1, 1, 1, 2), kernels),
            "flow_gradient": jnp.broadcast_to(taps.reshape(1, 1, 1, 1, 1, 2), kernels),
            "image_gradient": jnp.broadcast_to(central.reshape(1, 1, 3), (num_scales, 2, 3)),
        }

    def _sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Computes the sizes of the scales, coarsest first."""
        shrunk = math.log(max(math.hypot(*size) / _MIN_DIAGONAL, 1), 1 / self.scale_factor)
        scales = range(min(self.num_scales, 1 + int(shrunk)))
        return [
            tuple(max(int(side * self.scale_factor**scale + 0.5), 1) for side in size)
            for scale in reversed(scales)
        ]

    def _check(self) -> None:
        for name in ("num_scales", "num_warps", "num_iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}; allowed: 1 or more.")
        if not 0 < self.scale_factor < 1:
            raise ValueError(
                f"scale_factor: got {self.scale_factor}, but it must be between 0 and 1: pass 0.5."
            )
        for name in self.learned:
            check_choice("learned", name, LEARNABLE)

    def _check_start(self, learned: tuple[int, int], size: tuple[int, int]) -> None:
        if learned != size:
            raise ValueError(
                f"frames: their coarsest scale is {size[0]}x{size[1]}, but the initial flow "
                f"was learned at {learned[0]}x{learned[1]}. Use frames of the size of "
                "training, or a model with learned_start=False."
            )


class TVNet(VideoNetwork):
    """TVNet with a classifier: logits, and the flow of each pair of consecutive frames.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the classifier's first convolution; 64 in the paper.
        num_frames: frames per clip; 11 frames have 10 flows.
        num_scales, num_warps, num_iterations, learned, learned_start: see `TVNetFlow`.
        backbone: network of the classifier: "bn-inception", "vgg16", or a ResNet, "resnet18" to
            "resnet152".
        flow_scale: factor of the stack of flows, which is in [-128, 127], before the classifier.
        dropout_rate: dropout rate before the classifier's last layer; a pair for VGG's two layers.
        dtype: dtype of the classifier's computation; parameters, flow and logits stay float32.
    """

    num_frames: int = 11
    num_scales: int = 1
    num_warps: int = 1
    num_iterations: int = 50
    learned: tuple[str, ...] = LEARNED_BY_DEFAULT
    learned_start: bool = True
    backbone: str = "bn-inception"
    flow_scale: float = 1 / (255 * 0.226)
    dropout_rate: float | tuple[float, float] = 0.7

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_choice("backbone", self.backbone, BACKBONES)
        check_num_frames(frames, self.num_frames, least=2)
        batch, _, height, width, _ = frames.shape
        earlier, later = (x.reshape(-1, height, width, 3) for x in (frames[:, :-1], frames[:, 1:]))
        flow = TVNetFlow(
            num_scales=self.num_scales,
            num_warps=self.num_warps,
            num_iterations=self.num_iterations,
            learned=self.learned,
            learned_start=self.learned_start,
            name="flow",
        )(earlier, later).reshape(batch, -1, height, width, 2)
        stack = jnp.moveaxis((normalize_flow(flow) - 128) * self.flow_scale, 1, 3)
        logits = FrameClassifier(
            self.num_classes,
            self.backbone,
            both_rates(self.dropout_rate),
            width=self.width,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="classifier",
        )(stack.reshape(batch, height, width, -1), train=train)
        return Prediction(logits=logits, flows=(flow,))


def _prepare(pairs: Float[Array, "n 2 h w 3"]) -> Float[Array, "n 2 h w"]:
    """Converts pairs to gray, scales each pair to [0, 255] by its minimum and maximum, smooths."""
    gray = 255 * rgb_to_gray(pairs)[..., 0]
    lowest = gray.min((1, 2, 3), keepdims=True)
    span = gray.max((1, 2, 3), keepdims=True) - lowest
    gray = jnp.where(span > 1e-3, (gray - lowest) * (255 / jnp.where(span > 1e-3, span, 1)), gray)
    # The weight of a pixel is the Gaussian's integral over it.
    edges = [math.erf((tap - 2.5) / (_SIGMA * math.sqrt(2))) for tap in range(6)]
    taps = [(edges[i + 1] - edges[i]) / (edges[5] - edges[0]) for i in range(5)]
    return _along(taps, _along(taps, gray, 2), 3)


def _along(taps: Any, x: Array, axis: int) -> Array:
    """Computes the cross-correlation with an odd number of taps along one axis; repeats edges."""
    half = len(taps) // 2
    padded = jnp.pad(x, [(half, half) if a == axis else (0, 0) for a in range(x.ndim)], mode="edge")
    size = x.shape[axis]
    return sum(
        tap * jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i, tap in enumerate(taps)
    )


def _solve_scale(flow: Array, images: Array, weights: dict[str, Array], scale: int) -> Array:
    """Runs all warps and iterations of one scale from `flow`. `images` is `[n, 2, h, w]`."""
    first, second = images[:, 0], images[:, 1]
    slopes = (_along(weights["image_gradient"][scale, axis], second, 2 - axis) for axis in (0, 1))
    second = jnp.stack([second, *slopes], -1)
    zeros = Flow(jnp.zeros_like(first), jnp.zeros_like(first))
    state = State(Flow(flow[..., 0], flow[..., 1]), zeros, zeros)
    for number in range(weights["divergence"].shape[1]):
        warped, slope_x, slope_y = jnp.moveaxis(warp(second, jnp.stack(state.flow, -1)), -1, 0)
        constant = warped - slope_x * state.flow.x - slope_y * state.flow.y - first
        brightness = linearize(constant, Flow(slope_x, slope_y))

        @jax.checkpoint
        def iterate(state, kernels, brightness=brightness):
            scalars = (weights[name] for name in ("tau", "lam", "theta"))
            return _step(state, brightness, *scalars, *kernels), None

        kernels = tuple(weights[name][scale, number] for name in ("divergence", "flow_gradient"))
        state, _ = jax.lax.scan(iterate, state, kernels)
    return jnp.stack(state.flow, -1)


def _step(
    state: State,
    brightness: Brightness,
    tau: Array,
    lam: Array,
    theta: Array,
    divergence: Float[Array, "component=2 axis=2 tap=2"],
    flow_gradient: Float[Array, "component=2 axis=2 tap=2"],
) -> State:
    """Computes `afn_jax.ops.tvl1_step.tvl1_step` with separate kernels per flow component."""
    bound = lam * theta
    shrink = jnp.clip(brightness.residual(state.flow) / brightness.squared, -bound, bound)
    flow, duals = [], []
    for component, dual in enumerate(state[1:]):
        (before_x, here_x), (before_y, here_y) = divergence[component]
        along_x = here_x * dual.x + before_x * shift(dual.x, -1, 1)
        along_y = here_y * dual.y + before_y * shift(dual.y, -2, 1)
        moved = state.flow[component] - brightness.gradient[component] * shrink
        moved = moved + theta * (along_x + along_y)
        across, down = flow_gradient[component]
        slope = Flow(forward_difference(moved, -1, *across), forward_difference(moved, -2, *down))
        scale = 1 / (1 + tau / theta * gradient_length(*slope))
        duals.append(
            Flow(*((p + tau / theta * s) * scale for p, s in zip(dual, slope, strict=True)))
        )
        flow.append(moved)
    return State(Flow(*flow), *duals)
