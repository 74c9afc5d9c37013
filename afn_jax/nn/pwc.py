"""Coarse-to-fine flow of frame pairs: feature pyramid, warping, cost volume, one decoder per level.

Source: UF-TSN section 2.1, with the blocks of PWC-Net (Sun et al. 2018). Where UF-TSN reports no
number, the defaults are those that `afn_jax.models.uf_tsn` lists as guessed.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv2d import Conv2D
from afn_jax.ops import cost_volume, resize_flow, warp
from afn_jax.ops.backend import on_cpu
from afn_jax.ops.checks import check_num_frames
from afn_jax.ops.resize import resize_linear

NEGATIVE_SLOPE = 0.1  # of every leaky ReLU here, as in PWC-Net


class FeaturePyramid(nn.Module):
    """Feature pyramid: features at 1, 1/2, 1/4, ... of the size of the images, finest first.

    Level 0 is the images.

    Attributes:
        widths: channels of each level, from level 1 on.
        convs_per_level: number of 3x3 convolutions per level; the first has stride 2.
        dtype: of the convolutions.
    """

    widths: tuple[int, ...] = (16, 32, 64, 96)
    convs_per_level: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "n h w c"]) -> list[Array]:
        x = images.astype(self.dtype)
        levels = [x]
        for level, width in enumerate(self.widths, start=1):
            for index in range(self.convs_per_level):
                x = Conv2D(
                    width,
                    strides=(2, 2) if index == 0 else (1, 1),
                    use_bias=True,
                    dtype=self.dtype,
                    name=f"level{level}_conv{index + 1}",
                )(x)
                x = nn.leaky_relu(x, NEGATIVE_SLOPE)
            levels.append(x)
        return levels


class DenseDecoder(nn.Module):
    """Densely connected 3x3 convolutions, followed by a convolution that predicts flow.

    Each convolution reads the decoder's input and the outputs of all earlier convolutions.

    Attributes:
        widths: channels of each convolution.
        predict_flow: False omits the last convolution, the one that predicts flow.
        dtype: of the densely connected convolutions.
    """

    widths: tuple[int, ...] = (128, 128, 96, 64, 32)
    predict_flow: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> tuple[Array, Array | None]:
        """Returns the last dense convolution's output `[n, h, w, widths[-1]]`, and flow or None."""
        features = x
        for index, width in enumerate(self.widths, start=1):
            features = Conv2D(width, use_bias=True, dtype=self.dtype, name=f"conv{index}")(x)
            features = nn.leaky_relu(features, NEGATIVE_SLOPE)
            x = jnp.concatenate([x, features], -1)
        if not self.predict_flow:
            return features, None
        # Training starts near zero flow instead of at random flow that it must first unlearn
        # (guessed). The flow is float32, even in bfloat16 models.
        flow = nn.Conv(2, (3, 3), padding=1, kernel_init=nn.initializers.normal(1e-3), name="flow")(
            x.astype(jnp.float32)
        )
        return features, flow


