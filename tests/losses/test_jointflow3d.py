"""`jointflow3d_loss`, compared with NumPy and values computed by hand."""

import jax
import numpy as np
import pytest

from afn_jax.losses import jointflow3d_loss
from tests import references

LOSS = jax.jit(
    jax.value_and_grad(jointflow3d_loss, argnums=(0, 4), has_aux=True),
    static_argnames=("p", "epsilon"),
)
NAMES = ("cross_entropy", "photometric", "smooth")
LOGITS, LABELS = np.zeros((1, 4), np.float32), np.array([0])


def test_flow_in_double_precision_is_not_rounded(float64):
    """Finite differences with respect to float64 flow need this while frames are float32."""
    frames = np.random.default_rng(0).random((2, 1, 2, 4, 5, 1)).astype(np.float32)
    flow = np.full((1, 2, 4, 5, 2), 0.1)
    mixed, exact = (
        LOSS(LOGITS, LABELS, *frames.astype(dtype), flow)[0] for dtype in (np.float32, np.float64)
    )
    assert mixed[0] == exact[0] and mixed[0].dtype == "float64"


@pytest.mark.parametrize(
    "size, options",
    [
        ((4, 5), {}),
        ((4, 5), dict(p=1.0, epsilon=0.5)),
        ((1, 1), {}),
        ((1, 6), {}),
        ((5, 1), {}),
    ],
)
def test_values_match_numpy(size, options, float64):
    """The reference is Eq. 1 and 2 with exponent 1 / p, and the cross-entropy."""
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(2, 4)), random.integers(4, size=2)
    previous, current = random.random((2, 2, 3, *size, 1))
    flows = 1.5 * random.normal(size=(2, 3, *size, 2))
    (loss, terms), _ = LOSS(logits, labels, previous, current, flows, **options)
    alpha, epsilon = 1 / options.get("p", 2.5), options.get("epsilon", 1e-3)
    pairs = np.ndindex(2, 3)
    warped = np.reshape([references.warp(current[i], flows[i]) for i in pairs], previous.shape)
    expected = [
        references.mean_cross_entropy(logits, labels),
        np.mean(references.penalty(previous - warped, alpha, epsilon)),
        references.smoothness(flows, alpha=alpha, epsilon=epsilon),
    ]
    assert set(terms) == set(NAMES)
    np.testing.assert_allclose([terms[name] for name in NAMES], expected, rtol=1e-12)
    np.testing.assert_allclose(loss, np.sum(expected), rtol=1e-12)


def test_equation_3_matches_values_computed_by_hand():
    """Equal logits give log 4, frames that differ by 3 give sqrt(9 + 16), and flow is a ramp."""
    previous = np.zeros((1, 1, 4, 5, 1), np.float32)
    flows = np.zeros((1, 1, 4, 5, 2), np.float32)
    flows[..., 0] = 3 * np.arange(5)
    weights = dict(alpha_action=0.5, alpha_photometric=10.0, alpha_smooth=100.0)
    (loss, terms), _ = LOSS(
        LOGITS, LABELS, previous, previous + 3, flows, p=2.0, epsilon=4.0, **weights
    )
    expected = [np.log(4), 5, 5 + 4 + 4 + 4]
    np.testing.assert_allclose([terms[name] for name in NAMES], expected, rtol=1e-6)
    np.testing.assert_allclose(loss, 0.5 * np.log(4) + 10 * 5 + 100 * 17, rtol=1e-6)


def test_true_flow_reconstructs_the_previous_frame():
    for shift in ((2, 1), (-1, 2), (0, -3)):
        previous, current = references.moving_texture(shift, size=16)[:, None, None, ..., :1]
        true = np.broadcast_to(np.array(shift, np.float32), (1, 1, 16, 16, 2))
        (_, terms), _ = LOSS(LOGITS, LABELS, previous, current, true)
        for wrong in (0 * true, -true):
            (_, wrong_terms), _ = LOSS(LOGITS, LABELS, previous, current, wrong)
            assert terms["photometric"] < 0.7 * wrong_terms["photometric"]
        # Pixels that stay inside agree up to epsilon; the others differ by at most 1.
        inside = (16 - abs(shift[0])) * (16 - abs(shift[1])) / 16**2
        assert terms["photometric"] < 1e-3**0.8 * inside + (1 - inside)


def test_zero_flow_is_optimal_for_a_static_scene():
    previous = np.random.default_rng(0).random((1, 1, 16, 16, 1)).astype(np.float32)
    flows = np.zeros((1, 1, 16, 16, 2), np.float32)
    (_, terms), (_, gradient) = LOSS(LOGITS, LABELS, previous, previous, flows)
    np.testing.assert_allclose(terms["photometric"], 1e-3**0.8, rtol=1e-5)
    np.testing.assert_allclose(terms["smooth"], 4 * 1e-3**0.8, rtol=1e-5)
    np.testing.assert_array_equal(gradient, np.zeros_like(flows))
