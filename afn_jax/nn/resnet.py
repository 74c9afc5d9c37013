"""Residual blocks and the ResNet encoder, in 2D and 3D.

The same blocks serve 2D and 3D: convolution and normalization are injected, and the length of
`strides` is the number of dimensions. Sources: He et al., Deep Residual Learning, 2016, section 3.3
and Table 1; for 3D, ActionFlowNet section 3.1 (k x k kernels become k x k x 3); for (2+1)D, which
factorizes convolutions into two steps, Tran et al., A Closer Look at Spatiotemporal Convolutions,
2018, section 3.5.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Layer = Callable[..., Any]


class Conv2Plus1D(nn.Module):
    """(2+1)D convolution: over space, normalization and ReLU, then over time.

    Attributes:
        features: output channels.
        kernel_size, strides: of the 3D convolution that is factorized, (time, height, width).
        middle: channels between the two steps.
        conv, norm: make the layers, as in `BasicBlock`.
    """

    features: int
    kernel_size: tuple[int, int, int]
    strides: tuple[int, int, int]
    middle: int
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 f"]:
        (taps, *size), (step, *steps) = self.kernel_size, self.strides
        x = self.conv(self.middle, (1, *size), (1, *steps), name="conv_space")(x)
        x = nn.relu(self.norm(name="norm")(x))
        return self.conv(self.features, (taps, 1, 1), (step, 1, 1), name="conv_time")(x)


def middle_channels(channels: int, features: int) -> int:
    """Computes the `middle` with which a (2+1)D convolution has at most the 3x3x3's parameters."""
    return 27 * channels * features // (9 * channels + 3 * features)


class BasicBlock(nn.Module):
    """Residual block of two 3x3(x3) convolutions and a shortcut.

    Attributes:
        features: output channels.
        strides: of the first convolution, one number per axis of (time and) space.
        conv: makes a convolution: `conv(features, kernel_size, strides, name=...)`.
        norm: makes a normalization layer: `norm(name=...)`.
        factorize: replace each 3x3x3 convolution by a (2+1)D one. Both have the `middle` computed
            for the first, even if the numbers of their input channels differ, as in torchvision.
    """

    features: int
    strides: tuple[int, ...]
    conv: Layer
    norm: Layer
    factorize: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *space2 f"]:
        ones = (1,) * len(self.strides)
        threes = (3,) * len(self.strides)
        shortcut = x
        if x.shape[-1] != self.features or self.strides != ones:
            shortcut = self.conv(self.features, ones, self.strides, name="shortcut_conv")(x)
            shortcut = self.norm(name="shortcut_norm")(shortcut)
        conv = self.conv
        if self.factorize:
            middle = middle_channels(x.shape[-1], self.features)
            conv = partial(Conv2Plus1D, middle=middle, conv=self.conv, norm=self.norm)
        x = conv(self.features, threes, self.strides, name="conv1")(x)
        x = nn.relu(self.norm(name="norm1")(x))
        x = conv(self.features, threes, ones, name="conv2")(x)
        return nn.relu(self.norm(name="norm2")(x) + shortcut)


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3(x3) and 1x1 convolutions, with 4 * `features` output channels.

    The middle convolution has the stride, as in torchvision. The attributes are those of
    `BasicBlock`.
    """

    features: int
    strides: tuple[int, ...]
    conv: Layer
    norm: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *space2 f"]:
        ones = (1,) * len(self.strides)
        threes = (3,) * len(self.strides)
        shortcut = x
        if x.shape[-1] != 4 * self.features or self.strides != ones:
            shortcut = self.conv(4 * self.features, ones, self.strides, name="shortcut_conv")(x)
            shortcut = self.norm(name="shortcut_norm")(shortcut)
        x = nn.relu(self.norm(name="norm1")(self.conv(self.features, ones, ones, name="conv1")(x)))
        x = self.conv(self.features, threes, self.strides, name="conv2")(x)
        x = nn.relu(self.norm(name="norm2")(x))
        x = self.conv(4 * self.features, ones, ones, name="conv3")(x)
        return nn.relu(self.norm(name="norm3")(x) + shortcut)


class ResNetEncoder(nn.Module):
    """ResNet encoder: stem, pooling and residual stages; returns the output of each, finest first.

    Attributes:
        stem_kernel, stem_strides: of the first convolution, e.g. (3, 7, 7) and (1, 2, 2).
        stage_strides: strides of the first block of each stage.
        conv, norm: make the layers, as in `BasicBlock`.
        width: channels of the stem and of the first stage; each later stage doubles them.
        stage_sizes: number of blocks per stage; (2, 2, 2, 2) is ResNet-18.
        block: `BasicBlock`, `Bottleneck`, or a block with the same attributes.
        stem_pool: apply 3x3 max pooling over height and width after the stem.
        stem_middle: channels between the two steps of a (2+1)D stem; None: one convolution.
        insert: `insert(index, x)` replaces the output of the stem (index 0, before the pooling) and
            of each stage (index 1 to 4) before the next stage; None changes nothing.
        remat_stages: number of stages, from the first, whose blocks are computed again for the
            gradient instead of stored. Earlier stages take more memory. Numbers and batch
            statistics stay the same.
    """

    stem_kernel: tuple[int, ...]
    stem_strides: tuple[int, ...]
    stage_strides: tuple[tuple[int, ...], ...]
    conv: Layer
    norm: Layer
    width: int = 64
    stage_sizes: tuple[int, ...] = (2, 2, 2, 2)
    block: Layer = BasicBlock
    stem_pool: bool = True
    stem_middle: int | None = None
    insert: Callable[[int, Array], Array] | None = None
    remat_stages: int = 0

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> list[Array]:
        stem = self.conv
        if self.stem_middle is not None:
            stem = partial(Conv2Plus1D, middle=self.stem_middle, conv=self.conv, norm=self.norm)
        x = stem(self.width, self.stem_kernel, self.stem_strides, name="conv1")(x)
        x = nn.relu(self.norm(name="norm1")(x))
        insert = self.insert or (lambda index, x: x)
        x = insert(0, x)
        features = [x]
        if self.stem_pool:
            x = max_pool_frames(x)
        for stage, (num_blocks, strides) in enumerate(
            zip(self.stage_sizes, self.stage_strides, strict=True)
        ):
            call = nn.remat(_call) if stage < self.remat_stages else _call
            for index in range(num_blocks):
                block = self.block(
                    self.width * 2**stage,
                    strides if index == 0 else (1,) * len(strides),
                    self.conv,
                    self.norm,
                    name=f"res{stage + 2}_{index}",
                )
                x = call(block, x)
            x = insert(stage + 1, x)
            features.append(x)
        return features


def _call(block: nn.Module, x: Array) -> Array:
    return block(x)


def max_pool_frames(x: Float[Array, "*lead h w c"]) -> Float[Array, "*lead h2 w2 c"]:
    """Computes 3x3 max pooling with stride 2 and padding 1 over height and width, not over time.

    It is computed as maxima of strided slices, first of rows, then of columns: on the CPU, the
    gradient is several times faster than that of a window reduction.
    """
    for axis in (x.ndim - 3, x.ndim - 2):
        size = (x.shape[axis] - 1) // 2 + 1
        padding = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
        padded = jnp.pad(x, padding, constant_values=-jnp.inf)
        taps = [
            lax.slice_in_dim(padded, tap, tap + 2 * size - 1, stride=2, axis=axis)
            for tap in range(3)
        ]
        x = jnp.maximum(jnp.maximum(taps[0], taps[1]), taps[2])
    return x
