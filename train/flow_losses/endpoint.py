"""The endpoint error of the finest flow (ActionFlowNet Eq. 1)."""

from collections.abc import Sequence

import jax.numpy as jnp

from afn_jax.losses import endpoint_error
from afn_jax.metrics import Mean
from afn_jax.types import Batch, Prediction
from train.flow_losses.flow_loss import FlowLoss, Terms
from train.flow_losses.target import flow_and_target


def endpoint_terms(
    prediction: Prediction, batch: Batch, *, starts: Sequence[int] | None = None, action: bool
) -> Terms:
    """Endpoint error of the finest flow, in pixels of the frames, and that of zero flow."""
    flow, target, mask = flow_and_target(prediction, batch, starts)
    target = jnp.where(mask[..., None], target, 0)  # NaN in it would make the gradient NaN
    return {
        "epe": Mean.from_values(endpoint_error(flow, target), mask),
        "zero_flow_epe": Mean.from_values(endpoint_error(jnp.zeros_like(target), target), mask),
    }


ENDPOINT = FlowLoss(
    "endpoint error at one size, needs a flow target (ActionFlowNet Eq. 1)",
    endpoint_terms,
    {"epe": 1.0},
    needs_target=True,
)
