"""Networks with the representation flow layer, and all that the paper compares them with.

Piergiovanni, Ryoo: Representation Flow for Action Recognition, first version, 2018.

| part | paper | here |
|---|---|---|
| the layer | section 3.2, appendix A | `afn_jax.nn.RepresentationFlow` |
| flow of flow, flow-conv-flow | section 3.2, Figure 4 | `composition` |
| fusion with RGB | section 4, Figure 2 | `fusion` |
| prediction of every frame, averaged over time | section 3.3 | `ResNetStream` |
| 3D- and (2+1)D-ResNet-18; (2+1)D-ResNet-50 | section 4; the authors' code | `backbone` |

How to make each row of the tables: the model, and what to override. Tables 1 to 5 are
`repflow-resnet34` at 16x112x112; tables 1, 4 and 5 have `learned=()` in every row.

| rows | overrides |
|---|---|
| 1: RGB CNN | `composition="none"` |
| 1: Flow CNN | `composition="tvl1", flow_after=0, stacked_flows=10` |
| 1: Two-Stream CNN | that with `fusion="late"` |
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

Blocks are counted as the paper does: the first is the stem, block 3 is 28x28 at 224x224. Flow t is
that of frames t and t + 1, fused with the features of frame t; each layer takes one frame off.

Guessed, because the paper does not say, or its authors' code says otherwise:

- The layer differentiates as that code, not with Sobel kernels (Eq. 8 and 10), also where
  Table 2 learns "Sobel kernels": `kernels="sobel"` in all rows gives the printed equations.

- Flow of RGB is that of the three colors as they are, without the 1x1 convolution to 32 channels
  (flow-conv-flow has it). Flow-of-flow is of all 64 maps of flow, so 128 come out.
- "Layer + Multiply" of Table 4 is read as a slip of the pen for "Late + Multiply": late fusion of
  the RGB network and the multiplying one. Late fusion averages the logits, and trains both networks
  on that mean; the paper trains them apart, as two runs and `python -m eval fuse` would.
  Concatenated features go to the next block with twice the channels.
- Table 1 does not learn the layer's parameters: its 59.4 is that of "None" in Table 2.
- TV-L1 is this library's, its flow clipped to 20 pixels. Twice: of the maps of x and y flow, as two
  gray videos. Stacks of ten begin at every frame (the authors' loader: at every second).
- The time of `r2plus1d18` is that of the authors' 3D network: pooling and stages 3 to 5 halve it.
- The authors' own (2+1)D networks add the flow to the features (`fusion="residual"`); the paper
  does not. Their 50 layers pad as TensorFlow does, the stem not at all, and have two norms in a row
  in each shortcut; their 3D ResNet-18 pools time around even frames, this, of an even number, odd.
- He's initial numbers are by the inputs of a convolution, the authors' by its outputs.
- The layer's learned kernels are shared by its channels (w_x, w_y); the authors' have one for each.
- Normalization of the input (ImageNet's); none after the layer, unless "residual".
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

FLOW_BOUND = 20.0  # pixels: TV-L1 flow is clipped to it, as two-stream networks store it

# How many flows each takes, and so how many frames it shortens the clip by.
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
    """A ResNet, and in 3D the strides of the stem and of stages 3 to 5 along time."""

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
    """A ResNet that classifies every frame: `[batch, time, H, W, C]` -> logits averaged over time.

    Attributes:
        num_classes: size of the logits.
        backbone: of `BACKBONES`.
        width: channels of the stem.
        dropout_rate: before the classifier.
        insert: `insert(k, x)` replaces `x` `[batch, time, h, w, c]`, what comes out of block k, 1
            to 5; it may shorten the time. None leaves it.
        dtype, axis_name, implementation: as for `RepresentationFlowNetwork`.
    """

    num_classes: int
    backbone: str
    width: int = 64
    dropout_rate: float = 0.5
    insert: Callable[[int, Array], Array] | None = None
    dtype: Any = jnp.float32
    axis_name: str | None = None
    implementation: Implementation = "auto"

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
            name="encoder",
        )((_fold(x) if by_frame else x).astype(self.dtype))[-1]
        pooled = x.astype(jnp.float32).mean((-3, -2)).reshape(batch, -1, x.shape[-1])
        pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
        return nn.Dense(self.num_classes, name="classifier")(pooled).mean(1)


class RepresentationFlowNetwork(VideoNetwork):
    """Frames `[batch, time, H, W, 3]` in [0, 1] -> logits averaged over time.

    `flows` is empty: the layer's are those of 32 learned channels, and TV-L1's are not learned.

    Attributes, besides those of `VideoNetwork`:
        backbone: of `BACKBONES`.
        width: channels of the stem; 64 in the paper.
        num_frames: frames per clip; 16, in Table 9 32. Any that leave the layer enough.
        flow_after: block that the flow is taken after, 1 to 5; 0 = of the frames themselves.
        composition: of `NUM_FLOWS`: which flow, "none" for the RGB network.
        fusion: of `FUSIONS`: what becomes of the features that the flow was taken of. "none" = the
            flow takes their place; "late" = a second network without flow, logits averaged;
            "residual" = as in the authors' code, see `RepresentationFlow`.
        channels: the flow is computed of so many.
        num_iterations, learned, kernels, remat: of the layer, see `RepresentationFlow`.
        tvl1: the solver of the compositions with TV-L1.
        stacked_flows: so many maps of TV-L1 flow go into the network at a time; 10 in Table 1.
        dropout_rate: before the classifier; .5 for Kinetics, .8 for HMDB51.
        implementation: of the 3D convolutions, see `afn_jax.nn.conv`.
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
        """Made here and called within the encoder: the parameters are this module's."""
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
                    f"composition={self.composition!r}; TV-L1 is the flow of frames and a network "
                    "of its own: pass flow_after=0 and fusion='none' or 'late'."
                )
        elif self.stacked_flows != 1:
            raise ValueError(
                f"stacked_flows: got {self.stacked_flows} with composition="
                f"{self.composition!r}; only 'tvl1' and 'tvl1-of-tvl1' are stacked: pass 1."
            )
        if self.stacked_flows < 1:
            raise ValueError(f"stacked_flows: got {self.stacked_flows}, allowed are 1 and more.")
        unlike = self.flow_after == 0 or self.composition == "flow-of-flow"
        if self.fusion == "residual" and unlike:
            raise ValueError(
                f"fusion: got 'residual' with flow_after={self.flow_after} and composition="
                f"{self.composition!r}; the authors have it inside the network, with convolutions: "
                "pass flow_after=1 to 5 and 'flow' or 'flow-conv-flow', or another fusion."
            )

    def _check_time(self, frames: Array, x: Array, more: int = 0) -> None:
        needed = NUM_FLOWS[self.composition] + 1 + more
        if x.shape[1] < needed:
            raise ValueError(
                f"frames: got {frames.shape[1]} frames per clip. Of those {self.backbone} leaves "
                f"{x.shape[1]} for the flow after block {self.flow_after}, but composition="
                f"{self.composition!r} needs {needed}. Pass longer clips, or another flow_after."
            )


class _FlowOfFlow(nn.Module):
    """The layer without convolutions between its flows, and without the first one for RGB."""

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
    """What goes on to the next block (Figure 2c). `features` are of the flows' first frames."""
    if fusion == "add":
        return features + flow
    if fusion in ("multiply", "late+multiply"):
        return features * flow
    if fusion == "concat":
        return jnp.concatenate([features, flow], -1)
    return flow


def _tvl1_input(frames: Array, config: TVL1Config, composition: str, stacked: int) -> Array:
    """What a flow network sees of TV-L1: stacks of flow, or of the flow of flow; no gradient."""
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
