"""The (2+1)D pieces of the Representation Flow networks: what is injected into the shared blocks.

Two networks of that name differ. That of Table 7 follows each convolution over space by one over
time (Xie et al., Rethinking Spatiotemporal Feature Learning, 2017): `separable_conv`. That of Table
9, the authors' code, is a bottleneck that looks at time first, in its 1x1x1 reduction:
`temporal_bottleneck`. Tran's R(2+1)D, with its own number of channels between, is `Conv2Plus1D`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from afn_jax.nn.resnet import Bottleneck, Conv2Plus1D

Layer = Callable[..., Any]


def separable_conv(conv: Layer, norm: Layer) -> Layer:
    """`conv(features, kernel_size, strides, name=...)` in two steps, space first, as in S3D.

    As many channels between the steps as come out. A convolution of one tap in time or of one pixel
    stays one step.

    Args:
        conv: makes the convolution of each step.
        norm: `norm(name=...)`, between the steps, before the ReLU.
    """

    def make(features, kernel_size, strides, *, name):
        if kernel_size[0] == 1 or kernel_size[1:] == (1, 1):
            return conv(features, kernel_size, strides, name=name)
        return Conv2Plus1D(features, kernel_size, strides, features, conv, norm, name=name)

    return make


def temporal_bottleneck(
    features: int, strides: tuple[int, int, int], conv: Layer, norm: Layer, *, name: str
) -> nn.Module:
    """A bottleneck of Tx1x1, 1x3x3 and 1x1x1 convolutions; a `block` for `ResNetEncoder`.

    T is 3 in the first two blocks of a stage and then 1 and 3 by turns, as in the authors' code:
    3, 3, 1 in a stage of three blocks and 3, 3, 1, 3, 1, 3 in one of six.

    Args:
        features: four times as many come out.
        strides: of the 1x3x3 convolution.
        conv, norm: injected, as for `Bottleneck`.
        name: that which the encoder gives, ending in the number of the block in its stage.
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
