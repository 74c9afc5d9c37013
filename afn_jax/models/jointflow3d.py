"""Odabasi's joint network: a small 3D encoder-decoder predicts flow, a 3D ResNet-18 classifies it.

Odabasi: Learning Optical Flow for Action Classification, 2018 (workshop). A negative result: 90 %
on the training set and 27 % on the validation set of an unnamed dataset.

| part | paper | here |
|---|---|---|
| gray triplets I_{k-1}, I_k, I_{k+1} | section III-A | `rgb_to_gray`, `triplet_starts` |
| Gaussian noise on normalized frames | section III-A | `noise_std`, in training |
| 3D convolutional encoder-decoder | section III-A, Figure 2 | `flow_encoder`, `flow_decoder` |
| one flow per triplet, on I_{k-1} (Eq. 1) | section III-A | `flows[0]`, at the size of the frames |
| flows stacked in time | section III-B | `[batch, triplets, H, W, 2]` |
| 3D-ResNet-18 of Hara et al. 2017 | section IV-A | `action_encoder`, `classifier` |
| joint loss | Eq. 3 | `afn_jax.losses.jointflow3d_loss`, frames from `triplet_frames` |
| 56 x 56 frames | section IV-A | any size |

The 3D ResNet-18 is that of Hara et al.: a 7x7x7 stem with stride (1, 2, 2), 3x3x3 max pooling with
stride 2 in time too, stages 3 to 5 with stride 2 in time too, and shortcuts without parameters
(type A: subsampled and padded with zero channels).

Guessed, because the paper does not report them (it calls the flow network "a small 3D CNN", "as
simple as possible"): the widths of the flow network, its 3x3x3 kernels, three halvings of space and
none of time, batch normalization, leaky ReLU, and skip connections as in Hidden Two-Stream, whose
structure the paper uses; taking the middle one of the decoder's three maps, that of frame k, as the
flow; triplets that do not overlap ("divided into smaller groups"); 48 frames, so that the ResNet
sees 16 flows; mean and standard deviation for normalizing gray frames; the noise; no dropout.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork
from afn_jax.nn.conv import Conv3D, ConvTranspose3D, Implementation
from afn_jax.nn.flow_decoder import NEAR_ZERO, FlowDecoder
from afn_jax.nn.normalization import IMAGENET_MEAN, IMAGENET_STD, batch_norm
from afn_jax.nn.resnet import ResNetEncoder, max_pool_frames
from afn_jax.ops import gaussian_noise
from afn_jax.ops.checks import check_num_frames
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.types import Prediction

_REMAT_FROM = 48 * 48  # pixels; guessed: smaller frames fit without


class JointFlow3D(VideoNetwork):
    """Odabasi's joint network: logits and one flow per triplet of frames.

    `flows[0]` is `[batch, triplets, H, W, 2]`: the flow from the first frame of each triplet to the
    second. Triplets start at `triplet_starts(num_frames, triplet_stride)`.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the ResNet's first stage; 64 in the paper. `flow_widths` are scaled by
            width / 64.
        num_frames: frames per clip, 3 or more.
        triplet_stride: frames from one triplet to the next: 3 splits the clip into triplets, 1
            gives the flow of consecutive frames. Frames after the last whole triplet are not used.
        flow_widths: channels of the flow network's encoder at 1, 1/2, 1/4, ... of the size.
        noise_std: standard deviation of the noise added to normalized frames in training, drawn
            from the random stream "dropout".
        remat: store only the outputs of the flow network's convolutions for the gradient, and
            compute normalizations, activations and concatenations again, for frames of more than
            48 x 48 pixels. Numbers and batch statistics stay the same.
        implementation: implementation of the 3D convolutions, see `afn_jax.nn.conv`.
    """

    num_frames: int = 48
    triplet_stride: int = 3
    flow_widths: tuple[int, ...] = (16, 32, 64, 128)
    noise_std: float = 0.1
    remat: bool = True
    dropout_rate: float = 0.0
    implementation: Implementation = "auto"

    def flow_starts(self, num_frames: int) -> tuple[int, ...]:
        """Returns the first frame of each triplet."""
        return tuple(triplet_starts(num_frames, self.triplet_stride))

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_num_frames(frames, self.num_frames, least=3)
        if len(self.flow_widths) < 2:
            raise ValueError(
                f"flow_widths: got {self.flow_widths}; allowed: two or more, one per size."
            )
        starts = triplet_starts(self.num_frames, self.triplet_stride)
        gray = (rgb_to_gray(frames) - sum(IMAGENET_MEAN) / 3) / (sum(IMAGENET_STD) / 3)
        if train and self.noise_std:
            gray = gaussian_noise(self.make_rng("dropout"), gray, std=self.noise_std)

        triplets = jnp.stack([gray[:, start : start + 3] for start in starts], 1)

        def flow_network(module, triplets):
            return module._flow(triplets, train)

        if self.remat and frames.shape[-3] * frames.shape[-2] > _REMAT_FROM:
            policy = jax.checkpoint_policies.dots_saveable
            flow_network = nn.remat(flow_network, policy=policy)
        flow = flow_network(self, triplets.reshape(-1, *triplets.shape[2:]))
        flow = flow.reshape(*triplets.shape[:2], *flow.shape[1:])

        pooled = self._classify(flow, train)
        pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
        logits = nn.Dense(self.num_classes, name="classifier")(pooled)
        return Prediction(logits=logits, flows=(flow,))

    def _flow(self, triplets: Float[Array, "n 3 h w 1"], train: bool) -> Float[Array, "n h w 2"]:
        conv, norm = self._layers(train)
        widths = [max(1, round(channels * self.width / 64)) for channels in self.flow_widths]
        x = triplets.astype(self.dtype)
        features = []
        for level, width in enumerate(widths):
            strides = (1, 1, 1) if level == 0 else (1, 2, 2)
            x = conv(width, (3, 3, 3), strides, name=f"flow_encoder_conv{level}")(x)
            x = nn.leaky_relu(norm(name=f"flow_encoder_norm{level}")(x), 0.1)
            features.append(x)
        (flows,) = FlowDecoder(
            tuple(widths[-2::-1]),
            conv=conv,
            deconv=partial(ConvTranspose3D, dtype=self.dtype, implementation=self.implementation),
            dtype=self.dtype,
            every_size=False,
            norm=norm,
            flow_init=NEAR_ZERO,
            name="flow_decoder",
        )(features[-1], features[-2::-1])
        return flows[:, 1]

    def _classify(self, flows: Float[Array, "b n h w 2"], train: bool) -> Float[Array, "b c"]:
        conv, norm = self._layers(train)
        features = ResNetEncoder(
            stem_kernel=(7, 7, 7),
            stem_strides=(1, 2, 2),
            stage_strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
            conv=partial(_conv_or_shortcut, conv),
            norm=partial(_norm_or_nothing, norm),
            width=self.width,
            stem_pool=False,
            insert=lambda index, x: _max_pool_clip(x) if index == 0 else x,
            name="action_encoder",
        )(flows.astype(self.dtype))
        return features[-1].astype(jnp.float32).mean((1, 2, 3))

    def _layers(self, train: bool) -> tuple[Any, Any]:
        conv = partial(Conv3D, dtype=self.dtype, implementation=self.implementation)
        return conv, batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)


def triplet_starts(num_frames: int, triplet_stride: int = 3) -> range:
    """Returns the index of the first frame (k - 1) of each triplet of a clip.

    Raises:
        ValueError: for a stride below 1.
    """
    if triplet_stride < 1:
        raise ValueError(
            f"triplet_stride: got {triplet_stride}; allowed: 1 or more; 3 splits the clip into "
            "triplets, 1 starts a triplet at every frame."
        )
    return range(0, num_frames - 2, triplet_stride)


def triplet_frames(
    frames: Float[Array, "b t h w 3"], triplet_stride: int = 3
) -> tuple[Float[Array, "b n h w 1"], Float[Array, "b n h w 1"]]:
    """Computes gray frames k - 1 and k of each triplet, the inputs of `jointflow3d_loss`."""
    check_num_frames(frames, least=3)
    starts = jnp.array(list(triplet_starts(frames.shape[1], triplet_stride)))
    gray = rgb_to_gray(frames)
    return gray[:, starts], gray[:, starts + 1]


def _conv_or_shortcut(conv: Any, features: int, kernel_size: Any, strides: Any, name: str) -> Any:
    """Returns a layer of `conv`, or a shortcut of type A if a residual block needs a projection."""
    if name != "shortcut_conv":
        return conv(features, kernel_size, strides, name=name)

    def shortcut(x: Array) -> Array:
        time, rows, columns = strides
        x = x[:, ::time, ::rows, ::columns]
        return jnp.pad(x, [(0, 0)] * 4 + [(0, features - x.shape[-1])])

    return shortcut


def _norm_or_nothing(norm: Any, name: str) -> Any:
    return (lambda x: x) if name == "shortcut_norm" else norm(name=name)


def _max_pool_clip(x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 c"]:
    """Computes 3x3x3 max pooling with stride 2 and padding 1: over space, then over time."""
    x = max_pool_frames(x)
    batch, time, height, width, channels = x.shape
    # Pools along time as if it were the rows of a picture that is one column wide.
    x = max_pool_frames(x.reshape(batch, time, 1, height * width * channels))
    return x.reshape(batch, -1, height, width, channels)
