"""The unsupervised loss of Odabasi's network (Eq. 1 and 2)."""

from collections.abc import Sequence

import jax.numpy as jnp

from afn_jax.losses import jointflow3d_loss
from afn_jax.ops.gray import rgb_to_gray
from afn_jax.types import Batch, Prediction
from train.flow_losses.flow_loss import FlowLoss, Terms, mean_over_examples, num_pairs


def jointflow3d_terms(
    prediction: Prediction, batch: Batch, *, starts: Sequence[int] | None, action: bool
) -> Terms:
    """Photometric and smoothness loss of one flow per triplet of gray frames."""
    num_frames, pairs = batch.frames.shape[1], num_pairs(prediction)
    starts = list(range(num_frames - 1) if starts is None else starts)[:pairs]
    size = prediction.flows[0].shape[2:4]
    if len(starts) != pairs or starts[-1] + 1 >= num_frames or size != batch.frames.shape[2:4]:
        raise ValueError(
            "objective.flow: jointflow3d needs a flow of the size of the frames for each of "
            f"{len(starts)} triplets, but the network predicts {pairs} of {size}. Use the network "
            "jointflow3d."
        )

    def of_example(frames, flows):
        gray = rgb_to_gray(frames)
        previous, current = (gray[jnp.array(starts) + shift][None] for shift in (0, 1))
        no_action = jnp.zeros((1, 1)), jnp.zeros((1,), jnp.int32)  # its term is not used here
        _, terms = jointflow3d_loss(*no_action, previous, current, flows[0][None])
        return {name: terms[name] for name in ("photometric", "smooth")}

    return mean_over_examples(of_example, batch, prediction.flows)


# Guessed; the recipe has other weights.
JOINTFLOW3D = FlowLoss(
    "unsupervised loss of grayscale triplets (Odabasi Eq. 1 and 2)",
    jointflow3d_terms,
    {"photometric": 1.0, "smooth": 1.0},
)
