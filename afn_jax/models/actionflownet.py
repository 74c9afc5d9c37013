"""ActionFlowNet: one 3D ResNet that learns optical flow, the future flow and the action.

Ng, Choi, Neumann, Davis: ActionFlowNet: Learning Motion Representation for Action Recognition,
2018.

| part | paper | here |
|---|---|---|
| encoder | section 3.1, Figure 1: ResNet-18 with k x k x 3 kernels | `ResNetEncoder`, stem 3x7x7, \
shortcuts 1x1x1 |
| no temporal pooling | section 3.1 | the one max pooling is spatial |
| time halves with space after the third block | section 3.1 | res3, res4, res5: 16 -> 8 -> 4 -> 2 |
| decoder | section 3.1: 3D deconvolutions, skips as in FlowNet | `FlowDecoder` |
| T flows, the last one the future | section 3.1, Eq. 1 | `flows[0]`: `[B, T, h, w, 2]` |
| classifier | section 3.2: mean of 512 x 2 x 7 x 7, dropout 0.5, linear | `classifier` |

Guessed, because the paper does not report it: the resolution of the flow (`flow_stride=4`, that of
the paper's two-frame models); kernels of the convolutions in shortcuts (1 x 1 x 1 as in other 3D
ResNets, not 1 x 1 x 3) and of the deconvolutions (4 x 4 x 4, not 4 x 4 x 3); channels of the
decoder (halved at each level, as in FlowNet-S); leaky ReLU and batch normalization in the decoder;
He initialization; normalization of the input (ImageNet's).
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork, check_choice
from afn_jax.nn.conv import Conv3D, ConvTranspose3D, Implementation
from afn_jax.nn.flow_decoder import NEAR_ZERO, FlowDecoder
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.resnet import ResNetEncoder
from afn_jax.ops.checks import check_num_frames
from afn_jax.types import Prediction


class ActionFlowNet(VideoNetwork):
    """Multi-frame ActionFlowNet: logits and one flow map per frame.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage; 64 in the paper.
        num_frames: frames per clip; 16 in the paper.
        flow_stride: size of the frames divided by the size of the flow: 4, 2 or 1.
        predict_flow: False leaves out the decoder (the paper's models without flow).
        classify: False leaves out the classifier (the paper's multi-frame FlowNet).
        implementation: implementation of the 3D convolutions, see `afn_jax.nn.conv`.
    """

    num_frames: int = 16
    flow_stride: int = 4
    predict_flow: bool = True
    classify: bool = True
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_num_frames(frames, self.num_frames)
        check_choice("flow_stride", self.flow_stride, (1, 2, 4))
        conv = partial(Conv3D, dtype=self.dtype, implementation=self.implementation)
        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)
        x = imagenet_normalize(frames).astype(self.dtype)
        features = ResNetEncoder(
            stem_kernel=(3, 7, 7),
            stem_strides=(1, 2, 2),
            stage_strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
            conv=conv,
            norm=norm,
            width=self.width,
            name="encoder",
        )(x)

        flows = []
        if self.predict_flow:
            skips = [features[3], features[2], features[1]]  # res4, res3, res2 at 1/4
            channels = [4 * self.width, 2 * self.width, self.width]
            if self.flow_stride <= 2:
                skips.append(features[0])
                channels.append(self.width)
            if self.flow_stride == 1:
                skips.append(x)
                channels.append(max(self.width // 2, 1))
            flows = FlowDecoder(
                tuple(channels),
                conv=conv,
                deconv=partial(
                    ConvTranspose3D, dtype=self.dtype, implementation=self.implementation
                ),
                dtype=self.dtype,
                every_size=False,
                norm=norm,
                flow_init=NEAR_ZERO,
                name="decoder",
            )(features[4], skips)

        logits = None
        if self.classify:
            pooled = features[4].astype(jnp.float32).mean((1, 2, 3))
            pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
            logits = nn.Dense(self.num_classes, name="classifier")(pooled)
        return Prediction(logits=logits, flows=tuple(flows))
