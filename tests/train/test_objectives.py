import math

import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.types import Batch, Prediction
from train.objectives import create_objective, flow_mask

# Two examples of three classes, two frames of 2 x 2 pixels.
LOGITS = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], np.float32))
LABELS = np.array([1, 2], np.int32)


def batch(mask=(True, True), flow_mask=None, flows=True):
    target = np.zeros((2, 2, 2, 2, 2), np.float32)
    target[0, :, :, :] = (3, 4)  # 5 px long
    target[1, 0] = (0, 1)  # 1 px in the first frame, 0 in the second
    return Batch(
        frames=np.zeros((2, 2, 2, 2, 3), np.uint8),
        labels=LABELS,
        flows=target if flows else None,
        flow_mask=flow_mask,
        mask=np.array(mask),
    )


def prediction(flow=(0.0, 0.0), size=(2, 2)):
    flows = np.zeros((2, 2, *size, 2), np.float32)
    flows[:] = flow
    return Prediction(logits=LOGITS, flows=(jnp.asarray(flows),))


def numbers(terms):
    return {name: (float(term.sum), float(term.count)) for name, term in terms.items()}


def assert_terms(terms, expected):
    found = numbers(terms)
    assert set(found) == set(expected)
    for name in expected:
        assert found[name] == pytest.approx(expected[name], abs=1e-5), name


CROSS_ENTROPY = -math.log(0.25), -math.log(0.7)


def test_terms_of_action_and_flow():
    terms = create_objective(flow_weight=0.25)(prediction(flow=(3, 0)), batch())
    # Example 0: (3, 4) - (3, 0) = 4 px at 8 pixels. Example 1: sqrt(9 + 1) at 4, 3 at 4.
    epe = 8 * 4 + 4 * math.sqrt(10) + 4 * 3
    assert_terms(
        terms,
        {
            "cross_entropy": (sum(CROSS_ENTROPY), 2),
            "top1": (1, 2),
            "epe": (epe, 16),
            "zero_flow_epe": (8 * 5 + 4 * 1, 16),
        },
    )


def test_padding_does_not_count():
    terms = create_objective()(prediction(), batch(mask=(False, True)))
    assert_terms(
        terms,
        {
            "cross_entropy": (CROSS_ENTROPY[1], 1),
            "top1": (1, 1),
            "epe": (4, 8),
            "zero_flow_epe": (4, 8),
        },
    )


def test_combines_the_flow_mask_and_the_example_mask():
    trusted = np.zeros((2, 2, 2, 2), bool)
    trusted[0, 0, 0, 0] = trusted[1, 0, 1, 1] = trusted[1, 1] = True
    both = batch(mask=(True, False), flow_mask=trusted)
    assert int(flow_mask(both).sum()) == 1
    terms = create_objective()(prediction(), both)
    assert numbers(terms)["epe"][:2] == (5, 1)
    terms = create_objective()(prediction(), batch(flow_mask=trusted))
    assert numbers(terms)["epe"][:2] == (5 + 1, 6)


def test_untrusted_flow_may_have_any_value():
    trusted = np.ones((2, 2, 2, 2), bool)
    trusted[0] = False
    bad = batch(flow_mask=trusted)
    bad.flows[0] = np.nan
    assert numbers(create_objective(action=False)(prediction(), bad))["epe"][:2] == (4, 8)


def test_coarse_flow_is_compared_in_pixels_of_the_frames():
    # (1.5, 2) at 1 x 1 is (3, 4) at 2 x 2.
    terms = create_objective()(prediction(flow=(1.5, 2), size=(1, 1)), batch(mask=(True, False)))
    assert numbers(terms)["epe"][:2] == pytest.approx((0, 8), abs=1e-5)


def test_action_only():
    objective = create_objective("none", flow_weight=0.5)
    terms = objective(prediction(), batch())
    assert set(terms) == {"cross_entropy", "top1"}
    assert objective.weights == {"cross_entropy": 1}
    without_flow = objective(Prediction(logits=LOGITS, flows=()), batch(flows=False))
    assert numbers(without_flow) == numbers(terms)


def test_flow_only():
    objective = create_objective(action=False, flow_weight=0.5)
    terms = objective(Prediction(logits=None, flows=prediction().flows), batch())
    assert set(terms) == {"epe", "zero_flow_epe"}
    assert objective.weights == {"epe": 0.5}


def test_terms_are_zero_if_nothing_counts():
    terms = create_objective()(prediction(), batch(mask=(False, False)))
    assert {values[:2] for values in numbers(terms).values()} == {(0.0, 0.0)}


def test_weights_of_the_flow_loss():
    assert create_objective(flow_weight=0.25).weights == {"cross_entropy": 1.0, "epe": 0.25}


def test_rejects_an_unknown_flow_loss():
    message = "objective.flow: got 'multi-scale'. Did you mean multiscale"
    with pytest.raises(ValueError, match=message):
        create_objective("multi-scale")
