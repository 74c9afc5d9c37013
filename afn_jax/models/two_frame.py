"""The two-frame models of ActionFlowNet (section 3.3): flow, action, and both, of frame pairs.

Ng, Choi, Neumann, Davis: ActionFlowNet: Learning Motion Representation for Action Recognition,
2018.

| part | paper | here |
|---|---|---|
| two frames on channels, 6 x 224 x 224 | section 3.3 | `frame_pairs` |
| FlowNet: ResNet-18, four outputs | section 3.3, Eq. 3 | `TwoFrameNet(classify=False)` |
| ActionFlowNet-2F: both tasks | section 3.3.2, Figure 3, Eq. 4 | `TwoFrameNet` |
| "Scratch": ResNet-18 alone | Table 1 | `TwoFrameNet(predict_flow=False)` |
| "Fine-tune": flow first, then action | Table 1 | that one with the encoder of FlowNet |
| Stacked: no conv1, no pool1 | section 3.3.1, Figure 2 | `StackedNet` |
| "Stacked ... is fixed" | Table 1, section 4.3 | `StackedNet(freeze_flow=True)` |
| dropout .5 before the classifier | section 4.2 | `dropout_rate` |

Guessed, because the paper does not say: channels of the decoder (halved at each level, so that
ActionFlowNet-2F has 57% of Stacked's parameters, "approximately half" in section 4.3); leaky ReLU
as FlowNet-S, and batch normalisation as the encoder has; He initialisation; normalisation of the
input (ImageNet's); that a longer clip is scored by the mean over its pairs.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork
from afn_jax.nn.conv2d import Conv2D, ConvTranspose2D
from afn_jax.nn.flow_decoder import NEAR_ZERO, FlowDecoder
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.resnet import BasicBlock, ResNetEncoder
from afn_jax.ops.checks import check_num_frames
from afn_jax.types import Prediction


def frame_pairs(frames: Float[Array, "b t h w c"]) -> Float[Array, "n h w c2"]:
    """Each frame with the next on channels, all pairs of all clips on the batch axis."""
    check_num_frames(frames, least=2)
    pairs = jnp.concatenate([frames[:, :-1], frames[:, 1:]], -1)
    return pairs.reshape(-1, *pairs.shape[2:])


class TwoFrameNet(VideoNetwork):
    """Frames `[batch, time, H, W, 3]` in [0, 1] -> logits, and flow at 1/4 to 1/32 of the size.

    Every two frames in a row are a pair: `time - 1` flows, and logits averaged over the pairs.

    Attributes:
        num_classes: size of the logits.
        width: channels of the first stage; 64 in the paper.
        num_frames: frames a clip, 2 or more; 2 in the paper.
        dropout_rate: before the classifier.
        predict_flow: False leaves the decoder out.
        classify: False leaves the classifier out.
        dtype: of the computation; parameters, flow and logits stay float32.
        axis_name: pmap axis over which batch statistics are averaged, or None.
    """

    num_frames: int = 2
    predict_flow: bool = True
    classify: bool = True

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        batch = frames.shape[0]
        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)
        features = ResNetEncoder(
            stem_kernel=(7, 7),
            stem_strides=(2, 2),
            stage_strides=((1, 1), (2, 2), (2, 2), (2, 2)),
            conv=lambda *args, name: Conv2D(*args, dtype=self.dtype, name=name),
            norm=norm,
            width=self.width,
            name="encoder",
        )(frame_pairs(imagenet_normalize(frames)).astype(self.dtype))
        flows = ()
        if self.predict_flow:
            flows = FlowDecoder(
                (4 * self.width, 2 * self.width, self.width),
                conv=Conv2D,
                deconv=partial(ConvTranspose2D, dtype=self.dtype),
                dtype=self.dtype,
                norm=norm,
                flow_init=NEAR_ZERO,
                name="decoder",
            )(features[4], [features[3], features[2], features[1]])
            flows = tuple(flow.reshape(batch, -1, *flow.shape[1:]) for flow in flows)
        logits = None
        if self.classify:
            scores = pooled_scores(
                features[4], self.num_classes, dropout_rate=self.dropout_rate, train=train
            )
            logits = scores.reshape(batch, -1, self.num_classes).mean(1)
        return Prediction(logits=logits, flows=flows)


class StackedNet(VideoNetwork):
    """FlowNet, and a ResNet-18 without conv1 and pool1 on its finest flow.

    Attributes as of `TwoFrameNet`, and
        freeze_flow: True is the paper's Table 1, for a flow network that was trained before: the
            classifier's gradient stops at the flow, and the flow network's batch statistics stay.
            Flow keeps its own gradient, for a flow loss; leave that out to keep the network fixed.
    """

    num_frames: int = 2
    freeze_flow: bool = False

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        flows = (
            TwoFrameNet(
                self.num_classes,
                width=self.width,
                classify=False,
                dtype=self.dtype,
                axis_name=self.axis_name,
                name="flownet",
            )(frames, train=train and not self.freeze_flow)
        ).flows
        x = jax.lax.stop_gradient(flows[0]) if self.freeze_flow else flows[0]
        x = x.reshape(-1, *x.shape[2:])
        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)
        for stage in range(4):
            for block in range(2):
                x = BasicBlock(
                    self.width * 2**stage,
                    (2, 2) if stage > 0 and block == 0 else (1, 1),
                    lambda *args, name: Conv2D(*args, dtype=self.dtype, name=name),
                    norm,
                    name=f"res{stage + 2}_{block}",
                )(x)
        scores = pooled_scores(x, self.num_classes, dropout_rate=self.dropout_rate, train=train)
        logits = scores.reshape(frames.shape[0], -1, self.num_classes).mean(1)
        return Prediction(logits=logits, flows=flows)


def pooled_scores(
    x: Float[Array, "n h w c"], num_classes: int, *, dropout_rate: float, train: bool
) -> Float[Array, "n classes"]:
    """Mean over the map, dropout, linear "classifier": layers of the module that calls this."""
    pooled = x.astype(jnp.float32).mean((1, 2))
    pooled = nn.Dropout(dropout_rate, deterministic=not train)(pooled)
    return nn.Dense(num_classes, name="classifier")(pooled)
