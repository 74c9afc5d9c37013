"""ActionFlowNet's losses, against numpy and numbers worked out by hand."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import flow_loss, multitask_loss, two_frame_multitask_loss
from afn_jax.losses.actionflownet import SCALE_WEIGHTS

MULTITASK = jax.jit(
    jax.value_and_grad(multitask_loss, argnums=(0, 2), has_aux=True), static_argnames="flow_weight"
)
TWO_FRAME = jax.jit(
    jax.value_and_grad(two_frame_multitask_loss, argnums=(0, 2), has_aux=True),
    static_argnames=("flow_weight", "scale_weights"),
)


def classes(batch=2, dtype=np.float32):
    random = np.random.default_rng(1)
    return random.normal(size=(batch, 4)).astype(dtype), random.integers(4, size=batch)


def flow_pair(batch=2, time=3, size=(4, 5), dtype=np.float32):
    random = np.random.default_rng(0)
    return random.normal(size=(2, batch, time, *size, 2), scale=3).astype(dtype)


def mean_cross_entropy(logits, labels):
    probabilities = np.exp(np.asarray(logits, np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return -np.mean(np.log(probabilities[np.arange(len(labels)), labels]))


def mean_endpoint_error(flow, target, mask=None):
    errors = [
        np.hypot(*(flow[index].astype(np.float64) - target[index]))
        for index in np.ndindex(flow.shape[:-1])
        if mask is None or mask[index]
    ]
    return np.mean(errors) if errors else 0.0


def some(*shape):
    return np.random.default_rng(2).random(shape) < 0.6


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (1, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_flow_loss_is_the_mean_over_all_frames(size, masked):
    flow, target = flow_pair(size=size)
    mask = some(2, 3, *size) if masked else None
    loss = jax.jit(flow_loss)(flow, target, mask=mask)
    np.testing.assert_allclose(loss, mean_endpoint_error(flow, target, mask), rtol=1e-5)


def test_the_future_flow_counts_as_the_others():
    """A distance of 5 in the last of three frames alone."""
    target = np.zeros((1, 3, 2, 2, 2), np.float32)
    flow = target.copy()
    flow[:, -1] = [3, 4]
    np.testing.assert_allclose(flow_loss(flow, target), 5 / 3, rtol=1e-6)


def test_equation_2_by_hand():
    """Log of 4 from equal logits, a distance of 5 at every pixel, lambda .1."""
    logits, labels = np.zeros((2, 4), np.float32), np.array([0, 3])
    target = np.ones((2, 3, 2, 2, 2), np.float32)
    flow = target + np.array([-3, 4], np.float32)
    (loss, terms), _ = MULTITASK(logits, labels, flow, target, flow_weight=0.1)
    assert set(terms) == {"cross_entropy", "epe"}
    np.testing.assert_allclose(terms["cross_entropy"], np.log(4), rtol=1e-6)
    np.testing.assert_allclose(terms["epe"], 5, rtol=1e-6)
    np.testing.assert_allclose(loss, np.log(4) + 0.5, rtol=1e-6)


@pytest.mark.parametrize("flow_weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("masked", [False, True])
def test_equation_2_is_that_of_numpy(flow_weight, masked):
    logits, labels = classes()
    flow, target = flow_pair()
    mask = some(2, 3, 4, 5) if masked else None
    (loss, terms), gradients = MULTITASK(
        logits, labels, flow, target, flow_weight=flow_weight, mask=mask
    )
    epe = mean_endpoint_error(flow, target, mask)
    np.testing.assert_allclose(terms["epe"], epe, rtol=1e-5)
    expected = mean_cross_entropy(logits, labels) + flow_weight * epe
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert np.all(gradients[0] != 0)
    assert np.any(gradients[1]) == (flow_weight > 0)


def test_lambda_is_1_where_none_is_given():
    logits, labels = classes()
    flow, target = flow_pair()
    (loss, terms), _ = MULTITASK(logits, labels, flow, target)
    np.testing.assert_allclose(loss, terms["cross_entropy"] + terms["epe"], rtol=1e-6)


def two_frame_example(dtype=np.float32):
    """Flow that is off by (3, 4) at half the target's size and by (5, 12) at a quarter."""
    target = np.broadcast_to(np.array([8, 4], dtype), (2, 8, 12, 2))
    flows = [
        np.broadcast_to(np.array([4 + 3, 2 - 4], dtype), (2, 4, 6, 2)),
        np.broadcast_to(np.array([2 - 5, 1 + 12], dtype), (2, 2, 3, 2)),
    ]
    return flows, target


