"""`ssim` and `ssim_loss`, against loops over patches and against scikit-image."""

import inspect
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from skimage.metrics import structural_similarity

from afn_jax.losses import ssim, ssim_loss

WINDOWS = ("uniform", "gaussian")
EDGES = ("inside", "partial")
SHAPES = [(9, 11, 2), (1, 1, 1), (1, 12, 3), (12, 1, 1), (7, 8, 1)]
LOSS = {
    (window, edge): jax.jit(partial(ssim_loss, window=window, edge=edge))
    for window in WINDOWS
    for edge in EDGES
}
DIFFERENTIATED = {key: jax.jit(jax.value_and_grad(loss, (0, 1))) for key, loss in LOSS.items()}
OPTIONS = sorted(LOSS)


def example(shape, dtype=np.float32, seed=0):
    """Two images that are alike, so that the covariance is not small."""
    random = np.random.default_rng(seed)
    image = random.random(shape)
    return image.astype(dtype), (0.7 * image + 0.3 * random.random(shape)).astype(dtype)


def patch_starts(size, window_size, stride, edge):
    starts = [0]
    while starts[-1] + stride + window_size <= size:
        starts.append(starts[-1] + stride)
    if edge == "partial" and starts[-1] + window_size < size:
        starts.append(starts[-1] + stride)
    return starts


def weights_by_hand(window_size, window):
    if window == "uniform":
        return [1 / window_size] * window_size
    sigma = window_size / 6
    weights = [math.exp(-0.5 * ((i - window_size / 2) / sigma) ** 2) for i in range(window_size)]
    return [weight / math.fsum(weights) for weight in weights]


def ssim_of_patch(a, b, weights, c1, c2):
    mean_a, mean_b = np.sum(weights * a), np.sum(weights * b)
    variance_a = np.sum(weights * a * a) - mean_a**2
    variance_b = np.sum(weights * b * b) - mean_b**2
    covariance = np.sum(weights * a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)


def ssim_by_loops(
    image1, image2, window_size=8, stride=8, c1=1e-4, c2=1e-3, window="uniform", edge="inside"
):
    """Patch by patch and channel by channel, in float64."""
    height, width, channels = image1.shape
    sides = [min(window_size, n) if edge == "inside" else window_size for n in (height, width)]
    rows = patch_starts(height, sides[0], stride, edge)
    columns = patch_starts(width, sides[1], stride, edge)
    similarity = np.zeros((len(rows), len(columns), channels))
    weights = np.outer(weights_by_hand(sides[0], window), weights_by_hand(sides[1], window))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            for channel in range(channels):
                a, b = (
                    image[top : top + sides[0], left : left + sides[1], channel].astype(np.float64)
                    for image in (image1, image2)
                )
                similarity[i, j, channel] = ssim_of_patch(
                    a, b, weights[: a.shape[0], : a.shape[1]], c1, c2
                )
    return similarity


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_those_of_loops(window, edge, shape, float64):
    image1, image2 = example(shape, np.float64)
    expected = ssim_by_loops(image1, image2, window=window, edge=edge)
    similarity = jax.jit(partial(ssim, window=window, edge=edge))(image1, image2)
    assert similarity.dtype == jnp.float64
    np.testing.assert_allclose(similarity, expected, rtol=1e-10)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    "window_size, stride, window",
    [(3, 1, "gaussian"), (4, 3, "uniform"), (1, 1, "gaussian"), (30, 4, "gaussian")],
)
def test_any_window_and_stride(edge, window_size, stride, window, float64):
    image1, image2 = example((10, 13, 1), np.float64)
    options = dict(window_size=window_size, stride=stride, window=window, edge=edge)
    expected = ssim_by_loops(image1, image2, **options)
    similarity = jax.jit(partial(ssim, **options))(image1, image2)
    np.testing.assert_allclose(similarity, expected, rtol=1e-9)


