"""ActionFlowNet's flow losses, compared with NumPy and values computed by hand."""

import jax
import numpy as np
import pytest

from afn_jax.losses import flow_loss, multiscale_endpoint_error
from afn_jax.losses.actionflownet import SCALE_WEIGHTS
from tests import references


@pytest.mark.parametrize("size", [(4, 5), (1, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_equation_1_matches_numpy(size, masked, float64):
    random = np.random.default_rng(0)
    flow, target = random.normal(size=(2, 2, 3, *size, 2), scale=3)
    mask = random.random((2, 3, *size)) < 0.6 if masked else None
    epe = references.mean_endpoint_error(flow, target, mask)
    np.testing.assert_allclose(jax.jit(flow_loss)(flow, target, mask=mask), epe, rtol=1e-12)


def test_future_flow_has_the_same_weight():
    """An error of 5 in the last of three frames only; unknown targets may be NaN."""
    target = np.zeros((1, 3, 2, 2, 2), np.float32)
    flow = target.copy()
    flow[:, -1] = [3, 4]
    np.testing.assert_allclose(flow_loss(flow, target), 5 / 3, rtol=1e-6)
    target[:, 0] = np.nan
    mask = ~np.isnan(target[..., 0])
    np.testing.assert_allclose(flow_loss(flow, target, mask=mask), 5 / 2, rtol=1e-6)


def test_scales_are_balanced_as_in_flownet():
    """FlowNet sums errors over pixels, in full-size pixels, with .005, .01, .02 and .08."""
    size, full_size_flow = 64, np.array([3.0, -4.0], np.float32)
    target = np.broadcast_to(full_size_flow, (2, size, size, 2))
    flows, flownet = [], 0.0
    # Predictions at 1/4 to 1/32 of the size, each with a different error in full-size pixels.
    for alpha, side, error in ((0.005, 16, 1.0), (0.01, 8, 7.0), (0.02, 4, 2.0), (0.08, 2, 5.0)):
        predicted = full_size_flow + np.array([0.6, 0.8], np.float32) * error
        flows.append(np.broadcast_to(predicted * side / size, (2, side, side, 2)))
        flownet += alpha * error * side * side
    loss = jax.jit(lambda *args: multiscale_endpoint_error(*args, weights=SCALE_WEIGHTS))
    one = sum(alpha * side**2 for alpha, side in ((0.005, 16), (0.01, 8), (0.02, 4), (0.08, 2)))
    np.testing.assert_allclose(loss(flows, target), flownet / one, rtol=1e-5)
