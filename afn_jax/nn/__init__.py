"""Linen building blocks."""

from afn_jax.nn.conv import Conv3D, ConvTranspose3D, conv3d, conv_transpose3d
from afn_jax.nn.flow_decoder import FlowDecoder
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.representation_flow import (
    FlowConvFlow,
    FlowOfFeatures,
    RepresentationFlow,
    normalize_clip,
)
from afn_jax.nn.resnet import BasicBlock, Bottleneck, ResNetEncoder, max_pool_frames

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "Conv3D",
    "ConvTranspose3D",
    "FlowConvFlow",
    "FlowDecoder",
    "FlowOfFeatures",
    "RepresentationFlow",
    "ResNetEncoder",
    "batch_norm",
    "conv3d",
    "conv_transpose3d",
    "imagenet_normalize",
    "max_pool_frames",
    "normalize_clip",
]
