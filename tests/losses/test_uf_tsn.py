"""`uf_tsn_loss`, compared with loops over pixels and tested on moving textures."""

import jax
import numpy as np
import pytest

from afn_jax.losses import uf_tsn_loss
from tests import references

LOSS = jax.jit(uf_tsn_loss, static_argnames="level_weights")
DIFFERENTIATED = jax.jit(jax.value_and_grad(uf_tsn_loss, argnums=(0, 1, 2, 3), has_aux=True))
LAMBDAS = dict(lambda_diff=0.2, lambda_census=1.0, lambda_smooth=50.0)  # section 3.2
NAMES = ("diff", "census", "smooth")


def example(*leading, size=(9, 8)):
    random = np.random.default_rng(0)
    images = random.random((2, *leading, *size, 3))
    flows, backward_flows = (
        [1.5 * random.normal(size=(*leading, *level, 2)) for level in (size, (4, 5))]
        for _ in range(2)
    )
    return *images, flows, backward_flows


@pytest.mark.slow
def test_flow_in_double_precision_is_not_rounded(float64):
    image1, image2, flows, _ = example()
    image1, image2 = image1.astype(np.float32), image2.astype(np.float32)
    mixed, _ = uf_tsn_loss(image1, image2, flows)
    exact, _ = uf_tsn_loss(image1.astype(np.float64), image2.astype(np.float64), flows)
    assert mixed == exact and mixed.dtype == "float64"


def terms_by_loops(image1, image2, flows, level_weights=(1.0, 1.0), lambdas=LAMBDAS):
    """Computes the three weighted terms for pairs of images in one direction."""
    terms = np.zeros(3)
    for flow, weight in zip(flows, level_weights, strict=True):
        shape = (*flow.shape[:-1], 3)
        small1, small2 = (
            np.asarray(jax.image.resize(x, shape, "bilinear")) for x in (image1, image2)
        )
        warped = np.zeros(shape)
        for pair in np.ndindex(shape[:-3]):
            warped[pair] = references.warp(small2[pair], flow[pair])
        level = (
            np.mean(np.sum(np.abs(small1 - warped), axis=-1)),
            references.census(small1, warped),
            references.edge_aware_smoothness(flow / min(flow.shape[-3:-1]), small1),
        )
        terms += weight * np.multiply([*lambdas.values()], level)
    return terms


@pytest.mark.parametrize("leading, size", [((2, 2), (9, 8)), ((), (1, 6)), ((), (1, 1))])
def test_values_match_loops(leading, size, float64):
    image1, image2, flows, backward_flows = example(*leading, size=size)
    forward = terms_by_loops(image1, image2, flows)
    backward = terms_by_loops(image2, image1, backward_flows)
    for flows_back, expected in (((), forward), (backward_flows, (forward + backward) / 2)):
        loss, terms = LOSS(image1, image2, flows, flows_back)
        assert set(terms) == set(NAMES)
        np.testing.assert_allclose([terms[n] for n in NAMES], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(loss, expected.sum(), rtol=1e-9)


def test_lambdas_and_level_weights_multiply_the_terms(float64):
    image1, image2, flows, _ = example()
    lambdas, weights = dict(zip(LAMBDAS, (3.0, 5.0, 7.0), strict=True)), (0.5, 2.0)
    expected = terms_by_loops(image1, image2, flows, weights, lambdas)
    _, terms = LOSS(image1, image2, flows, (), level_weights=weights, **lambdas)
    np.testing.assert_allclose([terms[name] for name in NAMES], expected, rtol=1e-9)


def test_smoothness_acts_on_flow_in_units_of_the_smaller_side():
    """The image is constant; x grows by 0.3 per column of a map of 6 rows and 9 columns."""
    image = np.full((6, 9, 3), 0.4, np.float32)
    flow = np.zeros((6, 9, 2), np.float32)
    flow[..., 0] = 0.3 * np.arange(9)
    for one, two in ((image, flow), (image.swapaxes(0, 1), flow.swapaxes(0, 1))):
        loss, terms = LOSS(one, one, [two])
        np.testing.assert_allclose(terms["smooth"], 50 * 0.3 / 6, rtol=1e-5)
        np.testing.assert_allclose(loss, terms["smooth"], rtol=1e-5)


@pytest.mark.parametrize("shift", [(2, 1), (-1, 3)])
def test_true_flow_of_a_moving_texture_has_the_lowest_loss(shift):
    image1, image2 = references.moving_texture(shift)
    true = np.broadcast_to(np.array(shift, np.float32), (20, 20, 2))
    (loss, true_terms), _ = DIFFERENTIATED(image1, image2, [true], [-true])
    for wrong in (0 * true, -true, true[..., ::-1]):
        (wrong_loss, terms), gradients = DIFFERENTIATED(image1, image2, [wrong], [-wrong])
        assert loss < 0.7 * wrong_loss
        assert true_terms["diff"] < terms["diff"] and true_terms["census"] < terms["census"]
        assert not np.any(gradients[0]) and not np.any(gradients[1])  # images are data
        assert np.any(gradients[2][0]) and np.any(gradients[3][0])


def test_zero_flow_is_optimal_for_a_static_scene(float64):
    image = references.moving_texture((0, 0))[0].astype(np.float64)
    rest = np.zeros((20, 20, 2))
    for still in (image, np.full_like(image, 0.7)):
        (loss, _), gradients = DIFFERENTIATED(still, still, [rest], [rest])
        np.testing.assert_allclose(loss, 0, atol=1e-12)
        for gradient in (*gradients[2], *gradients[3]):
            np.testing.assert_allclose(gradient, 0, atol=1e-12)
