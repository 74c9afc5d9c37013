"""The networks that the papers compare with.

`resnet18`: the 2D ResNet-18 of He et al. 2016 on each frame alone, the frames' scores averaged:
it sees appearance and never motion (ActionFlowNet Table 1, "ResNet-18").
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from afn_jax.nn.conv import he_normal
from afn_jax.nn.normalization import batch_norm, imagenet_normalize
from afn_jax.nn.resnet import ResNetEncoder
from afn_jax.types import Prediction


class FrameResNet18(nn.Module):
    """Frames `[batch, time, H, W, 3]` in [0, 1] -> logits averaged over time; no flow.

    Attributes:
        num_classes: size of the logits.
        width: channels of the first stage; 64 in the paper.
        num_frames: frames a clip, any.
        dropout_rate: before the classifier.
        dtype: of the computation; parameters and logits stay float32.
        axis_name: pmap axis over which batch statistics are averaged, or None.
    """

    num_classes: int
    width: int = 64
    num_frames: int = 1
    dropout_rate: float = 0.5
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, frames: Float[Array, "b t h w 3"], *, train: bool) -> Prediction:
        batch, time = frames.shape[:2]
        x = imagenet_normalize(frames)
        x = x.reshape(batch * time, *x.shape[2:]).astype(self.dtype)

        def conv(features, kernel_size, strides, name):
            return nn.Conv(
                features,
                kernel_size,
                strides,
                padding=[((size - 1) // 2,) * 2 for size in kernel_size],
                use_bias=False,
                dtype=self.dtype,
                kernel_init=he_normal,
                name=name,
            )

        norm = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name)
        features = ResNetEncoder(
            stem_kernel=(7, 7),
            stem_strides=(2, 2),
            stage_strides=((1, 1), (2, 2), (2, 2), (2, 2)),
            conv=conv,
            norm=norm,
            width=self.width,
            name="encoder",
        )(x)
        pooled = features[-1].astype(jnp.float32).mean((1, 2))
        pooled = nn.Dropout(self.dropout_rate, deterministic=not train)(pooled)
        logits = nn.Dense(self.num_classes, name="classifier")(pooled)
        return Prediction(logits=logits.reshape(batch, time, -1).mean(1), flows=())
