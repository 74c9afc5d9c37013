"""Hidden Two-Stream Networks: MotionNet and a temporal stream on its flow, beside a spatial stream.

Zhu, Lan, Newsam, Hauptmann: Hidden Two-Stream Convolutional Networks for Action Recognition, 2018.

| part | paper | here |
|---|---|---|
| stacking MotionNet and the temporal stream | section 3.2 | `HiddenTemporal` |
| clip at 20 pixels, normalize to [0, 255] | section 3.2 | `temporal_input` |
| 11 frames, 10 flows | section 3.2 | `flow_frames` |
| (a) MotionNet fixed | section 3.2 | `freeze_flow=True`, action loss alone |
| (b) both tuned, action loss alone | section 3.2 | `freeze_flow=False`, action loss alone |
| (c) both tuned, all losses | section 3.2 | as (b), with `afn_jax.losses.motionnet_loss` |
| VGG16, TSN, I3D temporal streams | section 6, Table 4 | `backbone`, `num_segments` |
| late fusion 1 : 1.5 | section 3.3 | `HiddenTwoStream`, `late_fusion` |
| branching instead of stacking | section 3.2 | `MotionNet(classify=True)` |

The paper says "quantize", but the authors' network does not round, and neither does this one. Flow
is clipped at its own resolution and enlarged afterwards. The dropout rates of VGG16 are from the
authors' network definition, those of TSN from Wang et al. 2016.

Guessed, because the released files contain only VGG16: TSN's segments of 11 frames each; I3D on 61
frames (six times ten flows, close to its 64), with dropout 0.5; dropout 0.7 for ResNets;
`flow_scale`. The authors' weights expect a range of -128 to 127 (`flow_scale=1`), those of I3D a
range of -1 to 1 (1 / 127.5). torchvision's weights, and training from random initialization, expect
about unit variance, which is the default. The authors initialize the last layer of VGG16 with a
standard deviation of 0.001; here it is Flax's default, 1 / sqrt(4096).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork, check_choice, check_fusion_weights
from afn_jax.models.i3d import I3D
from afn_jax.models.motionnet import MotionNet
from afn_jax.models.streams import (
    BACKBONES,
    FrameClassifier,
    SpatialStream,
    both_rates,
    spatial_rates,
    split_segments,
)
from afn_jax.models.vgg16 import fuse
from afn_jax.nn.i3d import InceptionI3D
from afn_jax.ops import normalize_flow
from afn_jax.ops.resize import resize_linear
from afn_jax.types import Prediction

FLOW_BOUND = 20.0  # pixels
# VGG: after fc6 and fc7. Others: the last one, before the classifier.
TEMPORAL_DROPOUT = {"vgg16": (0.9, 0.8), "i3d": (0.5, 0.5)}  # others: 0.7
FUSIONS = ("softmax", "l1", "logits")


def temporal_input(
    flow: Float[Array, "*batch h w 2"], *, stride: int, size: tuple[int, int]
) -> Float[Array, "*batch new_h new_w 2"]:
    """Computes the "new normalization layer" between MotionNet and a temporal stream (section 3.2).

    The flow is clipped to 20 pixels, mapped to 127.5 + 6.375 * flow, enlarged bilinearly, and
    reduced by 128, so that no motion is -0.5. The enlargement reads 0 outside the map, as the
    authors' transposed convolution does, so the outermost pixels are closer to -128.

    Args:
        flow: `[..., h, w, 2]`, in pixels of the frames, on a map `stride` times smaller than they.
        stride: size of the frames divided by the size of the map, rounded up.
        size: (height, width) of the frames.

    Returns:
        `[..., height, width, 2]`, in [-128, 127].
    """
    *leading, height, width, _ = flow.shape
    scaled = normalize_flow(flow, bound=FLOW_BOUND)
    scaled = jnp.pad(scaled, [(0, 0)] * len(leading) + [(1, 1), (1, 1), (0, 0)])
    enlarged = resize_linear(scaled, ((height + 2) * stride, (width + 2) * stride))
    rows, columns = (slice(stride, stride + side) for side in size)
    return enlarged[..., rows, columns, :] - 128


def late_fusion(
    spatial: Float[Array, "b classes"],
    temporal: Float[Array, "b classes"],
    *,
    weights: tuple[float, float] = (1.0, 1.5),
    fusion: str = "logits",
) -> Float[Array, "b classes"]:
    """Computes logits whose softmax is the fused distribution of two streams (section 3.3).

    Args:
        spatial: `[batch, classes]`, scores before softmax, of one clip or averaged over several.
        temporal: the same for the temporal stream.
        weights: weights of the spatial and the temporal stream.
        fusion: "logits": weighted mean of the scores, as section 3.3 reads. "softmax": weighted
            mean of the probabilities. "l1", as in the authors' script: negative scores are set to 0
            and the rest is scaled to a sum of 1; only for evaluation, because most scores have no
            gradient.

    Raises:
        ValueError: for an unknown `fusion`, or weights that are negative or all 0.
    """
    check_choice("fusion", fusion, FUSIONS)
    check_fusion_weights(weights)
    if fusion != "l1":
        # A weight of 0 would lead to the logarithm of 0.
        pairs = zip((spatial, temporal), weights, strict=True)
        streams = [(scores, weight) for scores, weight in pairs if weight > 0]
        return fuse([s for s, _ in streams], [w for _, w in streams], fusion)
    fused = sum(
        weight / sum(weights) * _l1_normalize(scores)
        for scores, weight in zip((spatial, temporal), weights, strict=True)
    )
    return jnp.log(jnp.maximum(fused, 1e-6))


def _l1_normalize(scores: Float[Array, "b classes"]) -> Float[Array, "b classes"]:
    positive = jax.nn.relu(scores)
    return positive / jnp.maximum(positive.sum(-1, keepdims=True), 1e-6)


class HiddenTemporal(VideoNetwork):
    """Temporal stream: logits, and the flows of MotionNet that they are computed from.

    MotionNet sees `flow_frames` frames at a time. Consecutive windows share a frame, so that there
    is one flow from each frame of a segment to the next.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first level of both networks; 64 in the paper.
        dropout_rate: dropout rate of the temporal stream; a pair for VGG's two layers. None: as in
            the paper.
        backbone: "vgg16", "bn-inception", "i3d" or another one of `BACKBONES`.
        num_segments: number of equal parts of a clip; their scores are averaged (TSN's consensus).
            There is no flow from one part to the next: the flows of the first part come first, then
            those of the second. A flow loss has to split the frames in the same way.
        flow_frames: frames that MotionNet sees at a time, or all frames of a shorter segment; 11 in
            the paper.
        freeze_flow: the gradient of the action loss stops at the flow: (a) of section 3.2. A flow
            loss still has a gradient; train without one to keep MotionNet fixed.
        encoder, extra_convolutions, multiscale, deconv_bias: see `MotionNet`.
        flow_scale: factor of the normalized flow before the temporal stream.
    """

    num_frames: int = 11
    dropout_rate: float | tuple[float, float] | None = None
    backbone: str = "vgg16"
    num_segments: int = 1
    flow_frames: int = 11
    freeze_flow: bool = False
    encoder: str = "small"
    extra_convolutions: bool = True
    multiscale: bool = True
    deconv_bias: bool = True
    flow_scale: float = 1 / (255 * 0.226)

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_choice("backbone", self.backbone, (*BACKBONES, "i3d"))
        batch, size = frames.shape[0], frames.shape[2:4]
        segments = split_segments(frames, self.num_frames, self.num_segments)
        windows = self._windows(segments)
        motionnet = MotionNet(
            self.num_classes,
            width=self.width,
            num_frames=windows.shape[1],
            encoder=self.encoder,
            extra_convolutions=self.extra_convolutions,
            multiscale=self.multiscale,
            deconv_bias=self.deconv_bias,
            dtype=self.dtype,
            name="motionnet",
        )
        flows = motionnet(windows, train=train).flows
        finest, stride = flows[0], motionnet.flow_strides[0]
        if self.freeze_flow:
            finest = jax.lax.stop_gradient(finest)
        finest = finest.reshape(segments.shape[0], -1, *finest.shape[2:])
        x = temporal_input(finest * stride, stride=stride, size=size) * self.flow_scale
        scores = self._temporal(x, train).reshape(batch, self.num_segments, -1)
        flows = tuple(flow.reshape(batch, -1, *flow.shape[2:]) for flow in flows)
        return Prediction(logits=scores.mean(1), flows=flows)

    def _windows(self, segments: Float[Array, "n t h w 3"]) -> Float[Array, "m t2 h w 3"]:
        length = segments.shape[1]
        window = min(self.flow_frames, length)
        if window < 2 or (length - 1) % (window - 1):
            raise ValueError(
                f"num_frames: got {length} frames per segment, but flow comes from windows of "
                f"flow_frames={self.flow_frames} that share a frame with the next. Use 2 to "
                f"{self.flow_frames} frames per segment, or one more than a multiple of "
                f"{self.flow_frames - 1}."
            )
        starts = range(0, length - 1, window - 1)
        windows = jnp.stack([segments[:, start : start + window] for start in starts], 1)
        return windows.reshape(-1, *windows.shape[2:])

    def _temporal(self, x: Float[Array, "n p h w 2"], train: bool) -> Float[Array, "n classes"]:
        rates = self.dropout_rate
        if rates is None:
            rates = TEMPORAL_DROPOUT.get(self.backbone, 0.7)
        fields = {"width": self.width, "dtype": self.dtype, "axis_name": self.axis_name}
        if self.backbone == "i3d":
            rate = both_rates(rates)[-1]
            temporal = InceptionI3D(self.num_classes, dropout_rate=rate, name="temporal", **fields)
            return temporal(x, train=train)
        # Channels: x and y of the first flow, of the second, ...
        x = jnp.moveaxis(x, 1, 3).reshape(x.shape[0], *x.shape[2:4], -1)
        temporal = FrameClassifier(
            self.num_classes, self.backbone, both_rates(rates), name="temporal", **fields
        )
        return temporal(x, train=train)


class HiddenTwoStream(VideoNetwork):
    """A spatial stream and a hidden temporal stream with late fusion.

    The paper trains the streams separately (`SpatialStream` or `I3D`, and `HiddenTemporal`); their
    variables are the subtrees `spatial` and `temporal` here.

    Attributes, besides those of `HiddenTemporal`:
        dropout_rate: dropout rate of both streams; None: as in the paper for each stream.
        spatial_backbone: backbone of the spatial stream; None: that of the temporal stream.
        fusion_weights, fusion: see `late_fusion`.
    """

    num_frames: int = 11
    dropout_rate: float | tuple[float, float] | None = None
    backbone: str = "vgg16"
    spatial_backbone: str | None = None
    num_segments: int = 1
    flow_frames: int = 11
    freeze_flow: bool = False
    encoder: str = "small"
    extra_convolutions: bool = True
    multiscale: bool = True
    deconv_bias: bool = True
    flow_scale: float = 1 / (255 * 0.226)
    fusion_weights: tuple[float, float] = (1.0, 1.5)
    fusion: str = "logits"

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        fields = {
            "num_classes": self.num_classes,
            "width": self.width,
            "num_frames": self.num_frames,
            "dtype": self.dtype,
            "axis_name": self.axis_name,
        }
        backbone = self.spatial_backbone or self.backbone
        rates = spatial_rates(self.dropout_rate, backbone)
        if backbone == "i3d":
            spatial = I3D(dropout_rate=rates[-1], name="spatial", **fields)
        else:
            spatial = SpatialStream(
                dropout_rate=rates,
                backbone=backbone,
                num_segments=self.num_segments,
                name="spatial",
                **fields,
            )
        temporal = HiddenTemporal(
            dropout_rate=self.dropout_rate,
            backbone=self.backbone,
            num_segments=self.num_segments,
            flow_frames=self.flow_frames,
            freeze_flow=self.freeze_flow,
            encoder=self.encoder,
            extra_convolutions=self.extra_convolutions,
            multiscale=self.multiscale,
            deconv_bias=self.deconv_bias,
            flow_scale=self.flow_scale,
            name="temporal",
            **fields,
        )(frames, train=train)
        logits = late_fusion(
            spatial(frames, train=train).logits,
            temporal.logits,
            weights=self.fusion_weights,
            fusion=self.fusion,
        )
        return Prediction(logits=logits, flows=temporal.flows)