@pytest.mark.parametrize("flow_weight", [0.0, 0.5])
def test_equation_4_by_hand(flow_weight):
    logits, labels = classes()
    flows, target = two_frame_example()
    (loss, terms), (_, gradients) = TWO_FRAME(
        logits, labels, flows, target, flow_weight=flow_weight, scale_weights=(0.1, 2.0)
    )
    assert set(terms) == {"cross_entropy", "multiscale_epe"}
    np.testing.assert_allclose(terms["multiscale_epe"], 0.1 * 5 + 2 * 13, rtol=1e-5)
    expected = mean_cross_entropy(logits, labels) + flow_weight * (0.1 * 5 + 2 * 13)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert all(np.any(gradient) == (flow_weight > 0) for gradient in gradients)


def test_the_four_scales_have_the_weights_of_flownet():
    logits, labels = classes()
    target = np.zeros((2, 8, 8, 2), np.float32)
    errors = np.array([5, 10, 15, 20], np.float32)
    flows = [
        np.broadcast_to(np.array([0.6, 0.8], np.float32) * error, (2, side, side, 2))
        for error, side in zip(errors, (8, 4, 2, 1), strict=True)
    ]
    (_, terms), _ = TWO_FRAME(logits, labels, flows, target)
    assert SCALE_WEIGHTS == (0.005, 0.01, 0.02, 0.08)
    expected = 0.005 * 5 + 0.01 * 10 + 0.02 * 15 + 0.08 * 20
    np.testing.assert_allclose(terms["multiscale_epe"], expected, rtol=1e-5)


@pytest.mark.parametrize("left_out", [1e9, 3e38])
def test_what_the_mask_leaves_out_has_no_influence(left_out):
    logits, labels = classes()
    flow, target = flow_pair()
    mask = some(2, 3, 4, 5)
    expected = mean_endpoint_error(flow, target, mask)
    flow[~mask], target[~mask] = left_out, -left_out
    (_, terms), (_, gradient) = MULTITASK(logits, labels, flow, target, mask=mask)
    np.testing.assert_allclose(terms["epe"], expected, rtol=1e-5)
    assert not np.any(gradient[~mask]) and np.all(np.isfinite(gradient))
    assert np.all(np.any(gradient[mask], axis=-1))

    flows, target = two_frame_example()
    mask = np.ones((2, 8, 12), bool)
    mask[:, :4, :4] = False  # one pixel of the coarse map, four of the fine
    target = np.where(mask[..., None], target, np.float32(left_out))
    (_, terms), (_, gradients) = TWO_FRAME(
        logits, labels, flows, target, mask=mask, scale_weights=(0.1, 2.0)
    )
    np.testing.assert_allclose(terms["multiscale_epe"], 0.1 * 5 + 2 * 13, rtol=1e-5)
    assert not np.any(gradients[0][:, :2, :2]) and not np.any(gradients[1][:, 0, 0])


def test_a_mask_of_nothing_leaves_the_cross_entropy():
    logits, labels = classes()
    flow, target = flow_pair()
    (loss, terms), (_, gradient) = MULTITASK(
        logits, labels, flow, target, mask=np.zeros((2, 3, 4, 5), bool)
    )
    assert terms["epe"] == 0 and loss == terms["cross_entropy"]
    assert not np.any(gradient)
    flows, target = two_frame_example()
    (loss, terms), (_, gradients) = TWO_FRAME(
        logits, labels, flows, target, mask=np.zeros((2, 8, 12), bool), scale_weights=(0.1, 2.0)
    )
    assert terms["multiscale_epe"] == 0 and loss == terms["cross_entropy"]
    assert not any(np.any(gradient) for gradient in gradients)


