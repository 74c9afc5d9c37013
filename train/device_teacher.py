"""Estimates the flow target on the device, inside the training step: `--data.teacher device-tvl1`.

Nothing is stored, and the host estimates nothing. For each segment of a clip the reader sends one
more frame, the one that the last flow points to. TV-L1 sees the frames that the network sees:
cropped, flipped and resized, but before color jitter and noise.
"""

import jax.numpy as jnp
from jax import lax

from afn_jax.ops import TVL1Config, tvl1_flow
from afn_jax.types import Batch


def with_device_flow(batch: Batch, config: TVL1Config = TVL1Config()) -> Batch:  # noqa: B008
    """Adds the flow target where it is missing; other batches are returned unchanged.

    Args:
        batch: `frames` `[batch, time + segments, H, W, 3]` uint8 and `flow_mask`
            `[batch, time, H, W]` where flow is wanted, with `flows` None.
        config: settings of the solver.

    Returns:
        The batch with `frames` `[batch, time, H, W, 3]` and `flows` `[batch, time, H, W, 2]`.
    """
    if batch.flows is not None or batch.flow_mask is None:
        return batch
    examples, given, *size = batch.frames.shape
    time = batch.flow_mask.shape[1]
    segments = given - time
    frames = batch.frames.reshape(examples, segments, given // segments, *size)
    floats = frames.astype(jnp.float32) / 255
    flows = lax.stop_gradient(tvl1_flow(floats[:, :, :-1], floats[:, :, 1:], config))
    return batch.replace(
        frames=frames[:, :, :-1].reshape(examples, time, *size),
        flows=flows.reshape(examples, time, *size[:-1], 2),
    )
