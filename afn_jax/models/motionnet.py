"""MotionNet: optical flow of a whole clip in one pass, learned without supervision.

Zhu, Lan, Newsam, Hauptmann: Hidden Two-Stream Convolutional Networks for Action Recognition, 2018.

| part | paper | here |
|---|---|---|
| 11 frames on channels, 10 flows | section 3.2 | `num_frames` |
| 3x3 kernels, no stride in conv1 | section 3.1, "Small Disp" in Table 2 | `encoder="small"` |
| larger kernels and strides instead | Table 2 | `encoder="large"` |
| convolutions between deconvolutions | section 3.1, "CDC" in Table 2 | `extra_convolutions` |
| flow at five scales, flow2 to flow6 | section 3.1, "MultiScale" in Table 2 | `multiscale` |
| model footprint 170M (bytes) | section 3.1 | 42,319,860 parameters |
| branching: action from shared features | section 3.2 | `classify=True` |
| SSIM, smoothness | Table 2 | terms of `afn_jax.losses.motionnet_loss` |

The paper has its layer table in the supplement. The layers here follow the network definition that
the authors released: two convolutions per level (64, 128, 256, 512, 512, 1024 channels); leaky ReLU
of slope 0.1, except after the extra convolutions and the flow; no batch normalization; finest flow
at half the size of the frames; network outputs in units of 20 full-size pixels. The authors kept
the biases of the transposed convolutions at zero. Here they are ordinary parameters, because the
published footprint counts them; `deconv_bias=False` leaves out these 1,040 parameters and computes
the same function at initialization.

Guessed, because the released files do not define it: "large" (the first layers of FlowNet-S, whose
finest flow is at a quarter of the size); "tiny" (from a later interpretation of the supplement by
others: 7.8 MB); the action branch (mean over the last features, dropout and a linear layer, as in
ActionFlowNet-2F); the mean color in RGB order, whereas the released weights expect BGR.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork, check_choice
from afn_jax.models.two_frame import pooled_scores
from afn_jax.nn.conv2d import Conv2D, ConvTranspose2D
from afn_jax.nn.flow_decoder import FlowDecoder
from afn_jax.ops.checks import check_float, check_num_frames
from afn_jax.types import Prediction

CAFFE_MEAN = (123.0, 117.0, 104.0)  # RGB of 255
OUTPUT_SCALE = 20.0  # full-size pixels per unit of the network's output

_LEAK = 0.1
# (channels in units of `width`, kernel size, stride) of each convolution of each level.
_ENCODERS = {
    "small": (
        ((1, 3, 1), (1, 3, 1)),
        ((2, 3, 2), (2, 3, 1)),
        ((4, 3, 2), (4, 3, 1)),
        ((8, 3, 2), (8, 3, 1)),
        ((8, 3, 2), (8, 3, 1)),
        ((16, 3, 2), (16, 3, 1)),
    ),
    "large": (
        ((1, 7, 2),),
        ((2, 5, 2),),
        ((4, 5, 2), (4, 3, 1)),
        ((8, 3, 2), (8, 3, 1)),
        ((8, 3, 2), (8, 3, 1)),
        ((16, 3, 2), (16, 3, 1)),
    ),
    "tiny": (((1, 7, 1),), ((2, 5, 2),), ((4, 3, 2),), ((2, 3, 2),)),
}
_DECODERS = {"small": (8, 4, 2, 1), "large": (8, 4, 2, 1), "tiny": (2, 1)}


class MotionNet(VideoNetwork):
    """MotionNet: `num_frames - 1` flows at each scale.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first level; 64 in the paper.
        num_frames: frames per clip; 11 in the paper.
        encoder: "small" for small displacements, as in the paper; "large"; "tiny" with three
            scales.
        extra_convolutions: convolutions between the transposed ones.
        multiscale: False returns only the finest flow.
        deconv_bias: biases in the transposed convolutions.
        classify: the branching variant, which classifies the last features of the encoder.
    """

    num_frames: int = 11
    encoder: Literal["small", "large", "tiny"] = "small"
    extra_convolutions: bool = True
    multiscale: bool = True
    deconv_bias: bool = True
    classify: bool = False

    @property
    def flow_strides(self) -> tuple[int, ...]:
        """Size of the frames divided by the size of each flow, finest first."""
        check_choice("encoder", self.encoder, _ENCODERS)
        strides, stride = [], 1
        for level in _ENCODERS[self.encoder]:
            stride *= level[0][2]
            strides.append(stride)
        return tuple(strides[1:] if self.multiscale else strides[1:2])

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        strides = self.flow_strides
        check_num_frames(frames, self.num_frames, least=2)
        x = caffe_normalize(frames) / 255
        batch, _, height, width = x.shape[:4]
        # All frames on channels, for 2D convolutions.
        x = jnp.moveaxis(x, 1, 3).reshape(batch, height, width, -1).astype(self.dtype)
        features = []
        for level, convolutions in enumerate(_ENCODERS[self.encoder], 1):
            for index, (channels, size, stride) in enumerate(convolutions):
                x = Conv2D(
                    channels * self.width,
                    (size, size),
                    (stride, stride),
                    use_bias=True,
                    dtype=self.dtype,
                    name=f"conv{level}" + (f"_{index}" if index else ""),
                )(x)
                x = nn.leaky_relu(x, _LEAK)
            features.append(x)
        outputs = FlowDecoder(
            tuple(channels * self.width for channels in _DECODERS[self.encoder]),
            conv=Conv2D,
            deconv=partial(
                ConvTranspose2D,
                use_bias=self.deconv_bias,
                dtype=self.dtype,
                # Caffe's "msra" scales a transposed convolution by its outputs. Scaled by its
                # inputs, as He et al. do, the initial flows would be twice as long.
                kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal"),
            ),
            dtype=self.dtype,
            flow_channels=2 * (self.num_frames - 1),
            smooth=self.extra_convolutions,
            negative_slope=_LEAK,
            name="decoder",
        )(features[-1], features[-2:0:-1])
        flows = tuple(
            _split_pairs(output) * (OUTPUT_SCALE / stride)
            for output, stride in zip(outputs, strides, strict=False)
        )
        logits = None
        if self.classify:
            logits = pooled_scores(
                features[-1], self.num_classes, dropout_rate=self.dropout_rate, train=train
            )
        return Prediction(logits=logits, flows=flows)


def caffe_normalize(frames: Float[Array, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """Scales RGB in [0, 1] to [0, 255] and subtracts the mean color, as Caffe networks expect it.

    Raises ValueError for integers, which would wrap around.
    """
    check_float(frames=frames)
    mean = jnp.array(CAFFE_MEAN).reshape((1,) * (frames.ndim - 1) + (3,))
    return frames * 255 - mean


def _split_pairs(output: Float[Array, "b h w c"]) -> Float[Array, "b pairs h w 2"]:
    """Splits channels x, y, x, y, ... into an axis of pairs and an axis of (x, y)."""
    return jnp.moveaxis(output.reshape(*output.shape[:3], -1, 2), 3, 1)