def test_gradients_are_those_of_finite_differences(float64):
    logits, labels = classes(dtype=np.float64)
    flow, target = flow_pair(time=1, size=(2, 3), dtype=np.float64)

    def multitask(logits, flow, target):
        return multitask_loss(logits, labels, flow, target, flow_weight=0.5)[0]

    def two_frames(logits, flow, target):
        flows = [flow[:, 0], flow[:, 0, :1, :1]]
        return two_frame_multitask_loss(
            logits, labels, flows, target[:, 0], scale_weights=(0.5, 0.7)
        )[0]

    check_grads(jax.jit(multitask), (logits, flow, target), order=2, modes=("fwd", "rev"))
    check_grads(jax.jit(two_frames), (logits, flow, target), order=1, modes=("fwd", "rev"))


def test_equal_and_zero_flow_has_a_finite_gradient():
    logits, labels = classes()
    for size in ((4, 5), (1, 1)):
        for value in (0.0, 2.0):
            flow = np.full((2, 3, *size, 2), value, np.float32)
            (_, terms), (_, gradient) = MULTITASK(logits, labels, flow, flow)
            assert terms["epe"] == 0
            np.testing.assert_array_equal(gradient, np.zeros_like(flow))


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e10, 3e38, -3e38])
def test_nasty_flow_stays_finite(value):
    logits, labels = classes()
    flow, target = flow_pair()
    nasty = np.full_like(flow, value)
    for pair in ((flow, nasty), (nasty, target)):
        (loss, _), (_, gradient) = MULTITASK(logits, labels, *pair)
        if abs(value) < 1e38:  # a sum of 120 such errors is beyond float32
            assert jnp.isfinite(loss)
        assert not jnp.isnan(loss) and jnp.all(jnp.isfinite(gradient))


def test_without_jit_it_is_the_same():
    logits, labels = classes()
    flow, target = flow_pair()
    loss, _ = multitask_loss(logits, labels, flow, target)
    np.testing.assert_allclose(loss, MULTITASK(logits, labels, flow, target)[0][0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    logits, labels = classes()
    logits, *pair = (jnp.asarray(x, dtype) for x in (logits, *flow_pair()))
    loss, terms = multitask_loss(logits, labels, *pair)
    assert {loss.dtype, *(term.dtype for term in terms.values())} == {jnp.dtype(jnp.float32)}
    rounded = [np.asarray(x, np.float32) for x in (logits, *pair)]
    expected = mean_cross_entropy(rounded[0], labels) + mean_endpoint_error(*rounded[1:])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_float64_keeps_its_precision(float64):
    logits, labels = classes(dtype=np.float64)
    flow, target = flow_pair(dtype=np.float64)
    (loss, _), _ = MULTITASK(logits, labels, flow, target)
    assert loss.dtype == jnp.float64
    expected = mean_cross_entropy(logits, labels) + mean_endpoint_error(flow, target)
    np.testing.assert_allclose(loss, expected, rtol=1e-13)


@pytest.fixture
def as_users_have_it():
    """Without the type checks of the test suite, which come before the library's own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(target=np.zeros((2, 3, 4, 6, 2), np.float32)), "flow has shape .* resize_flow"),
        (dict(mask=np.ones((2, 3, 4), bool)), r"mask has shape \(2, 3, 4\)"),
        (dict(mask=np.ones((2, 3, 4, 5), np.float32)), "be bool"),
        (dict(labels=np.zeros((3,), np.int32)), r"labels must be \(2,\), one 0-based class"),
    ],
)
def test_bad_input_is_named(change, message, as_users_have_it):
    logits, labels = classes()
    flow, target = flow_pair()
    arguments = dict(logits=logits, labels=labels, flow=flow, target=target)
    with pytest.raises(ValueError, match=message):
        multitask_loss(**(arguments | change))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(scale_weights=(1.0,)), "flows has 2 scales and weights 1 values"),
        (dict(flows=[]), "flows has 0 scales"),
        (dict(target=np.zeros((3, 8, 12, 2), np.float32)), "the batches differ"),
        (dict(mask=np.ones((2, 8, 8), bool)), r"mask has shape \(2, 8, 8\)"),
        (dict(labels=np.zeros((3,), np.int32)), r"labels must be \(2,\), one 0-based class"),
    ],
)
def test_bad_input_of_two_frames_is_named(change, message, as_users_have_it):
    logits, labels = classes()
    flows, target = two_frame_example()
    arguments = dict(logits=logits, labels=labels, flows=flows, target=target)
    with pytest.raises(ValueError, match=message):
        two_frame_multitask_loss(**(arguments | dict(scale_weights=(1.0, 1.0)) | change))
