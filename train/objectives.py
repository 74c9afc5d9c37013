"""What is minimised: functions of a prediction and a batch, which know no model and no dataset.

An objective returns its terms as sums and counts, so that the mean over all devices is exact
whatever each device holds.
"""

from collections.abc import Callable

import flax.struct
import jax.numpy as jnp

from afn_jax.losses import cross_entropy, endpoint_error
from afn_jax.ops import resize_flow
from afn_jax.types import Array, Batch, Prediction


@flax.struct.dataclass
class Term:
    """A weighted mean: `weight * sum / count` enters the loss, once summed over devices."""

    sum: Array
    count: Array
    weight: float = flax.struct.field(pytree_node=False, default=0.0)


Objective = Callable[[Prediction, Batch], dict[str, Term]]


def create_objective(kind: str, flow_weight: float) -> Objective:
    """ActionFlowNet Eq. 2, or one of its halves.

    "joint": cross-entropy + `flow_weight` * mean endpoint error in pixels of the frames. The paper
    sums over pixels and frames and does not tell its lambda; with the mean, the same lambda means
    the same at every size. "action" and "flow" are the two terms alone. Terms with weight 0 are
    reported, not minimised.
    """
    weights = {"joint": (1.0, flow_weight), "action": (1.0, 0.0), "flow": (0.0, flow_weight)}
    if kind not in weights:
        raise ValueError(f"objective.kind: got {kind!r}, allowed are {', '.join(weights)}.")
    action_weight, flow_weight = weights[kind]

    def objective(prediction: Prediction, batch: Batch) -> dict[str, Term]:
        terms = {}
        if prediction.logits is not None and action_weight:
            terms["cross_entropy"] = _masked(
                cross_entropy(prediction.logits, batch.labels), batch.mask, action_weight
            )
            right = prediction.logits.argmax(-1) == batch.labels
            terms["top1"] = _masked(right, batch.mask)
        if prediction.flows and batch.flows is not None and flow_weight:
            flow, target, mask = flow_and_target(prediction, batch)
            terms["epe"] = _masked(endpoint_error(flow, target), mask, flow_weight)
            terms["zero_flow_epe"] = _masked(endpoint_error(jnp.zeros_like(target), target), mask)
        return terms

    return objective


def flow_and_target(prediction: Prediction, batch: Batch) -> tuple[Array, Array, Array]:
    """The finest flow at the size of its target, the target, and where that is trusted.

    `[batch, pairs, H, W, ...]`, for as many pairs as the network predicts: not every one predicts
    the future flow, after the last frame.
    """
    pairs = prediction.flows[0].shape[1]
    if pairs > batch.flows.shape[1]:
        raise ValueError(
            f"the network predicts {pairs} flows a clip, and there are {batch.flows.shape[1]} "
            "targets. If it predicts backward flow too: --model.options bidirectional=false."
        )
    target = batch.flows[:, :pairs].astype(jnp.float32)
    flow = resize_flow(prediction.flows[0], target.shape[-3:-1])
    return flow, target, flow_mask(batch)[:, :pairs]


def flow_mask(batch: Batch) -> Array:
    """`[batch, time, H, W]`: where the flow target of a real (not padding) example is trusted."""
    examples = batch.mask.reshape(-1, 1, 1, 1)
    if batch.flow_mask is None:
        return jnp.broadcast_to(examples, batch.flows.shape[:-1])
    return batch.flow_mask & examples


def _masked(values: Array, mask: Array, weight: float = 0.0) -> Term:
    values = values.astype(jnp.float32)
    return Term(jnp.sum(jnp.where(mask, values, 0)), jnp.sum(mask, dtype=jnp.float32), weight)
