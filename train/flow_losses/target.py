"""The flow target of a batch, matched to the flows that a network predicts."""

from collections.abc import Sequence

import jax.numpy as jnp

from afn_jax.ops import resize_flow
from afn_jax.types import Array, Batch, Prediction


def flow_and_target(
    prediction: Prediction, batch: Batch, starts: Sequence[int] | None = None
) -> tuple[Array, Array, Array]:
    """The finest flow resized to its target, the target, and the mask of trusted pixels.

    All are `[batch, pairs, H, W, ...]`, for as many pairs as the network predicts: not every
    network predicts the future flow, after the last frame.

    Args:
        prediction: of the network.
        batch: with a flow target.
        starts: the frame at which each flow starts, see
            `afn_jax.models.VideoNetwork.flow_starts`; None: flow t starts at frame t.

    Raises:
        ValueError: the network predicts more flows than there are targets.
    """
    pairs = prediction.flows[0].shape[1]
    starts = range(batch.flows.shape[1]) if starts is None else starts
    if pairs > len(starts):
        raise ValueError(
            f"the network predicts {pairs} flows per clip, but there are {len(starts)} targets. "
            "If it also predicts backward flow: --model.options bidirectional=false."
        )
    chosen = _index(starts[:pairs])
    target = batch.flows[:, chosen].astype(jnp.float32)
    flow = resize_flow(prediction.flows[0], target.shape[-3:-1])
    return flow, target, flow_mask(batch)[:, chosen]


def flow_mask(batch: Batch) -> Array:
    """`[batch, time, H, W]`: where the flow target of a real (not padding) example is trusted."""
    examples = batch.mask.reshape(-1, 1, 1, 1)
    if batch.flow_mask is None:
        return jnp.broadcast_to(examples, batch.flows.shape[:-1])
    return batch.flow_mask & examples


def _index(starts: Sequence[int]) -> slice | list[int]:
    """A slice if the numbers are 0, 1, 2, ...: it costs nothing."""
    starts = list(starts)
    return slice(len(starts)) if starts == list(range(len(starts))) else starts
