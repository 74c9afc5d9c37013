"""ResNets on single frames: networks that see appearance, but no motion.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2016. ActionFlowNet compares
with ResNet-18 (its Table 1), Representation Flow with ResNet-34 and -50; UF-TSN uses ResNet-152 as
its spatial stream.

| part | paper | here |
|---|---|---|
| depths 18, 34 | Table 1: two 3x3 convolutions per block | `BasicBlock` |
| depths 50, 101, 152 | Table 1: bottlenecks | `Bottleneck`, with its stride in the 3x3 |
| a video's scores | mean over frames | `logits` are the mean of the frames' logits |

The layers are those of torchvision, so that its published weights load (`afn_jax.weights`). Its
bottleneck has the stride in the 3x3 convolution; the paper's has it in the first 1x1 convolution.

Guessed: dropout of 0.5 before the classifier, as in ActionFlowNet; He et al. use none.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork, check_choice
from afn_jax.nn.conv2d import Conv2D
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.resnet import BasicBlock, Bottleneck, ResNetEncoder
from afn_jax.types import Prediction

# Depth -> block and number of blocks per stage (Table 1).
RESNETS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class FrameResNet(VideoNetwork):
    """ResNet that classifies each frame; its logits are averaged over time; no flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage; 64 in the paper.
        num_frames: frames per clip; any number works.
        depth: 18, 34, 50, 101 or 152.
    """

    num_frames: int = 1
    depth: int = 18

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_choice("depth", self.depth, RESNETS)
        block, stage_sizes = RESNETS[self.depth]
        batch, time = frames.shape[:2]
        x = imagenet_normalize(frames)
        x = x.reshape(batch * time, *x.shape[2:]).astype(self.dtype)
        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)
        features = ResNetEncoder(
            stem_kernel=(7, 7),
            stem_strides=(2, 2),
            stage_strides=((1, 1), (2, 2), (2, 2), (2, 2)),
            conv=partial(Conv2D, dtype=self.dtype),
            norm=norm,
            width=self.width,
            stage_sizes=stage_sizes,
            block=block,
            name="encoder",
        )(x)
        pooled = features[-1].astype(jnp.float32).mean((1, 2))
        pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
        logits = nn.Dense(self.num_classes, name="classifier")(pooled)
        return Prediction(logits=logits.reshape(batch, time, -1).mean(1), flows=())