@pytest.mark.parametrize("c1, c2", [(1e-4, 1e-3), (0.01**2, 0.03**2), (2.0, 0.5)])
def test_it_agrees_with_scikit_image(c1, c2, float64):
    image1, image2 = example((12, 15, 2), np.float64)
    _, expected = structural_similarity(
        image1,
        image2,
        full=True,
        win_size=7,
        channel_axis=-1,
        use_sample_covariance=False,
        data_range=1.0,
        K1=math.sqrt(c1),
        K2=math.sqrt(c2),
    )
    similarity = ssim(image1, image2, window_size=7, stride=1, c1=c1, c2=c2)
    np.testing.assert_allclose(similarity, expected[3:-3, 3:-3], rtol=1e-9)


@pytest.mark.parametrize("window, edge", OPTIONS)
def test_the_loss_is_the_mean_of_one_minus_it_and_float32_is_close(window, edge):
    image1, image2 = example((9, 11, 2))
    expected = ssim_by_loops(image1, image2, window=window, edge=edge)
    # Variances are differences of means of squares: 1e-7 against c2.
    similarity = jax.jit(partial(ssim, window=window, edge=edge))(image1, image2)
    np.testing.assert_allclose(similarity, expected, atol=2e-4)
    loss = LOSS[window, edge](image1, image2)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, np.mean(1 - expected), atol=2e-4)


@pytest.mark.parametrize(
    "side, inside, partial_edge", [(112, 14, 14), (56, 7, 7), (28, 3, 4), (14, 1, 2), (7, 1, 1)]
)
def test_number_of_patches(side, inside, partial_edge):
    image = jax.ShapeDtypeStruct((side, side, 3), jnp.float32)
    for edge, number in (("inside", inside), ("partial", partial_edge)):
        shape = jax.eval_shape(partial(ssim, edge=edge), image, image).shape
        assert shape == (number, number, 3)


def test_a_gaussian_has_a_sixth_of_the_window_as_deviation():
    """A single bright pixel shows its weight: the mean is `weight`, nothing else differs."""
    size = 8
    weights = np.exp(-0.5 * ((np.arange(size) - 4) / (8 / 6)) ** 2)
    weights /= weights.sum()
    dark = np.zeros((1, size, 1), np.float32)
    for column in range(size):
        image = dark.copy()
        image[0, column] = 1
        # With c2 out of reach, (c1) / (mean**2 + c1) remains.
        similarity = ssim(image, dark, window="gaussian", c1=1e-2, c2=1e30)
        mean = np.sqrt(1e-2 * (1 / float(similarity[0, 0, 0]) - 1))
        np.testing.assert_allclose(mean, weights[column], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("window, edge", OPTIONS)
def test_identical_images_are_alike(window, edge):
    random = np.random.default_rng(0)
    similarity = jax.jit(partial(ssim, window=window, edge=edge))
    constants = np.linspace(0, 1, 50)[:, None, None, None]
    images = [
        constants + np.zeros((50, 9, 11, 1)),
        constants + 1e-3 * random.random((50, 9, 11, 1)),
        random.random((50, 9, 11, 1)),
    ]
    for image in images:
        image = image.astype(np.float32)
        np.testing.assert_allclose(similarity(image, image), 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 11, 2), (1, 1, 1)])
@pytest.mark.parametrize("window, edge", OPTIONS)
def test_identical_images_have_no_gradient(window, edge, shape, float64):
    for image in (example(shape, np.float64)[0], np.full(shape, 0.7)):
        loss, gradients = DIFFERENTIATED[window, edge](image, image)
        np.testing.assert_allclose(loss, 0, atol=1e-12)
        for gradient in gradients:
            np.testing.assert_allclose(gradient, 0, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 255.0, 1e8])
def test_it_lies_between_minus_one_and_one(scale):
    random = np.random.default_rng(0)
    similarity = jax.jit(ssim)
    constants = scale * np.linspace(-1, 1, 51)[:, None, None, None]
    noise = 1e-4 * random.normal(size=(2, 51, 16, 16, 1))
    image1, image2 = (constants * (1 + noise)).astype(np.float32)
    for other in (image1, image2, -image1, -image2):
        values = similarity(image1, other)
        assert np.all(np.abs(values) <= 1 + 1e-5)


def test_opposite_patches_have_opposite_structure():
    image = np.random.default_rng(0).random((8, 8, 1)).astype(np.float32)
    values = ssim(image, 1 - image, c1=1e30, c2=1e-6)
    np.testing.assert_allclose(values, -1, atol=1e-3)


