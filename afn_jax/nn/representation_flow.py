"""The representation flow layer and what is built of it (Piergiovanni and Ryoo).

Sections and tables are those of the paper's first version, "Representation Flow for Action
Recognition" (2018).
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv import he_normal
from afn_jax.ops import RepresentationFlowParams, initial_params, representation_flow

LEARNABLE = ("tau", "lam", "theta", "divergence", "image_gradient", "flow_gradient")
# Table 2's best: "Divergence + tau, lambda, theta".
LEARNED_BY_DEFAULT = ("tau", "lam", "theta", "divergence")

_SMALLEST_RANGE = 1e-6  # of features: below it a clip is constant and stays at 0


def normalize_clip(features: Float[Array, "batch time h w c"]) -> Float[Array, "batch time h w c"]:
    """Each clip's features to [0, 255], by its own minimum and maximum (section 3.2).

    Per clip, so that an example does not depend on its neighbours in the batch, as it does in the
    authors' code. A constant clip becomes 0.

    Args:
        features: `[batch, time, H, W, C]`.

    Returns:
        The same shape; float32 or better.
    """
    features = jnp.asarray(features, jnp.promote_types(features.dtype, jnp.float32))
    features = jnp.clip(features, -1e30, 1e30)  # so that the range is finite
    axes = tuple(range(1, features.ndim))
    lowest = jnp.min(features, axis=axes, keepdims=True)
    span = jnp.max(features, axis=axes, keepdims=True) - lowest
    constant = span < _SMALLEST_RANGE
    scaled = (features - lowest) * (255 / jnp.where(constant, 1, span))
    return jnp.where(constant, 0, scaled)


class FlowOfFeatures(nn.Module):
    """Algorithm 1 between consecutive frames, with the parameters that are learned.

    `[batch, T, H, W, C]` -> `[batch, T - 1, H, W, 2 * C]`: the x flow of all channels, then the y
    flow. It is the whole layer without its convolutions, for flow of RGB or of flow.

    Attributes:
        num_iterations: of the primal-dual update; may differ between training and evaluation.
        learned: of `LEARNABLE`: those become parameters, the others keep their initial value.
        kernels: "tvl1" or "sobel"; see `afn_jax.ops.representation_flow`.
        normalize: bring each clip to [0, 255] first.
        remat: what reverse mode stores; see `afn_jax.ops.representation_flow`.
    """

    num_iterations: int = 20
    learned: tuple[str, ...] = LEARNED_BY_DEFAULT
    kernels: Literal["tvl1", "sobel"] = "tvl1"
    normalize: bool = True
    remat: Literal["none", "iteration", "all"] = "all"

    @nn.compact
    def __call__(self, features: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h w c2"]:
        if features.ndim != 5 or features.shape[1] < 2:
            raise ValueError(
                f"features has shape {features.shape}; it must be [batch, time, H, W, C] with two "
                "frames or more"
            )
        unknown = sorted(set(self.learned) - set(LEARNABLE))
        if unknown:
            raise ValueError(
                f"learned names {', '.join(unknown)}; choose of {', '.join(LEARNABLE)}"
            )
        initial = initial_params(self.kernels)
        learned = {
            name: self.param(name, lambda key, name=name: getattr(initial, name))
            for name in self.learned
        }
        if self.normalize:
            features = normalize_clip(features)
        flow = representation_flow(
            features[:, :-1],
            features[:, 1:],
            RepresentationFlowParams(**learned),
            num_iterations=self.num_iterations,
            kernels=self.kernels,
            remat=self.remat,
        )
        return jnp.concatenate([flow[..., 0], flow[..., 1]], axis=-1)


class RepresentationFlow(nn.Module):
    """The layer of the paper (section 3.2, appendix A): `[batch, T, H, W, C]` -> T - 1 frames.

    1x1 convolution to `channels`, each clip to [0, 255], the flow of consecutive frames, 3x3
    convolution back to C. Composition gives the variants of Table 5: two layers without the
    convolutions between are flow-of-flow, see `FlowConvFlow` for those with. With
    `fusion="residual"` it is `relu(x[:, :-1] + batch norm(flow))` as in the authors' code, with the
    3x3 convolution and the scale of the norm, 0 at first, of its older version: the layer starts as
    the identity.

    Attributes:
        channels: the flow is computed of so many (32 in the paper).
        features: of the output; None = as many as come in.
        num_iterations: 20 in the paper's best models; may differ between training and evaluation.
        learned: of `LEARNABLE` (Table 2); () = all fixed.
        kernels: "tvl1" or "sobel"; see `afn_jax.ops.representation_flow`.
        fusion: "none" = the flow takes the place of the features, the paper's choice; "residual".
        remat: what reverse mode stores; see `afn_jax.ops.representation_flow`.
        dtype: of the convolutions and the output. The flow is computed in float32 all the same.
        axis_name: pmap axis that the norm of "residual" averages its statistics over.
    """

    channels: int = 32
    features: int | None = None
    num_iterations: int = 20
    learned: tuple[str, ...] = LEARNED_BY_DEFAULT
    kernels: Literal["tvl1", "sobel"] = "tvl1"
    fusion: Literal["none", "residual"] = "none"
    remat: Literal["none", "iteration", "all"] = "all"
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], *, train: bool = False
    ) -> Float[Array, "b t2 h w f"]:
        return _layer(self, x, (), train)


class FlowConvFlow(RepresentationFlow):
    """Flow, 3x3 convolution, flow (FcF; Figure 4, Table 5): `[batch, T, H, W, C]` -> T - 2 frames.

    As the authors' code has it: 1x1 to `channels`, flow, 3x3 to 2 * `channels`, 1x1 to `channels`,
    flow, 3x3 back to C; and with `fusion="residual"` each frame of the output is added to the mean
    of the three frames that it was computed from, four with `num_flows=3`. The attributes are those
    of `RepresentationFlow`, and:

    Attributes:
        num_flows: 2; 3 = flow-conv-flow-conv-flow, with T - 3 frames.
    """

    num_flows: int = 2

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], *, train: bool = False
    ) -> Float[Array, "b t2 h w f"]:
        if self.num_flows < 2:
            raise ValueError(f"num_flows is {self.num_flows}; pass 2 or more")
        between = (2 * self.channels,) * (self.num_flows - 1)
        return _layer(self, x, between, train)


def _layer(module: nn.Module, x: Array, between: tuple[int, ...], train: bool) -> Array:
    """Reduce, flow, convolve, as often as `between` has widths, and once more to the output."""
    if module.fusion not in ("none", "residual"):
        raise ValueError(f'fusion is {module.fusion!r}; choose "none" or "residual"')
    num_flows = len(between) + 1
    if x.ndim != 5 or x.shape[1] <= num_flows:
        raise ValueError(
            f"x has shape {x.shape}; it must be [batch, time, H, W, C] with more than {num_flows} "
            "frames, as each flow takes one"
        )
    features = x.shape[-1] if module.features is None else module.features
    if module.fusion == "residual" and features != x.shape[-1]:
        raise ValueError(
            f"features is {features} and x has {x.shape[-1]}; with fusion='residual' they are "
            "added and must be the same: leave features at None"
        )
    y = jnp.asarray(x, module.dtype)
    for index, width in enumerate((*between, features)):
        suffix = f"_{index + 1}" if between else ""
        reduced = _conv(module, module.channels, 1, f"reduce{suffix}")(y)
        flow = FlowOfFeatures(
            num_iterations=module.num_iterations,
            learned=module.learned,
            kernels=module.kernels,
            remat=module.remat,
            name=f"flow{suffix}",
        )(reduced)
        y = _conv(module, width, 3, f"expand{suffix}")(jnp.asarray(flow, module.dtype))
    if module.fusion == "none":
        return y
    y = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        scale_init=nn.initializers.zeros,
        dtype=module.dtype,
        axis_name=module.axis_name,
        name="norm",
    )(y)
    # One flow is added to the frame that it starts at, as in the authors' code, and not to a mean.
    frames = range(1 if num_flows == 1 else num_flows + 1)
    under = sum(x[:, t : x.shape[1] - num_flows + t] for t in frames) / len(frames)
    return jax.nn.relu(jnp.asarray(under, module.dtype) + y)


def _conv(module: nn.Module, features: int, size: int, name: str) -> nn.Conv:
    return nn.Conv(
        features,
        (size, size),
        padding=size // 2,
        use_bias=False,
        dtype=module.dtype,
        kernel_init=he_normal,
        name=name,
    )
