"""UF-TSN: an unsupervised flow estimator inside the temporal stream of a two-stream network.

Yang, Kong, Yang: Unsupervised Motion Representation Enhanced Network for Action Recognition, 2021.

| part | paper | here |
|---|---|---|
| feature pyramid, levels 0 (the frame) to 4 | section 2.1 | `afn_jax.nn.pwc.FeaturePyramid` |
| warping, cost volume, decoders G^l | section 2.1, Eq. 2-5 | `afn_jax.nn.pwc.CoarseToFineFlow` |
| U^l at every level | section 2.1 | `flows[0]` to `flows[4]`, finest first |
| backward flow in training | section 2.1 | `bidirectional`, `split_directions` |
| loss | section 2.2, Eq. 6-9 | `afn_jax.losses.uf_tsn_loss` |
| ResNet-18 on the stacked U^0 | sections 2.1, 3.2 | `motion_encoder`, `classifier` |
| warm-up of the classifier | section 3.2: "detach the flow" | `stop_flow_gradient` |
| ResNet-152 on a frame, average of scores | sections 2, 3.2 | `spatial`, `fusion_weights` |
| 5.7 M parameters of the estimator | Table 3 | 5,727,918 |
| w/o multi-scale | Table 2 | `multi_scale=False` |
| w/o cost-volume & multi-scale | Table 2 | `multi_scale=False, use_cost_volume=False` |

The parameters of the smaller networks are subtrees of the larger ones, so each training stage can
start from the previous one: `uf-tsn-flow` has "flow_estimator", `uf-tsn-temporal` also
"motion_encoder" and "classifier", `uf-tsn` also "spatial".

Guessed, because the paper does not report it:

- Widths of the pyramid and the decoders, three convolutions per level and search radius 3: those of
  PWC-Net, with the radius that leads to 5.7 M parameters. Widths (32, 64, 96, 128) and decoders on
  levels 4 to 1 (`finest_level=1`) lead to 5.7 M as well, at a quarter of the computation, but
  without U^0; the 131 flows per second of Table 3, on an RTX 2070, suggest a network that small.
  Leaky ReLU on the cost volume, zeros outside warped features, no context network.
- The ablated networks: section 3.3 calls them "similar" to that of Hidden Two-Stream, so they are
  an encoder-decoder that predicts one flow. With `use_cost_volume`, the cost volumes remain,
  without warping.
- The clip: "stacks a video sequences of 10 frames" is read as 10 flows, from 11 frames. The
  alternative is `num_frames=10`.
- Frames are normalized by ImageNet's statistics. Flow is clipped to +-20 pixels, as in Hidden
  Two-Stream, and scaled to the range of such a frame.
- Dropout; the spatial stream sees the middle frame; scores are logits; equal weights of the
  streams.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from afn_jax.models.baselines import RESNETS, FrameResNet
from afn_jax.models.contract import VideoNetwork, check_choice, check_fusion_weights
from afn_jax.models.two_frame import pooled_scores
from afn_jax.nn.conv2d import Conv2D
from afn_jax.nn.normalization import IMAGENET_STD, batch_norm, imagenet_normalize
from afn_jax.nn.pwc import CoarseToFineFlow
from afn_jax.nn.resnet import ResNetEncoder
from afn_jax.ops import normalize_flow, resize_flow
from afn_jax.ops.checks import check_num_frames
from afn_jax.types import Prediction


class UFTSN(VideoNetwork):
    """UF-TSN: logits, and the flow of each pair of consecutive frames.

    Flows are finest first, one per level, each `[batch, pairs, h, w, 2]`, with `num_frames - 1`
    pairs in evaluation. In training with `bidirectional`, the backward flows follow on the same
    axis: pair p of the first `num_frames - 1` is the flow from frame p to p + 1, pair `num_frames -
    1 + p` the flow from frame p + 1 to p. `split_directions` separates them for
    `afn_jax.losses.uf_tsn_loss`. The classifier only sees forward flows.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the ResNets' first stage; 64 in the paper. All widths of the estimator
            are scaled by width / 64.
        num_frames: frames per clip. Without a classifier, clips may have any length from 2.
        dropout_rate: dropout rate before each classifier.
        classify: False leaves only the flow estimator.
        spatial_stream: False leaves out the ResNet-152 and the fusion.
        fusion_weights: weights of the spatial and the temporal logits in their mean.
        stop_flow_gradient: detach the flow before the classifier, so that the estimator learns from
            flow losses only.
        bidirectional: predict backward flows as well in training.
        pyramid_widths, convs_per_level, decoder_widths, max_displacement, finest_level,
            use_cost_volume, multi_scale, remat, group_pixels: see
            `afn_jax.nn.pwc.CoarseToFineFlow`.
        flow_bound: bound at which the classifier's input is clipped, in pixels of the frames.
        motion_depth, spatial_depth: depths of the ResNets, see `afn_jax.models.baselines.RESNETS`.
    """

    num_frames: int = 11
    classify: bool = True
    spatial_stream: bool = True
    fusion_weights: tuple[float, float] = (1.0, 1.0)
    stop_flow_gradient: bool = False
    bidirectional: bool = True
    pyramid_widths: tuple[int, ...] = (16, 32, 64, 96)
    convs_per_level: int = 3
    decoder_widths: tuple[int, ...] = (128, 128, 96, 64, 32)
    max_displacement: int = 3
    finest_level: int = 0
    use_cost_volume: bool = True
    multi_scale: bool = True
    remat: bool = True
    group_pixels: int = 2**18
    flow_bound: float = 20.0
    motion_depth: int = 18
    spatial_depth: int = 152

    @property
    def backward_flows(self) -> bool:
        """Whether predictions in training contain backward flows too."""
        return self.bidirectional

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        time, height, width = frames.shape[1:4]
        if self.classify:
            check_num_frames(frames, self.num_frames)
        check_fusion_weights(self.fusion_weights)
        check_choice("motion_depth", self.motion_depth, RESNETS)
        flows = CoarseToFineFlow(
            self._scaled(self.pyramid_widths),
            self.convs_per_level,
            self._scaled(self.decoder_widths),
            self.max_displacement,
            self.finest_level,
            self.use_cost_volume,
            self.multi_scale,
            self.remat,
            self.group_pixels,
            dtype=self.dtype,
            name="flow_estimator",
        )(imagenet_normalize(frames), bidirectional=self.bidirectional and train)
        if not self.classify:
            return Prediction(logits=None, flows=flows)

        motion = resize_flow(flows[0][:, : time - 1], (height, width))
        if self.stop_flow_gradient:
            motion = lax.stop_gradient(motion)
        logits = self._classify_motion(stack_flows(motion, bound=self.flow_bound), train)
        if self.spatial_stream:
            middle = frames[:, time // 2 : time // 2 + 1]
            spatial_logits = FrameResNet(
                self.num_classes,
                width=self.width,
                dropout_rate=self.dropout_rate,
                dtype=self.dtype,
                axis_name=self.axis_name,
                depth=self.spatial_depth,
                name="spatial",
            )(middle, train=train).logits
            spatial, temporal = self.fusion_weights
            logits = (spatial * spatial_logits + temporal * logits) / (spatial + temporal)
        return Prediction(logits=logits, flows=flows)

    def _classify_motion(self, motion: Float[Array, "b h w c"], train: bool) -> Array:
        block, stage_sizes = RESNETS[self.motion_depth]
        features = ResNetEncoder(
            stem_kernel=(7, 7),
            stem_strides=(2, 2),
            stage_strides=((1, 1), (2, 2), (2, 2), (2, 2)),
            conv=partial(Conv2D, dtype=self.dtype),
            norm=batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name),
            width=self.width,
            stage_sizes=stage_sizes,
            block=block,
            name="motion_encoder",
        )(motion.astype(self.dtype))
        return pooled_scores(
            features[-1], self.num_classes, dropout_rate=self.dropout_rate, train=train
        )

    def _scaled(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(1, round(channels * self.width / 64)) for channels in widths)


def stack_flows(flows: Float[Array, "b p h w 2"], *, bound: float) -> Float[Array, "b h w _"]:
    """Stacks the flows of a clip on channels: x of the first, y of the first, x of the second, ...

    Flow is clipped to +-`bound` pixels and scaled to +-0.5 divided by ImageNet's mean standard
    deviation: the range of a normalized frame, which weights trained on frames expect.
    """
    scaled = (normalize_flow(flows, bound=bound) / 255 - 0.5) / (sum(IMAGENET_STD) / 3)
    return jnp.moveaxis(scaled, 1, 3).reshape(*flows.shape[:1], *flows.shape[2:4], -1)


def split_directions(
    flows: tuple[Float[Array, "b p _ _ 2"], ...], num_frames: int
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Splits `Prediction.flows` into forward and backward flows; `()` if there are none."""
    pairs = num_frames - 1
    forward = tuple(flow[:, :pairs] for flow in flows)
    backward = tuple(flow[:, pairs:] for flow in flows if flow.shape[1] > pairs)
    return forward, backward
