"""The (2+1)D layers that the Representation Flow networks inject into the shared residual blocks.

The paper has two different (2+1)D networks. In Table 7, a temporal convolution follows each spatial
one (Xie et al., Rethinking Spatiotemporal Feature Learning, 2017): `separable_conv`. In Table 9 and
in the authors' code, the temporal taps are in the first convolution of a bottleneck, its 1x1x1
reduction: `temporal_bottleneck`. Tran's R(2+1)D, with a different number of channels between the
two steps, is `Conv2Plus1D`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from afn_jax.nn.resnet import Bottleneck, Conv2Plus1D

Layer = Callable[..., Any]


def separable_conv(conv: Layer, norm: Layer) -> Layer:
    """Returns a version of `conv` that convolves in two steps, space before time, as in S3D.

    The two steps have the same number of output channels. Kernels of one tap in time or one pixel
    in space stay a single convolution.

    Args:
        conv: makes the convolution of each step: `conv(features, kernel_size, strides, name=...)`.
        norm: makes the normalization between the steps, before the ReLU: `norm(name=...)`.
    """

    def make(features, kernel_size, strides, *, name):
        if kernel_size[0] == 1 or kernel_size[1:] == (1, 1):
            return conv(features, kernel_size, strides, name=name)
        return Conv2Plus1D(features, kernel_size, strides, features, conv, norm, name=name)

    return make


def temporal_bottleneck(
    features: int, strides: tuple[int, int, int], conv: Layer, norm: Layer, *, name: str
) -> nn.Module:
    """Returns a bottleneck of Tx1x1, 1x3x3 and 1x1x1 convolutions: a `block` of `ResNetEncoder`.

    T is 3 in the first two blocks of a stage and then alternates between 1 and 3, as in the
    authors' code: 3, 3, 1 in a stage of three blocks and 3, 3, 1, 3, 1, 3 in a stage of six.

    Args:
        features: a quarter of the output channels.
        strides: of the 1x3x3 convolution.
        conv, norm: make the layers, as in `Bottleneck`.
        name: given by the encoder; it ends in the index of the block within its stage.
    """
    number = int(name.rsplit("_", 1)[1])
    taps = 3 if number == 0 or number % 2 == 1 else 1

    def make(features, kernel_size, strides, *, name):
        if name == "conv1":
            kernel_size = (taps, 1, 1)
        elif kernel_size == (3, 3, 3):
            kernel_size = (1, 3, 3)
        return conv(features, kernel_size, strides, name=name)

    return Bottleneck(features, strides, make, norm, name=name)
