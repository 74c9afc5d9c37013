"""VGG-16 on single frames, and a two-stream network that also sees TV-L1 flow.

Simonyan and Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015;
Two-Stream Convolutional Networks for Action Recognition in Videos, 2014. Hidden Two-Stream Networks
(Zhu et al., 2018) compares with the latter in its Table 1.

| part | paper | here |
|---|---|---|
| VGG-16 | 2015, Table 1, D | `afn_jax.nn.vgg.VGG16` |
| flow stack, 20 channels | 2014, section 3.1, Eq. 1: x and y in turn | `flow_stack` |
| flow | TV-L1 (Hidden Two-Stream, Table 1) of gray frames | `afn_jax.ops.tvl1_flow` |
| range | Hidden Two-Stream, sec. 3.2: clipped at 20 pixels, mapped to [0, 255], minus 128 | same |
| dropout of the flow stream | 0.9 and 0.8 (Hidden Two-Stream's code) | `flow_dropout_rates` |
| late fusion | Hidden Two-Stream, section 3.3: spatial to temporal 1 : 1.5 | `fusion_weights` |

The papers compute the flow in advance and train the streams separately: with `fusion_weights` (1,
0) or (0, 1), one stream and all of its layers are left out. Here the network computes the flow, and
no gradient passes through it. It is not part of `Prediction.flows`, which contains learned flow.

Guessed: the frame of the spatial stream (the middle one of the clip); fusing probabilities (the
authors' script uses the positive scores, scaled to a sum of 1); and `flow_scale`: the authors'
Caffe weights expect a range of -128 to 127, but torchvision's weights, and training from random
initialization, expect about unit variance, which is the default.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.models.contract import VideoNetwork, check_choice, check_fusion_weights
from afn_jax.nn.normalization import imagenet_normalize
from afn_jax.nn.vgg import VGG16
from afn_jax.ops import TVL1Config, normalize_flow, tvl1_flow
from afn_jax.ops.checks import check_float, check_num_frames
from afn_jax.types import Prediction


class FrameVGG16(VideoNetwork):
    """VGG-16 that classifies each frame; its logits are averaged over time; no flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage; 64 in the paper.
        num_frames: frames per clip; any number works.
        dropout_rate: dropout rate after each of the two hidden dense layers.
    """

    num_frames: int = 1

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        batch, time = frames.shape[:2]
        x = imagenet_normalize(frames)
        logits = VGG16(
            self.num_classes,
            width=self.width,
            dropout_rates=(self.dropout_rate, self.dropout_rate),
            dtype=self.dtype,
            name="spatial",
        )(x.reshape(batch * time, *x.shape[2:]), train=train)
        return Prediction(logits=logits.reshape(batch, time, -1).mean(1), flows=())


class TwoStreamVGG16(VideoNetwork):
    """Two VGG-16 streams, on a frame and on TV-L1 flow: fused logits; no learned flow.

    Attributes, besides those of `VideoNetwork`:
        width: channels of the first stage of each stream; 64 in the paper.
        num_frames: frames per clip; 11 in the paper, which have 10 flows.
        dropout_rate: dropout rate of the spatial stream, after each of the two hidden dense layers.
        flow_dropout_rates: dropout rates of the temporal stream, after fc6 and fc7.
        fusion_weights: weights of the spatial and the temporal stream. A stream of weight 0 is left
            out.
        fusion: "softmax": the logits are the logarithm of the weighted mean of the streams'
            probabilities; "logits": the weighted mean of the streams' logits.
        flow_scale: factor of the flow stack, which is in [-128, 127], before the network.
        tvl1: options of the TV-L1 solver.
    """

    num_frames: int = 11
    flow_dropout_rates: tuple[float, float] = (0.9, 0.8)
    fusion_weights: tuple[float, float] = (1.0, 1.5)
    fusion: str = "softmax"
    flow_scale: float = 1 / (255 * 0.226)
    tvl1: TVL1Config = TVL1Config()

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        check_num_frames(frames, self.num_frames, least=2)
        check_fusion_weights(self.fusion_weights)
        check_choice("fusion", self.fusion, ("softmax", "logits"))
        streams = []
        if self.fusion_weights[0]:
            middle = frames[:, self.num_frames // 2]
            spatial = VGG16(
                self.num_classes,
                width=self.width,
                dropout_rates=(self.dropout_rate, self.dropout_rate),
                dtype=self.dtype,
                name="spatial",
            )
            streams.append(spatial(imagenet_normalize(middle), train=train))
        if self.fusion_weights[1]:
            temporal = VGG16(
                self.num_classes,
                width=self.width,
                dropout_rates=self.flow_dropout_rates,
                dtype=self.dtype,
                name="temporal",
            )
            stack = flow_stack(frames, self.tvl1) * self.flow_scale
            streams.append(temporal(stack, train=train))
        weights = [weight for weight in self.fusion_weights if weight]
        return Prediction(logits=fuse(streams, weights, self.fusion), flows=())


def flow_stack(
    frames: Float[Array, "b t h w 3"], config: TVL1Config
) -> Float[Array, "b h w channels"]:
    """Stacks the flows from each frame to the next, alternating x and y, in [-128, 127].

    Flow is clipped at 20 pixels of `frames`. No gradient passes through it.
    """
    check_float(frames=frames)
    frames = jax.lax.stop_gradient(frames.astype(jnp.float32))
    flow = tvl1_flow(frames[:, :-1], frames[:, 1:], config)
    flow = normalize_flow(jax.lax.stop_gradient(flow)) - 128
    return jnp.moveaxis(flow, 1, 3).reshape(flow.shape[0], *flow.shape[2:4], -1)


def fuse(
    streams: list[Float[Array, "b classes"]], weights: list[float], fusion: str
) -> Float[Array, "b classes"]:
    """Computes the weighted mean of the streams' logits, or of their probabilities, as logits."""
    shares = jnp.array(weights).reshape(-1, 1, 1) / sum(weights)
    if fusion == "logits":
        return (jnp.stack(streams) * shares).sum(0)
    return jax.nn.logsumexp(jax.nn.log_softmax(jnp.stack(streams)) + jnp.log(shares), axis=0)
