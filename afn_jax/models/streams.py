"""The spatial streams of Hidden Two-Stream Networks, and the 2D networks of both streams.

Zhu, Lan, Newsam, Hauptmann: Hidden Two-Stream Convolutional Networks for Action Recognition, 2018.

| part | paper | here |
|---|---|---|
| VGG16 | section 6; Wang et al. 2015 | `backbone="vgg16"`, dropout 0.9 twice |
| TSN | section 6; Wang et al. 2016 | `backbone="bn-inception"`, three segments, dropout 0.8 |
| mean score of a video's frames, before softmax | section 3.3 | over `num_segments` |

I3D's spatial stream is `I3D`, on all frames.

Guessed, because the paper does not report it: the frame that represents a segment (the middle one);
dropout of 0.8 for ResNets, as in TSN; normalization of the input (ImageNet's).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.baselines import RESNETS
from afn_jax.models.contract import VideoNetwork, check_choice
from afn_jax.models.two_frame import pooled_scores
from afn_jax.nn.bn_inception import BNInception
from afn_jax.nn.conv2d import Conv2D
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.resnet import ResNetEncoder
from afn_jax.nn.vgg import VGG16
from afn_jax.ops.checks import check_num_frames
from afn_jax.types import Prediction

# VGG: after fc6 and fc7. Others: the last one, before the classifier.
SPATIAL_DROPOUT = {"vgg16": (0.9, 0.9), "i3d": (0.5, 0.5)}  # others: 0.8
BACKBONES = ("vgg16", "bn-inception", *(f"resnet{depth}" for depth in RESNETS))


class FrameClassifier(nn.Module):
    """2D network: normalized images `[batch, H, W, channels]` -> logits `[batch, classes]`.

    Attributes:
        num_classes: size of the logits.
        backbone: one of `BACKBONES`.
        dropout_rates: VGG: after fc6 and fc7. Others: the last one, before the classifier.
        width, dtype, axis_name: as in `SpatialStream`.
    """

    num_classes: int
    backbone: str
    dropout_rates: tuple[float, float]
    width: int = 64
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b classes"]:
        if self.backbone == "vgg16":
            return VGG16(
                self.num_classes,
                width=self.width,
                dropout_rates=self.dropout_rates,
                dtype=self.dtype,
                name="vgg16",
            )(x, train=train)
        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)
        if self.backbone == "bn-inception":
            encoder = BNInception(norm, width=self.width, dtype=self.dtype, name="encoder")
            features = encoder(x.astype(self.dtype))
        else:
            block, stage_sizes = RESNETS[int(self.backbone.removeprefix("resnet"))]
            features = ResNetEncoder(
                stem_kernel=(7, 7),
                stem_strides=(2, 2),
                stage_strides=((1, 1), (2, 2), (2, 2), (2, 2)),
                conv=lambda *args, name: Conv2D(*args, dtype=self.dtype, name=name),
                norm=norm,
                width=self.width,
                stage_sizes=stage_sizes,
                block=block,
                name="encoder",
            )(x.astype(self.dtype))[-1]
        rate = self.dropout_rates[-1]
        return pooled_scores(features, self.num_classes, dropout_rate=rate, train=train)


class SpatialStream(VideoNetwork):
    """Spatial stream: logits from the middle frame of each segment; no flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage; 64 in the papers.
        dropout_rate: dropout rate before the classifier, or after VGG's two dense layers; a pair
            gives each of these its own rate. None: the paper's rate for the backbone.
        backbone: "vgg16", "bn-inception", "resnet152" or another one of `BACKBONES`.
        num_segments: number of equal parts of a clip. The scores of their middle frames are
            averaged (TSN's consensus).
    """

    num_frames: int = 1
    dropout_rate: float | tuple[float, float] | None = None
    backbone: str = "vgg16"
    num_segments: int = 1

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_choice("backbone", self.backbone, BACKBONES)
        segments = split_segments(frames, self.num_frames, self.num_segments)
        middle = imagenet_normalize(segments[:, segments.shape[1] // 2])
        scores = FrameClassifier(
            self.num_classes,
            self.backbone,
            spatial_rates(self.dropout_rate, self.backbone),
            width=self.width,
            dtype=self.dtype,
            axis_name=self.axis_name,
            name="classifier",
        )(middle, train=train)
        logits = scores.reshape(-1, self.num_segments, self.num_classes).mean(1)
        return Prediction(logits=logits, flows=())


def split_segments(
    frames: Float[Array, "b t h w 3"], num_frames: int, num_segments: int
) -> Float[Array, "n snippet h w 3"]:
    """Splits each clip into equal parts, one after another on the batch axis."""
    check_num_frames(frames, num_frames)
    if num_segments < 1 or num_frames % num_segments:
        raise ValueError(
            f"num_segments: got {num_segments}, which does not divide num_frames={num_frames}. "
            "All segments need the same number of frames; num_frames counts those of all segments."
        )
    return frames.reshape(-1, num_frames // num_segments, *frames.shape[2:])


def both_rates(dropout_rate: float | tuple[float, float]) -> tuple[float, float]:
    """Returns the rates of both layers: the pair, or one rate twice."""
    return dropout_rate if isinstance(dropout_rate, tuple) else (dropout_rate, dropout_rate)


def spatial_rates(
    dropout_rate: float | tuple[float, float] | None, backbone: str
) -> tuple[float, float]:
    """Returns the rates of both layers of a spatial stream; None: those of the paper."""
    return both_rates(SPATIAL_DROPOUT.get(backbone, 0.8) if dropout_rate is None else dropout_rate)
