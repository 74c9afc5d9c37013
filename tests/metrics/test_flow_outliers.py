"""Fl-all and the fractions of errors above 1, 3 and 5 px, compared with a loop over pixels."""

import numpy as np
import pytest

from afn_jax.metrics import FlowOutliersMetric


def example(*leading, seed=0):
    random = np.random.default_rng(seed)
    target = random.normal(scale=40, size=(*leading, 6, 7, 2)).astype(np.float32)
    flow = target + random.normal(scale=4, size=target.shape).astype(np.float32)
    return flow, target, random.random((*leading, 6, 7)) < 0.7


def by_loop(flow, target, mask):
    numbers = []
    for f, t in zip(flow[mask], target[mask], strict=True):
        error, length = np.hypot(*(f - t)), np.hypot(*t)
        outlier = error > 3 and error / length > 0.05
        numbers.append([error, outlier, error > 1, error > 3, error > 5])
    return dict(zip(("epe", "fl_all", "px1", "px3", "px5"), np.mean(numbers, 0), strict=True))


@pytest.mark.parametrize("leading", [(), (3,)])
def test_values_match_a_loop(leading):
    flow, target, mask = example(*leading)
    expected = by_loop(flow, target, mask)
    assert expected["fl_all"] != expected["px3"] and 0 < expected["px5"] < expected["px1"] < 1
    assert FlowOutliersMetric.from_batch(flow, target, mask).compute() == pytest.approx(expected)


def test_merging_weights_pixels_equally():
    flow, target, mask = example(4)
    mask[:2] = False
    mask[0, 0, 0] = True
    first, rest = (
        FlowOutliersMetric.from_batch(flow[part], target[part], mask[part])
        for part in (slice(0, 1), slice(1, 4))
    )
    assert first.merge(rest).compute() == pytest.approx(by_loop(flow, target, mask))


def test_nan_is_an_outlier_and_masked_out_values_have_no_influence():
    flow, target, mask = np.zeros((1, 4, 2)), np.zeros((1, 4, 2)), np.array([[1, 1, 1, 0]], bool)
    flow[0, 0], flow[0, 3] = np.nan, 1e10
    result = FlowOutliersMetric.from_batch(flow, target, mask).compute()
    assert np.isnan(result.pop("epe"))
    assert [*result.values()] == pytest.approx([1 / 3] * 4)
    nothing = FlowOutliersMetric.from_batch(flow, target, np.zeros((1, 4), bool)).compute()
    assert np.isnan([*nothing.values()]).all()
    with pytest.raises(ValueError, match=r"the mask must be \(1, 4\)"):
        FlowOutliersMetric.from_batch(flow, target, mask[0])
