"""`uf_tsn_loss`, against loops over pixels, and on textures that move."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import uf_tsn_loss

LOSS = jax.jit(uf_tsn_loss)
DIFFERENTIATED = jax.jit(jax.value_and_grad(uf_tsn_loss, argnums=(0, 1, 2, 3), has_aux=True))
WEIGHTED = jax.jit(
    uf_tsn_loss,
    static_argnames=("lambda_diff", "lambda_census", "lambda_smooth", "level_weights"),
)
LAMBDAS = (0.2, 1.0, 50.0)  # section 3.2
NAMES = ("diff", "census", "smooth")


def example(*leading, size=(9, 8), sizes=((9, 8), (4, 5)), dtype=np.float32, seed=0):
    random = np.random.default_rng(seed)
    images = random.random((2, *leading, *size, 3)).astype(dtype)
    flows, backward_flows = (
        [(1.5 * random.normal(size=(*leading, *level, 2))).astype(dtype) for level in sizes]
        for _ in range(2)
    )
    return *images, flows, backward_flows


def warp_by_loops(image, flow):
    """One image, pixel by pixel; outside is the nearest pixel of the edge."""
    height, width = image.shape[:2]
    warped = np.zeros(image.shape)
    for row, column in np.ndindex(height, width):
        # The sample of a border that repeats is the sample at the nearest point inside.
        x = min(max(column + flow[row, column, 0], 0), width - 1)
        y = min(max(row + flow[row, column, 1], 0), height - 1)
        left, top = int(x), int(y)
        right, low = min(left + 1, width - 1), min(top + 1, height - 1)
        upper = (left + 1 - x) * image[top, left] + (x - left) * image[top, right]
        lower = (left + 1 - x) * image[low, left] + (x - left) * image[low, right]
        warped[row, column] = (top + 1 - y) * upper + (y - top) * lower
    return warped


def census_by_loops(image1, image2):
    """Mean distance of the soft census codes of 3 x 3 pixels."""
    greys = [255 * image @ np.array([0.299, 0.587, 0.114]) for image in (image1, image2)]
    distances = []
    for row in range(1, image1.shape[0] - 1):
        for column in range(1, image1.shape[1] - 1):
            codes = []
            for grey in greys:
                d = grey[row - 1 : row + 2, column - 1 : column + 2] - grey[row, column]
                codes.append(d / np.sqrt(0.81 + d**2))
            squared = (codes[0] - codes[1]) ** 2
            distances.append(np.mean(squared / (0.1 + squared)))
    return np.mean(distances) if distances else 0.0


def smoothness_by_loops(flow, image):
    total = 0.0
    for axis in (0, 1):
        edge = np.exp(-np.sum(np.abs(np.diff(image, axis=axis)), axis=-1))
        bend = np.sum(np.abs(np.diff(flow, axis=axis)), axis=-1)
        total += np.mean(bend * edge) if bend.size else 0.0
    return total


def terms_by_loops(image1, image2, flows, level_weights=None, lambdas=LAMBDAS):
    """One pair of images in one direction: the three weighted terms."""
    terms = np.zeros(3)
    for flow, weight in zip(flows, level_weights or [1] * len(flows), strict=True):
        flow = np.asarray(flow, np.float64)
        shape = (*flow.shape[:2], 3)
        small1, small2 = (
            np.asarray(jax.image.resize(image, shape, "bilinear"), np.float64)
            for image in (image1, image2)
        )
        warped = warp_by_loops(small2, flow)
        level = (
            np.mean(np.sum(np.abs(small1 - warped), axis=-1)),
            census_by_loops(small1, warped),
            smoothness_by_loops(flow / min(flow.shape[:2]), small1),
        )
        terms += weight * np.multiply(lambdas, level)
    return terms


@pytest.mark.parametrize("size", [(9, 8), (1, 6), (1, 1)])
def test_values_are_those_of_loops(size, float64):
    image1, image2, flows, _ = example(size=size, sizes=(size, (4, 5)), dtype=np.float64)
    loss, terms = LOSS(image1, image2, flows)
    expected = terms_by_loops(image1, image2, flows)
    assert loss.dtype == jnp.float64
    assert set(terms) == set(NAMES)
    for name, value in zip(NAMES, expected, strict=True):
        np.testing.assert_allclose(terms[name], value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-9)


@pytest.mark.parametrize("leading", [(), (2, 2)])
def test_leading_axes_and_directions_are_one_mean(leading):
    image1, image2, flows, backward_flows = example(*leading)
    (loss, terms), _ = DIFFERENTIATED(image1, image2, flows, backward_flows)
    expected = []
    for index in np.ndindex(leading):
        one, two = image1[index], image2[index]
        expected.append(terms_by_loops(one, two, [flow[index] for flow in flows]))
        expected.append(terms_by_loops(two, one, [flow[index] for flow in backward_flows]))
    expected = np.mean(expected, axis=0)
    np.testing.assert_allclose([terms[name] for name in NAMES], expected, rtol=1e-4)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-4)


def test_the_lambdas_and_level_weights_multiply():
    image1, image2, flows, backward_flows = example()
    lambdas, level_weights = (3.0, 5.0, 7.0), (0.5, 2.0)
    expected = terms_by_loops(image1, image2, flows, level_weights, lambdas)
    expected += terms_by_loops(image2, image1, backward_flows, level_weights, lambdas)
    weights = dict(zip(("lambda_diff", "lambda_census", "lambda_smooth"), lambdas, strict=True))
    _, terms = WEIGHTED(
        image1, image2, flows, backward_flows, level_weights=level_weights, **weights
    )
    np.testing.assert_allclose([terms[name] for name in NAMES], expected / 2, rtol=1e-4)


def test_without_jit_it_is_the_same():
    image1, image2, flows, _ = example(size=(4, 5), sizes=((4, 5),))
    loss, terms = uf_tsn_loss(image1, image2, flows)
    expected = terms_by_loops(image1, image2, flows)
    np.testing.assert_allclose([terms[name] for name in NAMES], expected, rtol=1e-4)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-4)


def test_lambda_3_acts_on_flow_in_units_of_the_smaller_side():
    """Nothing to see, and x that grows by .3 a column of a map 6 high and 9 wide."""
    image = np.full((6, 9, 3), 0.4, np.float32)
    flow = np.zeros((6, 9, 2), np.float32)
    flow[..., 0] = 0.3 * np.arange(9)
    for one, two in ((image, flow), (image.swapaxes(0, 1), flow.swapaxes(0, 1))):
        loss, terms = LOSS(one, one, [two])
        np.testing.assert_allclose(terms["smooth"], 50 * 0.3 / 6, rtol=1e-5)
        np.testing.assert_allclose(loss, terms["smooth"], rtol=1e-5)


def moving_texture(shift, size=20):
    """What is at p in the first image is at p + shift in the second."""
    texture = np.random.default_rng(0).random((size + 8, size + 8, 3)).astype(np.float32)
    texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1)) / 3
    x, y = shift
    second = texture[4 - y : 4 - y + size, 4 - x : 4 - x + size]
    return texture[4 : 4 + size, 4 : 4 + size], second


@pytest.mark.parametrize("shift", [(2, 1), (-1, 3)])
def test_the_true_flow_of_a_moving_texture_is_better_than_none(shift):
    image1, image2 = moving_texture(shift)
    true = np.broadcast_to(np.array(shift, np.float32), (20, 20, 2))
    loss, true_terms = LOSS(image1, image2, [true], [-true])
    for wrong in (0 * true, -true, true[..., ::-1]):
        wrong_loss, terms = LOSS(image1, image2, [wrong], [-wrong])
        assert loss < 0.7 * wrong_loss
        assert true_terms["diff"] < terms["diff"] and true_terms["census"] < terms["census"]


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_gradients_at_whole_pixels_are_finite_and_those_of_images_zero(value):
    image1, image2, flows, backward_flows = example()
    flows = [np.full_like(flow, value) for flow in flows]
    (loss, _), gradients = DIFFERENTIATED(image1, image2, flows, backward_flows)
    assert jnp.isfinite(loss)
    for gradient in gradients[:2]:
        np.testing.assert_array_equal(gradient, np.zeros_like(image1))
    for gradient in (*gradients[2], *gradients[3]):
        assert np.all(np.isfinite(gradient)) and np.any(gradient)


@pytest.mark.parametrize("constant", [False, True])
def test_a_scene_at_rest_asks_for_no_motion(constant):
    image, _, flows, _ = example()
    image = np.full_like(image, 0.7) if constant else image
    rest = [0 * flow for flow in flows]
    (loss, _), gradients = DIFFERENTIATED(image, image, rest, rest)
    np.testing.assert_allclose(loss, 0, atol=1e-5)
    for gradient in (*gradients[2], *gradients[3]):
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_a_map_of_one_pixel_has_a_finite_gradient():
    image1, image2, flows, backward_flows = example(size=(1, 1), sizes=((1, 1),))
    (loss, _), gradients = DIFFERENTIATED(image1, image2, flows, backward_flows)
    assert jnp.isfinite(loss)
    assert np.all(np.isfinite(gradients[2][0])) and np.all(np.isfinite(gradients[3][0]))


def test_gradients_are_those_of_finite_differences(float64):
    image1, image2, flows, _ = example(size=(4, 5), sizes=((4, 5),), dtype=np.float64)
    # Fractions far from the kinks of the interpolation.
    flow = np.floor(flows[0]) + 0.3 + 0.4 * (flows[0] - np.floor(flows[0]))
    # A census code turns within 1 of 255: a short step.
    check_grads(
        jax.jit(lambda flow: uf_tsn_loss(image1, image2, [flow])[0]),
        (flow,),
        order=1,
        modes=("fwd", "rev"),
        eps=1e-7,
        rtol=1e-4,
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    image1, image2, flows, _ = example(size=(5, 6), sizes=((5, 6),))
    image1, image2, flow = (jnp.asarray(x, dtype) for x in (image1, image2, flows[0]))
    loss, terms = LOSS(image1, image2, [flow])
    assert {loss.dtype, *(term.dtype for term in terms.values())} == {jnp.dtype(jnp.float32)}
    image1, image2, flow = (np.asarray(x, np.float32) for x in (image1, image2, flow))
    np.testing.assert_allclose(loss, terms_by_loops(image1, image2, [flow]).sum(), rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e8, 3e38, -3e38])
def test_nasty_images_and_flows_stay_finite(value):
    image1, image2, flows, _ = example()
    nasty = np.array([value, 0, -value, 0.5, value], np.float32)
    nasty_flows = [np.resize(nasty[:3], flow.shape) for flow in flows]
    nasty_image = np.full_like(image1, value)
    mixed_image = np.resize(nasty, image1.shape)
    images = (image1, image2), (image1, mixed_image), (nasty_image, mixed_image)
    for one, two in images:
        for levels in (flows, nasty_flows):
            (loss, terms), gradients = DIFFERENTIATED(one, two, levels, levels)
            assert jnp.isfinite(loss) and all(jnp.isfinite(term) for term in terms.values())
            for gradient in (*gradients[2], *gradients[3]):
                assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(image1=np.zeros((9, 7, 3), np.float32)), r"image1 has shape \(9, 7, 3\) and image2"),
        (dict(image2=np.zeros((9, 8, 1), np.float32)), r"must be the same \[..., H, W, 3\]"),
        (dict(flows=[]), "flows has 0 levels and backward_flows 2"),
        (dict(backward_flows=[np.zeros((9, 8, 2), np.float32)]), "2 levels and backward_flows 1"),
        (dict(level_weights=(1.0,)), "level_weights has 1 values and flows 2 levels"),
        (dict(flows=[np.zeros((9, 8, 3), np.float32)] * 2), r"a map of shape \(9, 8, 3\)"),
        (dict(flows=[np.zeros((2, 9, 8, 2), np.float32)] * 2), "the same leading axes"),
        (dict(backward_flows=[np.zeros((8, 2), np.float32)] * 2), r"\[..., h, w, 2\]"),
    ],
)
def test_bad_input_is_named(change, message):
    image1, image2, flows, backward_flows = example()
    arguments = dict(image1=image1, image2=image2, flows=flows, backward_flows=backward_flows)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(uf_tsn_loss)(**(arguments | change))


def test_grey_images_are_refused():
    grey = np.zeros((9, 8, 1), np.float32)
    with pytest.raises(ValueError, match=r"must be the same \[..., H, W, 3\]"):
        inspect.unwrap(uf_tsn_loss)(grey, grey, [np.zeros((9, 8, 2), np.float32)])
