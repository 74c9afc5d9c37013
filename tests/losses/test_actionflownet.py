"""ActionFlowNet's losses, against numpy and numbers worked out by hand."""

import jax
import numpy as np
import pytest

from afn_jax.losses import flow_loss, multitask_loss, two_frame_multitask_loss
from tests import references

MULTITASK = jax.jit(jax.value_and_grad(multitask_loss, argnums=(0, 2), has_aux=True))
MULTITASK_VALUE = jax.jit(multitask_loss)
TWO_FRAME = jax.jit(
    jax.value_and_grad(two_frame_multitask_loss, argnums=(0, 2), has_aux=True),
    static_argnames="scale_weights",
)


def classes():
    random = np.random.default_rng(1)
    return random.normal(size=(2, 4)), random.integers(4, size=2)


@pytest.mark.parametrize("size", [(4, 5), (1, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_equations_1_and_2_are_those_of_numpy(size, masked, float64):
    logits, labels = classes()
    random = np.random.default_rng(0)
    flow, target = random.normal(size=(2, 2, 3, *size, 2), scale=3)
    mask = random.random((2, 3, *size)) < 0.6 if masked else None
    epe = references.mean_endpoint_error(flow, target, mask)
    cross_entropy = references.mean_cross_entropy(logits, labels)
    np.testing.assert_allclose(jax.jit(flow_loss)(flow, target, mask=mask), epe, rtol=1e-12)
    for weight in (0.0, 2.5):
        (loss, terms), gradients = MULTITASK(
            logits, labels, flow, target, flow_weight=weight, mask=mask
        )
        assert set(terms) == {"cross_entropy", "epe"}
        np.testing.assert_allclose(terms["cross_entropy"], cross_entropy, rtol=1e-12)
        np.testing.assert_allclose(terms["epe"], epe, rtol=1e-12)
        np.testing.assert_allclose(loss, cross_entropy + weight * epe, rtol=1e-12)
        assert np.all(gradients[0] != 0) and np.any(gradients[1]) == (weight > 0)
    loss, terms = MULTITASK_VALUE(logits, labels, flow, target, mask=mask)
    np.testing.assert_allclose(loss, terms["cross_entropy"] + terms["epe"], rtol=1e-12)


def test_the_future_flow_counts_as_the_others():
    """A distance of 5 in the last of three frames alone; and what is not known may be NaN."""
    target = np.zeros((1, 3, 2, 2, 2), np.float32)
    flow = target.copy()
    flow[:, -1] = [3, 4]
    np.testing.assert_allclose(flow_loss(flow, target), 5 / 3, rtol=1e-6)
    target[:, 0] = np.nan
    mask = ~np.isnan(target[..., 0])
    np.testing.assert_allclose(flow_loss(flow, target, mask=mask), 5 / 2, rtol=1e-6)


def test_equation_4_by_hand(float64):
    """Flow that is off by (3, 4) at half the target's size and by (5, 12) at a quarter."""
    logits, labels = classes()
    target = np.broadcast_to([8.0, 4.0], (2, 8, 12, 2))
    flows = [
        np.broadcast_to([4.0 + 3, 2.0 - 4], (2, 4, 6, 2)),
        np.broadcast_to([2.0 - 5, 1.0 + 12], (2, 2, 3, 2)),
    ]
    cross_entropy, epe = references.mean_cross_entropy(logits, labels), 0.1 * 5 + 2 * 13
    for weight in (0.0, 0.5):
        (loss, terms), (_, gradients) = TWO_FRAME(
            logits, labels, flows, target, flow_weight=weight, scale_weights=(0.1, 2.0)
        )
        assert set(terms) == {"cross_entropy", "multiscale_epe"}
        np.testing.assert_allclose(terms["multiscale_epe"], epe, rtol=1e-12)
        np.testing.assert_allclose(loss, cross_entropy + weight * epe, rtol=1e-12)
        assert all(np.any(gradient) == (weight > 0) for gradient in gradients)
    mask = np.ones((2, 8, 12), bool)
    mask[:, :4, :4] = False  # one pixel of the coarse map, four of the fine
    target = np.where(mask[..., None], target, np.nan)
    (_, terms), (_, gradients) = TWO_FRAME(
        logits, labels, flows, target, mask=mask, scale_weights=(0.1, 2.0)
    )
    np.testing.assert_allclose(terms["multiscale_epe"], epe, rtol=1e-12)
    assert not np.any(gradients[0][:, :2, :2]) and not np.any(gradients[1][:, 0, 0])


def test_the_four_scales_are_balanced_as_in_flownet():
    """FlowNet sums errors over pixels, in full-size pixels, with .005, .01, .02 and .08."""
    logits, labels = classes()
    size, full_size_flow = 64, np.array([3.0, -4.0], np.float32)
    target = np.broadcast_to(full_size_flow, (2, size, size, 2))
    flows, flownet = [], 0.0
    # What a network says at 1/4 to 1/32, in full-size pixels: each scale errs by another amount.
    for alpha, side, error in ((0.005, 16, 1.0), (0.01, 8, 7.0), (0.02, 4, 2.0), (0.08, 2, 5.0)):
        said = full_size_flow + np.array([0.6, 0.8], np.float32) * error
        flows.append(np.broadcast_to(said * side / size, (2, side, side, 2)))
        flownet += alpha * error * side * side
    _, terms = jax.jit(two_frame_multitask_loss)(logits.astype(np.float32), labels, flows, target)
    one = sum(alpha * side**2 for alpha, side in ((0.005, 16), (0.01, 8), (0.02, 4), (0.08, 2)))
    np.testing.assert_allclose(terms["multiscale_epe"], flownet / one, rtol=1e-5)
