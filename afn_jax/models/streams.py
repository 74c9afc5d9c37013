"""The spatial streams of Hidden Two-Stream Networks, and the 2D networks both streams are made of.

Zhu, Lan, Newsam, Hauptmann: Hidden Two-Stream Convolutional Networks for Action Recognition, 2018.

| part | paper | here |
|---|---|---|
| VGG16 | section 6; Wang et al. 2015 | `backbone="vgg16"`, dropout .9 twice |
| TSN | section 6; Wang et al. 2016 | `backbone="bn-inception"`, three segments, dropout .8 |
| scores of a video's frames are averaged before softmax | section 3.3 | over `num_segments` |

I3D's spatial stream is `I3D`, on all frames.

Guessed, because the paper does not say: the frame that a segment is judged by (the middle one);
dropout of .8 for ResNets, as in TSN; normalization of the input (ImageNet's).
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

# After fc6 and fc7 of VGG; the last one before the classifier of the others.
SPATIAL_DROPOUT = {"vgg16": (0.9, 0.9), "i3d": (0.5, 0.5)}  # others: 0.8
BACKBONES = ("vgg16", "bn-inception", *(f"resnet{depth}" for depth in RESNETS))


class FrameClassifier(nn.Module):
    """Images `[batch, H, W, channels]`, normalized -> logits `[batch, classes]`.

    Attributes:
        num_classes: size of the logits.
        backbone: of `BACKBONES`.
        dropout_rates: after fc6 and fc7 of VGG; the last one before the classifier of the others.
        width, dtype, axis_name: as of `SpatialStream`.
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
    """Frames `[batch, num_frames, H, W, 3]` in [0, 1] -> logits; no flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage; 64 in the papers.
        num_frames: frames per clip, all segments together.
        dropout_rate: before the classifier, or after VGG's two dense layers, of which each has its
            own if it is a pair. None: the paper's of the backbone.
        backbone: "vgg16", "bn-inception", "resnet152" or another of `BACKBONES`.
        num_segments: equal parts of a clip. The middle frame of each is scored, and the mean of the
            scores taken (TSN's consensus).
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
    """Equal parts of each clip, one after another on the batch axis."""
    check_num_frames(frames, num_frames)
    if num_segments < 1 or num_frames % num_segments:
        raise ValueError(
            f"num_segments: got {num_segments}, which does not divide num_frames={num_frames}. "
            "Give a clip as many frames for each segment: num_frames is their number together."
        )
    return frames.reshape(-1, num_frames // num_segments, *frames.shape[2:])


def both_rates(dropout_rate: float | tuple[float, float]) -> tuple[float, float]:
    """One rate for both layers, or the pair."""
    return dropout_rate if isinstance(dropout_rate, tuple) else (dropout_rate, dropout_rate)


def spatial_rates(
    dropout_rate: float | tuple[float, float] | None, backbone: str
) -> tuple[float, float]:
    """`dropout_rate` for both layers, or the paper's of a spatial stream."""
    return both_rates(SPATIAL_DROPOUT.get(backbone, 0.8) if dropout_rate is None else dropout_rate)
