"""The endpoint error at several sizes (ActionFlowNet Eq. 3)."""

from collections.abc import Sequence

import jax.numpy as jnp

from afn_jax.losses import multiscale_endpoint_error
from afn_jax.losses.actionflownet import SCALE_WEIGHTS
from afn_jax.metrics import Mean
from afn_jax.ops import resize_mask
from afn_jax.types import Batch, Prediction
from train.flow_losses.flow_loss import FlowLoss, Terms
from train.flow_losses.target import flow_and_target


def multiscale_terms(
    prediction: Prediction, batch: Batch, *, starts: Sequence[int] | None, action: bool
) -> Terms:
    """The endpoint error at each size, in pixels of that size."""
    _, target, mask = flow_and_target(prediction, batch, starts)
    if len(prediction.flows) > len(SCALE_WEIGHTS):
        raise ValueError(
            f"objective.flow: multiscale supports up to {len(SCALE_WEIGHTS)} sizes of flow, but "
            f"the network predicts {len(prediction.flows)}. Use --objective.flow endpoint."
        )
    target = jnp.where(mask[..., None], target, 0)
    terms = {}
    for scale, flow in enumerate(prediction.flows, 1):
        count = jnp.sum(resize_mask(mask, flow.shape[-3:-1]), dtype=jnp.float32)
        mean = multiscale_endpoint_error([flow], target, weights=[1.0], mask=mask)
        terms[f"epe_scale{scale}"] = Mean(mean * count, count)
    return terms


MULTISCALE = FlowLoss(
    "endpoint error at several sizes, needs a flow target (ActionFlowNet Eq. 3)",
    multiscale_terms,
    {f"epe_scale{scale}": alpha for scale, alpha in enumerate(SCALE_WEIGHTS, 1)},
    needs_target=True,
)
