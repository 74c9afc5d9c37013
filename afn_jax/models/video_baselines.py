"""Networks with convolutions over space and time: R3D-18, R(2+1)D-18 and C3D.

R3D, R(2+1)D: Tran, Wang, Torresani, Ray, LeCun, Paluri: A Closer Look at Spatiotemporal
Convolutions for Action Recognition, 2018. C3D: Tran, Bourdev, Fergus, Torresani, Paluri: Learning
Spatiotemporal Features with 3D Convolutional Networks, 2015.

| part | paper | here |
|---|---|---|
| R3D | 2018, section 3.3, Table 1 | `VideoResNet("3d")`, stem 3x7x7, no pooling after it |
| R(2+1)D | 2018, section 3.5 | `VideoResNet("2plus1d")`, stem 1x7x7 to 45, 3x1x1 to 64 |
| strides | 2018, Table 1: res3, res4, res5 halve time and space | `stage_strides` |
| C3D | 2015, section 3.2, Figure 3 | `C3D`: 8 convolutions of 3x3x3, 5 poolings, fc6, fc7 |
| pool1 keeps time | 2015, section 3.1 | `C3D_STAGES` |

The ResNets are those of torchvision in every layer and in the normalization of the input, so that
its weights trained on Kinetics-400 load (`afn_jax.weights`). C3D's last pooling keeps an odd last
row, as the authors' Caffe does: 7 x 7 becomes 4 x 4, so fc6 has 8192 inputs.

Guessed: dropout of 0.5 before the ResNets' classifier (the paper uses none; meant for fine-tuning
on small datasets); C3D's input normalization (ImageNet's instead of the authors' mean clip of
Sports-1M); C3D at sizes other than 16 x 112 x 112, where averaging reduces the last map to 1 x 4 x
4.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork, check_choice
from afn_jax.nn.conv import Conv3D, Implementation
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.resnet import BasicBlock, ResNetEncoder
from afn_jax.nn.vgg import adaptive_average_pool, dense_layers, max_pool_halves
from afn_jax.ops.checks import check_float
from afn_jax.types import Prediction

KINETICS_MEAN = (0.43216, 0.394666, 0.37645)  # RGB in [0, 1], from torchvision's video networks
KINETICS_STD = (0.22803, 0.22145, 0.216989)

# Width in units of the first, number of convolutions, axes that the pooling after them halves.
C3D_STAGES = (
    (1, 1, (2, 3)),
    (2, 1, (1, 2, 3)),
    (4, 2, (1, 2, 3)),
    (8, 2, (1, 2, 3)),
    (8, 2, (1, 2, 3)),
)


class VideoResNet(VideoNetwork):
    """R3D-18 or R(2+1)D-18; no flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage; 64 in the paper.
        num_frames: frames per clip; 16 in the paper, but any number works.
        convolution: "3d", or "2plus1d": over space first, then over time.
        implementation: implementation of the 3D convolutions, see `afn_jax.nn.conv`.
    """

    num_frames: int = 16
    convolution: str = "3d"
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_choice("convolution", self.convolution, ("3d", "2plus1d"))
        check_float(frames=frames)
        factorize = self.convolution == "2plus1d"
        mean, std = (
            jnp.array(values).reshape(1, 1, 1, 1, 3) for values in (KINETICS_MEAN, KINETICS_STD)
        )
        features = ResNetEncoder(
            stem_kernel=(3, 7, 7),
            stem_strides=(1, 2, 2),
            stage_strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
            conv=partial(Conv3D, dtype=self.dtype, implementation=self.implementation),
            norm=batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name),
            width=self.width,
            block=partial(BasicBlock, factorize=factorize),
            stem_pool=False,
            stem_middle=max(45 * self.width // 64, 1) if factorize else None,
            name="encoder",
        )(((frames - mean) / std).astype(self.dtype))
        pooled = features[-1].astype(jnp.float32).mean((1, 2, 3))
        pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
        return Prediction(logits=nn.Dense(self.num_classes, name="classifier")(pooled), flows=())


class C3D(VideoNetwork):
    """C3D, on clips of 16 x 112 x 112 in the paper; no flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first convolution; 64 in the paper. fc6 and fc7 have 64 times that.
        num_frames: frames per clip; 16 in the paper, but any number works.
        dropout_rate: dropout rate after fc6 and after fc7.
        implementation: implementation of the 3D convolutions, see `afn_jax.nn.conv`.
    """

    num_frames: int = 16
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        x = imagenet_normalize(frames).astype(self.dtype)
        for stage, (widths, num_convs, halved) in enumerate(C3D_STAGES, start=1):
            for letter in "ab"[:num_convs]:
                x = Conv3D(
                    widths * self.width,
                    use_bias=True,
                    dtype=self.dtype,
                    implementation=self.implementation,
                    name=f"conv{stage}{letter}",
                )(x)
                x = nn.relu(x)
            x = max_pool_halves(x, axes=halved, keep_last=True)
        logits = dense_layers(
            adaptive_average_pool(x, (1, 4, 4)),
            train=train,
            hidden=64 * self.width,
            num_classes=self.num_classes,
            dropout_rates=(self.dropout_rate, self.dropout_rate),
            dtype=self.dtype,
        )
        return Prediction(logits=logits, flows=())
