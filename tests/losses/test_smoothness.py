"""`smoothness_loss` and `edge_aware_smoothness_loss`: NumPy references and hand-computed values."""

import jax
import numpy as np
import pytest

from afn_jax.losses import edge_aware_smoothness_loss, smoothness_loss
from tests import references

SMOOTH = jax.jit(jax.value_and_grad(smoothness_loss), static_argnames=("alpha", "epsilon"))
EDGE_AWARE = jax.jit(
    jax.value_and_grad(edge_aware_smoothness_loss, argnums=(0, 1)), static_argnames="edge_weight"
)


def example(*shape, channels=3):
    random = np.random.default_rng(0)
    return 2 * random.normal(size=(*shape, 2)), random.random((*shape, channels))


@pytest.mark.parametrize(
    "shape, channels",
    [((2, 4, 5), 3), ((4, 5), 1), ((4, 5), 5), ((1, 1), 3), ((1, 6), 3), ((6, 1), 3)],
)
def test_values_match_numpy(shape, channels, float64):
    flow, image = example(*shape, channels=channels)
    for mask in (None, np.random.default_rng(1).random(shape) < 0.7):
        expected = references.smoothness(flow, mask)
        np.testing.assert_allclose(SMOOTH(flow, mask=mask)[0], expected, rtol=1e-12)
        expected = references.edge_aware_smoothness(flow, image, mask)
        np.testing.assert_allclose(EDGE_AWARE(flow, image, mask=mask)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "alpha, epsilon, edge_weight", [(0.3, 1e-3, 1.0), (0.5, 0.1, 0.0), (1.0, 2.0, 10.0)]
)
def test_constants_match_numpy(alpha, epsilon, edge_weight, float64):
    flow, image = example(2, 4, 5)
    loss, _ = SMOOTH(flow, alpha=alpha, epsilon=epsilon)
    expected = references.smoothness(flow, alpha=alpha, epsilon=epsilon)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    loss, _ = EDGE_AWARE(flow, image, edge_weight=edge_weight)
    expected = references.edge_aware_smoothness(flow, image, edge_weight=edge_weight)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize("size, directions", [((4, 5), 2), ((1, 6), 1), ((6, 1), 1), ((1, 1), 0)])
def test_constant_flow_has_the_smallest_penalty_and_zero_gradient(size, directions, float64):
    """Each direction and component adds epsilon ** (2 alpha); the edge-aware loss is zero."""
    _, image = example(*size)
    for value in (0.0, 3.0, -7.5):
        flow = np.full((*size, 2), value)
        loss, gradient = SMOOTH(flow)
        np.testing.assert_allclose(loss, 2 * directions * 1e-3**0.6, rtol=1e-12)
        edge_aware_loss, gradients = EDGE_AWARE(flow, image)
        assert edge_aware_loss == 0
        assert not any(np.any(each) for each in (gradient, *gradients))


def test_ramp_matches_values_computed_by_hand():
    """x grows by 3 per column and y by 4 per row; with epsilon 4, sqrt(9 + 16) = 5."""
    rows, columns = np.indices((4, 5))
    flow = np.stack([3 * columns, 4 * rows], axis=-1).astype(np.float32)
    loss, _ = SMOOTH(flow, alpha=0.5, epsilon=4.0)
    # To the right 5 and 4, downward 4 and sqrt(16 + 16).
    np.testing.assert_allclose(loss, 5 + 4 + 4 + 32**0.5, rtol=1e-6)
    flat = np.full((4, 5, 3), 0.4, np.float32)
    np.testing.assert_allclose(EDGE_AWARE(flow, flat)[0], 3 + 4, rtol=1e-6)


def test_edges_of_the_image_reduce_the_penalty_on_edges_of_the_flow():
    """Where both flow and image have an edge, the penalty is multiplied by exp(-image edge)."""
    flow = np.zeros((4, 5, 2), np.float32)
    flow[:, 3:] = [5, -2]
    image = np.zeros((4, 5, 3), np.float32)
    flat, _ = EDGE_AWARE(flow, image)
    np.testing.assert_allclose(flat, 7 / 4, rtol=1e-6)  # one of four differences per row
    image[:, 3:] = [0.5, -0.2, 0.1]
    np.testing.assert_allclose(EDGE_AWARE(flow, image)[0], 7 / 4 * np.exp(-0.8), rtol=1e-6)
    elsewhere, _ = EDGE_AWARE(flow, np.roll(image, 1, axis=1))
    np.testing.assert_allclose(elsewhere, flat, rtol=1e-6)
    # An edge reduces the penalty only in its own direction.
    downward = np.zeros((4, 5, 2), np.float32)
    downward[2:] = 1
    np.testing.assert_allclose(EDGE_AWARE(downward, image)[0], 2 / 3, rtol=1e-6)


def test_masks_without_neighboring_pixels_give_zero(float64):
    flow, image = example(4, 5)
    checkerboard = np.indices((4, 5)).sum(0) % 2 == 0
    for loss, gradients in (
        SMOOTH(flow, mask=checkerboard),
        EDGE_AWARE(flow, image, mask=checkerboard),
    ):
        assert loss == 0
        assert not any(np.any(gradient) for gradient in gradients)