@pytest.mark.parametrize("window, edge", [("uniform", "inside"), ("gaussian", "partial")])
def test_gradients_are_those_of_finite_differences(window, edge, float64):
    images = example((5, 4, 1), np.float64)
    options = dict(window_size=3, stride=2, window=window, edge=edge)
    check_grads(jax.jit(partial(ssim, **options)), images, order=1, modes=("fwd", "rev"))


def test_second_gradients_are_those_of_finite_differences(float64):
    image1, image2 = example((3, 2, 1), np.float64)
    check_grads(
        jax.jit(lambda image: ssim_loss(image, image2, window_size=2, stride=1, c2=1e-2)),
        (image1,),
        order=2,
        modes=("fwd", "rev"),
    )


@pytest.mark.parametrize("leading", [(), (3,), (2, 2), (0,)])
def test_leading_axes_are_batches(leading):
    image1, image2 = example((*leading, 9, 8, 2))
    similarity = jax.jit(ssim)(image1, image2)
    assert similarity.shape == (*leading, 1, 1, 2)
    for index in np.ndindex(leading):
        expected = ssim_by_loops(image1[index], image2[index])
        np.testing.assert_allclose(similarity[index], expected, atol=2e-4)
    if math.prod(leading):
        loss = jax.jit(ssim_loss)(image1, image2)
        np.testing.assert_allclose(loss, np.mean(1 - similarity), rtol=1e-5)


@pytest.mark.parametrize("transform", ["jit", "vmap"])
def test_works_under_transformations(transform):
    image1, image2 = example((2, 9, 11, 2))
    transformed = getattr(jax, transform)(ssim)(image1, image2)
    np.testing.assert_allclose(transformed, ssim(image1, image2), atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    image1, image2 = (jnp.asarray(image, dtype) for image in example((9, 11, 2)))
    similarity = ssim(image1, image2)
    assert similarity.dtype == ssim_loss(image1, image2).dtype == jnp.float32
    expected = ssim_by_loops(np.asarray(image1, np.float32), np.asarray(image2, np.float32))
    np.testing.assert_allclose(similarity, expected, atol=2e-4)


@pytest.mark.parametrize("window, edge", OPTIONS)
@pytest.mark.parametrize("value", [0.0, 1e-40, 1e4, 3e38, -3e38])
def test_nasty_images_stay_finite(window, edge, value):
    image, _ = example((9, 11, 1))
    nasty = np.full_like(image, value)
    mixed = np.resize(np.array([value, 0, -value, 0.5], np.float32), image.shape)
    for pair in ((image, nasty), (nasty, nasty), (nasty, -nasty), (mixed, image), (mixed, nasty)):
        loss, gradients = DIFFERENTIATED[window, edge](*pair)
        assert jnp.isfinite(loss)
        assert all(jnp.all(jnp.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(image1=np.zeros((4, 6, 3), np.float32)), r"shapes \(4, 6, 3\) and \(4, 5, 3\)"),
        (dict(image2=np.zeros((4, 5), np.float32)), r"same \[..., H, W, C\]"),
        (dict(image1=np.zeros((4, 5, 3), np.uint8)), "image1? has dtype uint8; .* / 255.0"),
        (dict(window_size=0), "window_size 0 and stride 8; all must be 1 or more"),
        (dict(stride=-1), "stride -1; all must be 1 or more"),
        (dict(c1=0.0), "c1 is 0.0 and c2 0.001; both must be above 0"),
        (dict(c2=-1.0), "c1 is 0.0001 and c2 -1.0"),
        (dict(c2=float("nan")), "both must be above 0"),
        (dict(window="box"), 'window is \'box\'; choose "uniform" or "gaussian"'),
        (dict(edge="same"), 'edge is \'same\'; choose "inside" or "partial"'),
    ],
)
def test_bad_input_is_named(change, message):
    image = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(ssim)(**(dict(image1=image, image2=image) | change))


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3)])
def test_an_empty_image_is_refused(shape):
    image = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=f"the image is {shape[0]} x {shape[1]}"):
        ssim_loss(image, image)
