"""The representation flow layer and its variants (Piergiovanni and Ryoo).

Section and table numbers are those of the first version of "Representation Flow for Action
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
# The best row of Table 2: "Divergence + tau, lambda, theta".
LEARNED_BY_DEFAULT = ("tau", "lam", "theta", "divergence")

_SMALLEST_RANGE = 1e-6  # of features: a clip with a smaller range counts as constant and becomes 0


def normalize_clip(features: Float[Array, "batch time h w c"]) -> Float[Array, "batch time h w c"]:
    """Scales each clip's features to [0, 255] by the clip's minimum and maximum (section 3.2).

    The authors' code takes the minimum and maximum of the batch; here, an example does not depend
    on the other examples of its batch. A constant clip becomes 0.

    Args:
        features: `[batch, time, H, W, C]`.

    Returns:
        The same shape, in float32 or higher precision.
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
    """Flow of consecutive feature maps (Algorithm 1) with learned parameters.

    `[batch, T, H, W, C]` becomes `[batch, T - 1, H, W, 2 * C]`: the x flow of all channels, then
    the y flow of all channels. This is `RepresentationFlow` without its convolutions, for the flow
    of RGB or of flow.

    Attributes:
        num_iterations: of the primal-dual update; may differ between training and evaluation.
        learned: names from `LEARNABLE`: these become parameters, the others keep their initial
            values.
        kernels: "tvl1" or "sobel"; see `afn_jax.ops.representation_flow`.
        normalize: scale each clip to [0, 255] first.
        remat: what reverse mode stores; see `afn_jax.ops.representation_flow`.
        implementation: "auto", "xla" or "pallas"; see `afn_jax.ops.representation_flow`.
    """

    num_iterations: int = 20
    learned: tuple[str, ...] = LEARNED_BY_DEFAULT
    kernels: Literal["tvl1", "sobel"] = "tvl1"
    normalize: bool = True
    remat: Literal["none", "iteration", "all"] = "all"
    implementation: Literal["auto", "xla", "pallas"] = "auto"

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
                f"learned names {', '.join(unknown)}; choose from {', '.join(LEARNABLE)}"
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
            implementation=self.implementation,
        )
        return jnp.concatenate([flow[..., 0], flow[..., 1]], axis=-1)


class RepresentationFlow(nn.Module):
    """Representation flow layer (section 3.2, appendix A): T frames in, T - 1 frames out.

    The layer is a 1x1 convolution to `channels`, scaling of each clip to [0, 255], the flow of
    consecutive frames, and a 3x3 convolution back to C channels. The variants of Table 5 are
    compositions: two layers without convolutions between them are flow-of-flow, and
    `FlowConvFlow` has convolutions between them.

    With `fusion="residual"` the output is `relu(x[:, :-1] + batch_norm(flow))`, as in the authors'
    code. The 3x3 convolution before the norm and the norm's scale, which starts at 0, are from an
    older version of that code: the layer starts as the identity.

    Attributes:
        channels: number of channels whose flow is computed, 32 in the paper.
        features: output channels; None: as many as the input has.
        num_iterations: 20 in the paper's best models; may differ between training and evaluation.
        learned: names from `LEARNABLE` (Table 2); (): everything is fixed.
        kernels: "tvl1" or "sobel"; see `afn_jax.ops.representation_flow`.
        fusion: "none": the flow replaces the features, as in the paper; "residual": see above.
        remat: what reverse mode stores; see `afn_jax.ops.representation_flow`.
        implementation: "auto", "xla" or "pallas"; see `afn_jax.ops.representation_flow`.
        dtype: of the convolutions and the output; the flow is always computed in float32.
        axis_name: pmap axis over which the norm of "residual" averages its statistics.
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
    implementation: Literal["auto", "xla", "pallas"] = "auto"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], *, train: bool = False
    ) -> Float[Array, "b t2 h w f"]:
        return _layer(self, x, (), train)


class FlowConvFlow(RepresentationFlow):
    """Flow-conv-flow layer (FcF; Figure 4, Table 5): T frames in, T - 2 frames out.

    The layers are those of the authors' code: 1x1 convolution to `channels`, flow, 3x3 to
    2 * `channels`, 1x1 to `channels`, flow, 3x3 back to C. With `fusion="residual"`, each output
    frame is added to the mean of the three frames from which it was computed (four if `num_flows`
    is 3). The other attributes are those of `RepresentationFlow`.

    Attributes:
        num_flows: number of flows; 3 is flow-conv-flow-conv-flow, with T - 3 frames out.
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
    """Applies reduction, flow and convolution once per width in `between`, then for the output."""
    if module.fusion not in ("none", "residual"):
        raise ValueError(f'fusion is {module.fusion!r}; choose "none" or "residual"')
    num_flows = len(between) + 1
    if x.ndim != 5 or x.shape[1] <= num_flows:
        raise ValueError(
            f"x has shape {x.shape}; it must be [batch, time, H, W, C] with at least "
            f"{num_flows + 1} frames, because each flow uses up one"
        )
    features = x.shape[-1] if module.features is None else module.features
    if module.fusion == "residual" and features != x.shape[-1]:
        raise ValueError(
            f"features is {features} and x has {x.shape[-1]} channels; with fusion='residual' the "
            "flow is added to x, so they must be equal: leave features at None"
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
            implementation=module.implementation,
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
    # In the authors' code too, a single flow is added to the frame at which it starts.
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
