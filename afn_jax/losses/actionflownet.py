"""Flow losses of ActionFlowNet (section 3): Eq. 1, and the weights of the scales in Eq. 3.

The multitask losses (Eq. 2 and 4) are the mean `cross_entropy` plus lambda times `flow_loss` or
`multiscale_endpoint_error`. The paper sums endpoint errors over pixels and frames and does not
report lambda. Here the errors are averaged, so that lambda has the same effect at every resolution.
For Eq. 2, the paper's lambda is this one divided by the number of flow vectors per clip.
"""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from afn_jax.losses.endpoint import endpoint_error, masked_mean
from afn_jax.types import Array

# Alpha of Eq. 3 for the outputs at 1/4 to 1/32 of the input size. Guessed: the paper reports none.
# They follow FlowNetS, whose weights .005, .01, .02 and .08 apply to sums over pixels of errors in
# full-size pixels. Here errors are averaged and in pixels of their own map. Each map has a quarter
# of the pixels of the next finer one and half its errors, so the equivalent weights are .005, .005,
# .005 and .01. Multiplied by 400, so that an error of one full-size pixel in all maps costs 1 in
# total: 1/2, 1/4, 1/8 and 1/8.
SCALE_WEIGHTS = (2.0, 2.0, 2.0, 4.0)


def flow_loss(
    flow: Float[Array, "batch time h w 2"],
    target: Float[Array, "batch time h w 2"],
    *,
    mask: Bool[Array, "batch time h w"] | None = None,
) -> Float[Array, ""]:
    """Computes the mean endpoint error of all T flows, including the future flow (Eq. 1).

    Args:
        flow: `[batch, T, H, W, 2]`, in pixels; the last flow is the future one.
        target: same shape as `flow`.
        mask: `[batch, T, H, W]` bool, True where the target is known; None = everywhere.

    Returns:
        A scalar, in pixels; float32 or higher precision.

    Raises:
        ValueError: if the shapes do not match.
    """
    if mask is not None and mask.shape == flow.shape[:-1] == target.shape[:-1]:
        # Unknown targets may hold any value, including NaN.
        flow, target = (jnp.where(mask[..., None], x, 0) for x in (flow, target))
    return masked_mean(endpoint_error(flow, target), mask)