class CoarseToFineFlow(nn.Module):
    """Coarse-to-fine flow of consecutive frames: flow of each pair at every level, finest first.

    From the coarsest level to the finest (Eq. 2 to 5), the features of the second frame are warped
    by the current flow and matched with the features of the first frame, and the level's decoder
    predicts the residual flow. (The paper's Eq. 5 has l - 1 where Eq. 4 and the text have l + 1.)

    Attributes:
        pyramid_widths, convs_per_level: see `FeaturePyramid`; the levels are 0 (the frames) to
            `len(pyramid_widths)`.
        decoder_widths: see `DenseDecoder`.
        max_displacement: radius of the cost volume, in pixels of the level.
        finest_level: the last level to be decoded; the finest flow has 1 / 2 ** finest_level of
            the size of the frames. 0 in the paper.
        use_cost_volume: False passes the features of the second frame to the decoders instead.
        multi_scale: False makes it a plain encoder-decoder: nothing is warped, the decoders pass on
            features instead of flow, and only the finest decoder predicts flow.
        remat: compute a level whose pairs have more than `group_pixels` pixels in groups of pairs,
            one after the other, and recompute their features for the gradient instead of storing
            them. Outputs and gradients are those of False, up to rounding. Training computes those
            levels a second time, and needs the memory of one group instead of all pairs: per pixel
            of the group, the sum of the channels that the convolutions of a `DenseDecoder` read,
            twice (4,000 numbers at level 0). Without effect on the CPU, where XLA's gradient of
            convolutions is 6 to 11 times slower in a loop.
        group_pixels: largest number of pixels per group, if it has more than one pair. The size of
            a group divides the number of pairs.
        dtype: of the features; flow is float32.
    """

    pyramid_widths: tuple[int, ...] = (16, 32, 64, 96)
    convs_per_level: int = 3
    decoder_widths: tuple[int, ...] = (128, 128, 96, 64, 32)
    max_displacement: int = 3
    finest_level: int = 0
    use_cost_volume: bool = True
    multi_scale: bool = True
    remat: bool = True
    group_pixels: int = 2**18
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, frames: Float[Array, "b t h w c"], *, bidirectional: bool = False
    ) -> tuple[Float[Array, "b p _ _ 2"], ...]:
        """Computes the flow of each pair of consecutive frames, finest level first.

        Args:
            frames: `[batch, time, H, W, C]`, two frames or more.
            bidirectional: append the flows from t + 1 to t after all flows from t to t + 1.

        Returns:
            One `[batch, pairs, h, w, 2]` per level, in pixels of the level.

        Raises:
            ValueError: for clips of one frame, or if `finest_level` is not a level.
        """
        batch, time = frames.shape[:2]
        coarsest = len(self.pyramid_widths)
        check_num_frames(frames, least=2)
        if not 0 <= self.finest_level <= coarsest:
            raise ValueError(
                f"finest_level: got {self.finest_level}; allowed: 0 to {coarsest}, the number "
                "of pyramid_widths."
            )
        pyramid = FeaturePyramid(
            self.pyramid_widths, self.convs_per_level, dtype=self.dtype, name="pyramid"
        )(frames.reshape(batch * time, *frames.shape[2:]))
        flow, features, flows = None, None, []
        for level in range(coarsest, self.finest_level - 1, -1):
            decoder = DenseDecoder(
                self.decoder_widths,
                predict_flow=self.multi_scale or level == self.finest_level,
                dtype=self.dtype,
                name=f"decoder{level}",
            )
            first, second = _pairs(pyramid[level], batch, bidirectional)
            group = self._pairs_per_group(first.shape, first.shape[0] // batch)
            decode = self._decode if group is None else _in_groups(self._decode, group)
            flow, features = decode(decoder, first, second, flow, features)
            if flow is not None:
                flows.append(flow.reshape(batch, -1, *flow.shape[1:]))
        return tuple(reversed(flows))

    def _decode(
        self,
        decoder: nn.Module,
        first: Float[Array, "n h w c"],
        second: Float[Array, "n h w c"],
        flow: Float[Array, "n _ _ 2"] | None,
        features: Float[Array, "n _ _ f"] | None,
    ) -> tuple[Array | None, Array | None]:
        """Computes the flow of a level, and the features that the next level reads, if any."""
        inputs = [first]
        if self.multi_scale:
            if flow is None:
                flow = jnp.zeros((*first.shape[:3], 2), jnp.float32)
            else:
                flow = resize_flow(flow, first.shape[1:3])
                second = warp(second, flow, padding="zeros")
            inputs.append(flow.astype(self.dtype))
        elif features is not None:
            inputs.append(resize_linear(features, first.shape[1:3]))
        if self.use_cost_volume:
            costs = cost_volume(first, second, max_displacement=self.max_displacement)
            inputs.append(nn.leaky_relu(costs, NEGATIVE_SLOPE))
        else:
            inputs.append(second)
        features, residual = decoder(jnp.concatenate(inputs, -1))
        if residual is not None:
            flow = residual if flow is None else flow + residual
        return flow, None if self.multi_scale else features

    def _pairs_per_group(self, shape: tuple[int, ...], pairs_per_clip: int) -> int | None:
        """Returns the size of the groups of a level's pairs, or None to compute all at once.

        With `jax.export`, the batch size may be unknown; then the pairs of one clip decide, and
        the size divides the number of pairs for any batch size.
        """
        num_pairs, height, width = shape[:3]
        known = pairs_per_clip if jax.export.is_symbolic_dim(num_pairs) else num_pairs
        largest = max(self.group_pixels // (height * width), 1)
        if not self.remat or on_cpu() or known <= largest:
            return None
        return max(size for size in range(1, largest + 1) if num_pairs % size == 0)


def _in_groups(decode: Callable[..., Any], size: int) -> Callable[..., Any]:
    """Returns `decode` for `size` pairs at a time; the gradient recomputes group by group."""

    def decode_group(decoder, carry, inputs):
        return carry, decode(decoder, *inputs)

    # The loop already keeps XLA from merging the recomputation with the first computation.
    scan = nn.scan(
        nn.remat(decode_group, prevent_cse=False),
        variable_broadcast="params",
        split_rngs={"params": False},
    )

    def decode_all(decoder, *inputs):
        groups = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), inputs)
        _, outputs = scan(decoder, (), groups)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outputs)

    return decode_all


def _pairs(features: Array, batch: int, bidirectional: bool) -> tuple[Array, Array]:
    """Splits `[b * t, h, w, c]` into the features of the first and second frames of all pairs."""
    shape = features.shape[1:]
    features = features.reshape(batch, -1, *shape)
    first, second = features[:, :-1], features[:, 1:]
    if bidirectional:
        first, second = (
            jnp.concatenate([first, second], 1),
            jnp.concatenate([second, first], 1),
        )
    return first.reshape(-1, *shape), second.reshape(-1, *shape)
