"""Networks with the representation flow layer, and those that the paper compares them with.

Piergiovanni, Ryoo: Representation Flow for Action Recognition, first version, 2018.

| part | paper | here |
|---|---|---|
| the layer | section 3.2, appendix A | `afn_jax.nn.RepresentationFlow` |
| flow of flow, flow-conv-flow | section 3.2, Figure 4 | `composition` |
| fusion with RGB | section 4, Figure 2 | `fusion` |
| predictions per frame, averaged over time | section 3.3 | `ResNetStream` |
| 3D- and (2+1)D-ResNet-18; (2+1)D-ResNet-50 | section 4; the authors' code | `backbone` |

Each row of the tables is a network with some fields overridden. Tables 1 to 5 use
`repflow-resnet34` at 16x112x112; every row of tables 1, 4 and 5 has `learned=()`.

| rows | overrides |
|---|---|
| 1: RGB CNN | `composition="none"` |
| 1: Flow CNN | `composition="tvl1", flow_after=0, stacked_flows=10` |
| 1: Two-Stream CNN | the same with `fusion="late"` |
| 1: RGB Input; After Block k | `learned=(), flow_after=0`; `flow_after=k` |
| 2: None | `learned=()` |
| 2: Sobel kernels | `learned=("image_gradient", "flow_gradient")` |
| 2: Divergence; tau, lambda, theta | `learned=("divergence",)`; `("tau", "lam", "theta")` |
| 2: All; Divergence + tau, lambda, theta | `learned=nn.representation_flow.LEARNABLE`; default |
| 3 | `num_iterations=1, 5, 10, 20, 50`; not learned: `learned=()` |
| 4: None, Late, Add, Multiply, Concat | `fusion="none", "late", "add", "multiply", "concat"` |
| 4: Layer + Multiply; RGB, 1 Block, 3 Blocks | `fusion="late+multiply"`; `flow_after=0`, `1`, `3` |
| 5: TVL-1 twice; Flow-of-Flow | `composition="tvl1-of-tvl1", flow_after=0`; `"flow-of-flow"` |
| 5: Single; FcF; FcFcF | `composition="flow"`; `"flow-conv-flow"`; `"flow-conv-flow-conv-flow"` |
| 6: RGB; TVL-1; Two-Stream | `repflow-r3d18`, as Table 1 but `stacked_flows=1` |
| 6: Input; After Block 1, 3 | `repflow-r3d18`, `flow_after=0`; `1`; `3` |
| 7 | `repflow-r2plus1d18`, as Table 6 |
| 8: Ours (guessed) | the default, at 224x224 |
| 9: Ours, 2D or (2+1)D; FcF | `repflow-resnet50` or `-r2plus1d50`; `composition="flow-conv-flow"` |

Blocks are counted as in the paper: the first is the stem, block 3 is 28x28 at 224x224. Flow t is
the flow from frame t to t + 1, fused with the features of frame t; each flow layer shortens the
clip by one frame.

Guessed, because the paper does not report it or differs from its authors' code:

- The layer differentiates as in that code, not with Sobel kernels (Eq. 8 and 10), even where Table
  2 learns "Sobel kernels"; `kernels="sobel"` in all rows gives the printed equations.
- Flow of RGB is computed from the three color channels, without the 1x1 convolution to 32 channels
  (flow-conv-flow has it). Flow-of-flow is computed from all 64 maps of flow and has 128 maps.
- "Layer + Multiply" in Table 4 is read as a misprint of "Late + Multiply": late fusion of the RGB
  network and the multiplying one. Late fusion averages the logits and trains both networks on that
  mean. The paper trains them separately, which two runs and `python -m eval fuse` reproduce.
  Concatenated features enter the next block with twice the channels.
- Table 1 does not learn the layer's parameters: its 59.4 equals that of "None" in Table 2.
- TV-L1 is the solver of this library, with flow clipped to 20 pixels. TV-L1 twice takes the maps of
  x and y flow as two gray videos. Stacks of ten start at every frame (in the authors' loader, at
  every second frame).
- `r2plus1d18` halves time where the authors' 3D network does: in the pooling and in stages 3 to 5.
- The authors' own (2+1)D networks add the flow to the features (`fusion="residual"`); the paper
  does not. Their networks of 50 layers pad as TensorFlow does, except for the stem, which has no
  padding, and each shortcut has two consecutive norms. Their 3D ResNet-18 pools time around even
  frames; here, with an even number of frames, it is around odd ones.
- He initialization is scaled by the inputs of a convolution here, by its outputs in the authors'
  code.
- The layer's learned kernels are shared by its channels (w_x, w_y); the authors' code has one per
  channel.
- Normalization of the input (ImageNet's); none after the layer, except with "residual".
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.baselines import RESNETS
from afn_jax.models.contract import VideoNetwork, check_choice
from afn_jax.nn.conv import Conv3D, Implementation
from afn_jax.nn.conv2d import Conv2D
from afn_jax.nn.conv2plus1d import separable_conv, temporal_bottleneck
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.pooling import max_pool_same
from afn_jax.nn.representation_flow import (
    LEARNED_BY_DEFAULT,
    FlowConvFlow,
    FlowOfFeatures,
    RepresentationFlow,
)
from afn_jax.nn.resnet import ResNetEncoder
from afn_jax.ops import TVL1Config, tvl1_flow
from afn_jax.ops.checks import check_float
from afn_jax.types import Prediction

FLOW_BOUND = 20.0  # pixels: bound of TV-L1 flow, as two-stream networks store it

# Number of consecutive flows, and so the number of frames by which the clip gets shorter.
NUM_FLOWS = {
    "none": 0,
    "flow": 1,
    "flow-of-flow": 2,
    "flow-conv-flow": 2,
    "flow-conv-flow-conv-flow": 3,
    "tvl1": 1,
    "tvl1-of-tvl1": 2,
}
FUSIONS = ("none", "late", "add", "multiply", "late+multiply", "concat", "residual")


@dataclasses.dataclass(frozen=True)
class _Backbone:
    """A ResNet; in 3D, with the strides along time of the stem and of stages 3 to 5."""

    block: Any
    stage_sizes: tuple[int, ...]
    stem_time: tuple[int, ...] = ()
    stage_time: tuple[int, ...] = ()
    separable: bool = False


BACKBONES = {
    "resnet18": _Backbone(*RESNETS[18]),
    "resnet34": _Backbone(*RESNETS[34]),
    "resnet50": _Backbone(*RESNETS[50]),
    "r3d18": _Backbone(*RESNETS[18], (1,), (2,)),
    "r2plus1d18": _Backbone(*RESNETS[18], (1,), (2,), separable=True),
    "r2plus1d50": _Backbone(temporal_bottleneck, RESNETS[50][1], (2,), (1,)),
}


class ResNetStream(nn.Module):
    """ResNet that classifies each frame of `[batch, time, H, W, C]`; averages logits over time.

    Attributes:
        num_classes: size of the logits.
        backbone: one of `BACKBONES`.
        width: channels of the stem.
        dropout_rate: dropout rate before the classifier.
        insert: `insert(k, x)` replaces `x` `[batch, time, h, w, c]`, the output of block k, 1 to 5;
            its result may have fewer frames. None: no change.
        dtype, axis_name, implementation: as in `RepresentationFlowNetwork`.
    """

    num_classes: int
    backbone: str
    width: int = 64
    dropout_rate: float = 0.5
    insert: Callable[[int, Array], Array] | None = None
    dtype: Any = jnp.float32
    axis_name: str | None = None
    implementation: Implementation = "auto"
    remat_stages: int = 0

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool) -> Float[Array, "b classes"]:
        net = BACKBONES[self.backbone]
        by_frame = not net.stem_time
        batch = x.shape[0]
        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)
        conv = partial(Conv3D, dtype=self.dtype, implementation=self.implementation)
        if by_frame:
            conv = _conv2d(self.dtype)
        elif net.separable:
            conv = separable_conv(conv, norm)

        def insert(index, x):
            if by_frame:
                x = x.reshape(batch, -1, *x.shape[1:])
            if self.insert is not None:
                x = self.insert(index + 1, x)
            if by_frame:
                return _fold(x)
            return max_pool_same(x, (3, 1, 1), (2, 1, 1)) if index == 0 else x

        x = ResNetEncoder(
            stem_kernel=(7,) * (2 if by_frame else 3),
            stem_strides=(*net.stem_time, 2, 2),
            stage_strides=((1,) * (2 if by_frame else 3), *((*net.stage_time, 2, 2),) * 3),
            conv=conv,
            norm=norm,
            width=self.width,
            stage_sizes=net.stage_sizes,
            block=net.block,
            insert=insert,
            remat_stages=self.remat_stages,
            name="encoder",
        )((_fold(x) if by_frame else x).astype(self.dtype))[-1]
        pooled = x.astype(jnp.float32).mean((-3, -2)).reshape(batch, -1, x.shape[-1])
        pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
        return nn.Dense(self.num_classes, name="classifier")(pooled).mean(1)


class RepresentationFlowNetwork(VideoNetwork):
    """Network with flow layers or TV-L1 flow inside; logits are averaged over time.

    `Prediction.flows` is empty: the layer computes flow of 32 learned channels, and TV-L1 flow is
    not learned.

    Attributes, besides those of `VideoNetwork`:
        backbone: one of `BACKBONES`.
        width: channels of the stem; 64 in the paper.
        num_frames: frames per clip; 16 in the paper, 32 in its Table 9. Any number that leaves
            enough frames for the layer works.
        flow_after: block after which flow is computed, 1 to 5; 0: flow of the frames themselves.
        composition: one of `NUM_FLOWS`; "none" is the RGB network.
        fusion: one of `FUSIONS`: how flow is combined with the features that it was computed from.
            "none": flow replaces them; "late": a second network without flow, logits averaged;
            "residual": as in the authors' code, see `RepresentationFlow`.
        channels: number of channels that flow is computed from.
        num_iterations, learned, kernels, remat: options of the layer, see `RepresentationFlow`.
        remat_stages: number of residual stages, from the first, that training computes again for
            the gradient instead of storing them; see `afn_jax.nn.resnet.ResNetEncoder`.
        tvl1: options of the solver, for compositions with TV-L1.
        stacked_flows: number of TV-L1 flow maps that the network takes at a time; 10 in Table 1.
        dropout_rate: dropout rate before the classifier; 0.5 for Kinetics, 0.8 for HMDB51.
        implementation: implementation of the 3D convolutions, see `afn_jax.nn.conv`.
    """

    backbone: str = "resnet34"
    num_frames: int = 16
    flow_after: int = 3
    composition: str = "flow"
    fusion: str = "none"
    channels: int = 32
    num_iterations: int = 20
    learned: tuple[str, ...] = LEARNED_BY_DEFAULT
    kernels: Literal["tvl1", "sobel"] = "tvl1"
    remat: Literal["none", "iteration", "all"] = "all"
    remat_stages: int = 0
    tvl1: TVL1Config = TVL1Config()
    stacked_flows: int = 1
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        self._check()
        stream = partial(
            ResNetStream,
            num_classes=self.num_classes,
            backbone=self.backbone,
            width=self.width,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            axis_name=self.axis_name,
            implementation=self.implementation,
            remat_stages=self.remat_stages,
        )
        rgb = imagenet_normalize(frames)
        if self.composition == "none":
            return Prediction(logits=stream(name="rgb_stream")(rgb, train=train), flows=())

        insert = None
        if self.composition.startswith("tvl1"):
            self._check_time(frames, frames, self.stacked_flows - 1)
            x = _tvl1_input(frames, self.tvl1, self.composition, self.stacked_flows)
        else:
            layer = self._layer()

            def fused(x, source):
                self._check_time(frames, x)
                flow = layer(source, train=train)
                return _fuse(self.fusion, x[:, : flow.shape[1]].astype(flow.dtype), flow)

            if self.flow_after == 0:
                x = fused(rgb, frames)
            else:
                x = rgb

                def insert(block, x):
                    return fused(x, x) if block == self.flow_after else x

        logits = stream(insert=insert, name="flow_stream")(x, train=train)
        if self.fusion.startswith("late"):
            logits = (logits + stream(name="rgb_stream")(rgb, train=train)) / 2
        return Prediction(logits=logits, flows=())

    def _layer(self) -> nn.Module:
        """Creates the layer. The encoder calls it, but its parameters belong to this module."""
        options = dict(
            num_iterations=self.num_iterations,
            learned=self.learned,
            kernels=self.kernels,
            remat=self.remat,
        )
        name, num_flows = "flow_layer", NUM_FLOWS[self.composition]
        of_rgb = self.flow_after == 0
        if self.composition == "flow-of-flow" or (self.composition == "flow" and of_rgb):
            channels = None if of_rgb else self.channels
            return _FlowOfFlow(num_flows, channels, options, self.dtype, name=name)
        options |= dict(
            channels=self.channels,
            fusion="residual" if self.fusion == "residual" else "none",
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        if self.composition == "flow":
            return RepresentationFlow(**options, name=name)
        return FlowConvFlow(num_flows=num_flows, **options, name=name)

    def _check(self) -> None:
        check_choice("backbone", self.backbone, BACKBONES)
        check_choice("composition", self.composition, NUM_FLOWS)
        check_choice("fusion", self.fusion, FUSIONS)
        check_choice("flow_after", self.flow_after, range(6))
        if self.composition == "none" and self.fusion != "none":
            raise ValueError(
                f"fusion: got {self.fusion!r} with composition='none', which has nothing to fuse. "
                "Choose a composition with flow, or fusion='none'."
            )
        if self.composition.startswith("tvl1"):
            if self.flow_after != 0 or self.fusion not in ("none", "late"):
                raise ValueError(
                    f"flow_after, fusion: got {self.flow_after} and {self.fusion!r} with "
                    f"composition={self.composition!r}, but TV-L1 flow is computed from frames and "
                    "has a separate network: pass flow_after=0 and fusion='none' or 'late'."
                )
        elif self.stacked_flows != 1:
            raise ValueError(
                f"stacked_flows: got {self.stacked_flows} with composition="
                f"{self.composition!r}, but only 'tvl1' and 'tvl1-of-tvl1' are stacked: pass 1."
            )
        if self.stacked_flows < 1:
            raise ValueError(f"stacked_flows: got {self.stacked_flows}; allowed: 1 or more.")
        unlike = self.flow_after == 0 or self.composition == "flow-of-flow"
        if self.fusion == "residual" and unlike:
            raise ValueError(
                f"fusion: got 'residual' with flow_after={self.flow_after} and composition="
                f"{self.composition!r}, but it is for layers with convolutions inside the network: "
                "pass flow_after=1 to 5 and 'flow' or 'flow-conv-flow', or another fusion."
            )

    def _check_time(self, frames: Array, x: Array, more: int = 0) -> None:
        needed = NUM_FLOWS[self.composition] + 1 + more
        if x.shape[1] < needed:
            raise ValueError(
                f"frames: got {frames.shape[1]} frames per clip, of which {self.backbone} leaves "
                f"{x.shape[1]} for the flow after block {self.flow_after}, but composition="
                f"{self.composition!r} needs {needed}. Use longer clips or a different flow_after."
            )


class _FlowOfFlow(nn.Module):
    """The layer without convolutions between its flows, and for RGB without the first one."""

    num_flows: int
    channels: int | None
    options: dict[str, Any]
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool) -> Array:
        batch = x.shape[0]
        conv = _conv2d(self.dtype)
        y = x
        if self.channels is not None:
            y = conv(self.channels, (1, 1), name="reduce")(_fold(x))
            y = y.reshape(*x.shape[:-1], -1)
        for index in range(self.num_flows):
            suffix = f"_{index + 1}" if self.num_flows > 1 else ""
            y = FlowOfFeatures(**self.options, name=f"flow{suffix}")(y)
        y = conv(x.shape[-1], (3, 3), name="expand")(_fold(y))
        return y.reshape(batch, -1, *y.shape[1:])


def _fuse(fusion: str, features: Array, flow: Array) -> Array:
    """Computes the input of the next block (Figure 2c) from flow and the features it starts at."""
    if fusion == "add":
        return features + flow
    if fusion in ("multiply", "late+multiply"):
        return features * flow
    if fusion == "concat":
        return jnp.concatenate([features, flow], -1)
    return flow


def _tvl1_input(frames: Array, config: TVL1Config, composition: str, stacked: int) -> Array:
    """Computes stacks of TV-L1 flow, or of the flow of that flow, without a gradient."""
    check_float(frames=frames)

    def flow_between(x):
        x = jax.lax.stop_gradient(x.astype(jnp.float32))
        return jnp.clip(tvl1_flow(x[:, :-1], x[:, 1:], config), -FLOW_BOUND, FLOW_BOUND)

    x = flow_between(frames)
    if composition == "tvl1-of-tvl1":
        gray = jnp.moveaxis(x / (2 * FLOW_BOUND) + 0.5, -1, 2)[..., None]
        twice = jnp.moveaxis(flow_between(gray), 2, -2)  # [b, t, h, w, component, 2]
        x = twice.reshape(*twice.shape[:-2], 4)
    length = x.shape[1] - stacked + 1
    return jnp.concatenate([x[:, k : k + length] for k in range(stacked)], -1)


def _conv2d(dtype: Any) -> Callable[..., Conv2D]:
    return lambda *args, name: Conv2D(*args, dtype=dtype, name=name)


def _fold(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])
