"""The endpoint error metric, compared with NumPy means over all valid pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.metrics import EndpointErrorMetric, FlowOutliersMetric


def example(*leading, seed=0):
    random = np.random.default_rng(seed)
    flow, target = random.normal(size=(2, *leading, 4, 5, 2)).astype(np.float32)
    return flow, target, random.random((*leading, 4, 5)) < 0.6


def expected_errors(flow, target, mask):
    difference = flow[mask] - target[mask]
    return {
        "epe": np.hypot(difference[:, 0], difference[:, 1]).mean(),
        "zero_flow_epe": np.hypot(target[mask][:, 0], target[mask][:, 1]).mean(),
    }


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_is_the_mean_over_valid_pixels(leading):
    flow, target, mask = example(*leading)
    result = EndpointErrorMetric.from_batch(flow, target, mask).compute()
    assert result == pytest.approx(expected_errors(flow, target, mask))
    everywhere = EndpointErrorMetric.from_batch(flow, target).compute()
    assert everywhere == pytest.approx(expected_errors(flow, target, np.ones_like(mask)))


def test_constant_flow_matches_values_computed_by_hand():
    target = np.broadcast_to(np.array([3.0, 4.0], np.float32), (2, 2, 2))
    flow = target + np.array([0, 2], np.float32)
    assert EndpointErrorMetric.from_batch(flow, target).compute() == {
        "epe": 2.0,
        "zero_flow_epe": 5.0,
    }


def test_merging_weights_pixels_equally_not_batches():
    flow, target, mask = example(6)
    mask[:4] = False
    mask[0, 0, 0] = True
    whole = expected_errors(flow, target, mask)
    parts = [
        EndpointErrorMetric.from_batch(flow[part], target[part], mask[part])
        for part in (slice(0, 2), slice(2, 5), slice(5, 6))
    ]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert merged.compute() == pytest.approx(whole)
    mean_of_means = np.mean([part.compute()["epe"] for part in parts])
    assert mean_of_means != pytest.approx(whole["epe"])


def test_sum_over_devices_matches_one_large_batch():
    flow, target, mask = example(4, 2)

    def step(*batch):
        return jax.lax.psum(EndpointErrorMetric.from_batch(*batch), "devices")

    summed = jax.pmap(step, axis_name="devices", out_axes=None)(flow, target, mask)
    assert summed.compute() == pytest.approx(expected_errors(flow, target, mask))


def test_masked_out_values_have_no_influence():
    flow, target, mask = example(2)
    expected = expected_errors(flow, target, mask)
    target[~mask] = np.nan
    flow[~mask] = 1e10
    assert EndpointErrorMetric.from_batch(flow, target, mask).compute() == pytest.approx(expected)


@pytest.mark.parametrize("metric", [EndpointErrorMetric, FlowOutliersMetric])
def test_is_nan_if_nothing_was_counted_and_does_not_change_a_merge(metric):
    flow, target, mask = example(2)
    nothing = metric.from_batch(flow, target, np.zeros_like(mask))
    assert np.isnan(list(nothing.compute().values())).all()
    something = metric.from_batch(flow, target, mask)
    assert nothing.merge(something).compute() == something.compute()


def test_float16_input_is_summed_in_float32():
    flow = jnp.full((300, 300, 2), 3.0, jnp.float16)  # the sum exceeds the largest float16
    target = jnp.zeros_like(flow)
    metric = EndpointErrorMetric.from_batch(flow, target)
    assert metric.error.sum.dtype == jnp.float32
    assert metric.compute()["epe"] == pytest.approx(3 * np.sqrt(2), rel=1e-5)


def test_rejects_masks_of_wrong_dtype_or_shape():
    flow = np.zeros((2, 3, 2), np.float32)
    for metric in (EndpointErrorMetric, FlowOutliersMetric):
        with pytest.raises(
            ValueError, match="mask has dtype uint8; it must be bool: pass mask > 0"
        ):
            metric.from_batch(flow, flow, np.full((2, 3), 255, np.uint8))
    flow, target, _ = example(2)
    with pytest.raises(ValueError, match=r"mask has shape \(4, 5\), but target \(2, 4, 5, 2\)"):
        EndpointErrorMetric.from_batch(flow, target, np.ones((4, 5), bool))
