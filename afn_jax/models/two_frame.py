"""The two-frame models of ActionFlowNet (section 3.3): flow, action, or both, from frame pairs.

Ng, Choi, Neumann, Davis: ActionFlowNet: Learning Motion Representation for Action Recognition,
2018.

| part | paper | here |
|---|---|---|
| two frames on channels, 6 x 224 x 224 | section 3.3 | `frame_pairs` |
| FlowNet: ResNet-18, four outputs | section 3.3, Eq. 3 | `TwoFrameNet(classify=False)` |
| ActionFlowNet-2F: both tasks | section 3.3.2, Figure 3, Eq. 4 | `TwoFrameNet` |
| "Scratch": ResNet-18 alone | Table 1 | `TwoFrameNet(predict_flow=False)` |
| "Fine-tune": flow first, then action | Table 1 | the same, from the encoder of FlowNet |
| Stacked: no conv1, no pool1 | section 3.3.1, Figure 2 | `StackedNet` |
| "Stacked ... is fixed" | Table 1, section 4.3 | `StackedNet(freeze_flow=True)` |
| dropout 0.5 before the classifier | section 4.2 | `dropout_rate` |

Guessed, because the paper does not report it: channels of the decoder (halved at each level, so
that ActionFlowNet-2F has 57 % of the parameters of Stacked, "approximately half" in section 4.3);
leaky ReLU as in FlowNet-S and batch normalization as in the encoder; He initialization;
normalization of the input (ImageNet's); averaging the scores over all pairs of a longer clip.
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
    """Concatenates each frame and the next on channels; all pairs are on the batch axis."""
    check_num_frames(frames, least=2)
    pairs = jnp.concatenate([frames[:, :-1], frames[:, 1:]], -1)
    return pairs.reshape(-1, *pairs.shape[2:])


class TwoFrameNet(VideoNetwork):
    """ActionFlowNet-2F: logits, and flow at 1/4 to 1/32 of the size of the frames.

    Each frame and the next are a pair: there are `time - 1` flows, and the logits are averaged over
    the pairs.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage; 64 in the paper.
        num_frames: frames per clip, 2 or more; 2 in the paper.
        predict_flow: False leaves out the decoder.
        classify: False leaves out the classifier.
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

    Attributes, besides those of `VideoNetwork`:
        num_frames: frames per clip, 2 or more; 2 in the paper.
        freeze_flow: True is the setting of the paper's Table 1, for a flow network that is already
            trained: the classifier's gradient stops at the flow, and the flow network's batch
            statistics do not change. A flow loss still has a gradient; train without one to keep
            the flow network fixed.
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
    """Computes the mean over the map, dropout, and a linear layer, "classifier" of the caller."""
    pooled = x.astype(jnp.float32).mean((1, 2))
    pooled = nn.Dropout(dropout_rate, deterministic=not train)(pooled)
    return nn.Dense(num_classes, name="classifier")(pooled)
