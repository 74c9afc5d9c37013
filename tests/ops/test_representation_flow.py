"""`representation_flow`, compared with Algorithm 1 in NumPy, channel by channel."""

import dataclasses
import functools
import importlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from scipy.signal import convolve2d

from afn_jax.ops import RepresentationFlowParams, initial_params, representation_flow
from afn_jax.ops.backend import tracing_for

# In the package, the function shadows the module of the same name.
MODULE = importlib.import_module("afn_jax.ops.representation_flow")

KERNELS = ("tvl1", "sobel")
REMAT = ("none", "iteration", "all")
LEAVES = tuple(field.name for field in dataclasses.fields(RepresentationFlowParams))
# The kernels as printed in Eq. 8, for a true convolution.
SOBEL_X = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
SOBEL_Y = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])
SHAPE = (5, 6, 2)
NARROW_SHAPES = ((1, 5, 1), (5, 1, 1), (1, 1, 1))

compiled = jax.jit(representation_flow, static_argnames=("num_iterations", "kernels", "remat"))


def padded(x, axis, before, after, mode):
    widths = [(before, after) if i == axis else (0, 0) for i in range(2)]
    return np.pad(x, widths, mode=mode)


def central_differences(x):
    wide, high = padded(x, 1, 1, 1, "edge"), padded(x, 0, 1, 1, "edge")
    return (wide[:, 2:] - wide[:, :-2]) / 2, (high[2:] - high[:-2]) / 2


def forward_differences(x):
    # The last pixel is repeated, so its difference is 0.
    wide, high = padded(x, 1, 0, 1, "edge"), padded(x, 0, 0, 1, "edge")
    return wide[:, 1:] - wide[:, :-1], high[1:] - high[:-1]


def sobel(x):
    edges = np.pad(x, 1, mode="edge")
    return convolve2d(edges, SOBEL_X, "valid"), convolve2d(edges, SOBEL_Y, "valid")


def divergence(p):
    wide, high = padded(p[0], 1, 1, 0, "constant"), padded(p[1], 0, 1, 0, "constant")
    return (wide[:, 1:] - wide[:, :-1]) + (high[1:] - high[:-1])


def flow_of_one_channel(f1, f2, image_gradient, flow_gradient, divergence, n, tau, lam, theta):
    """Computes Algorithm 1 with Eq. 2-5 and the three cases of Eq. 3 as printed."""
    gradient = image_gradient(f2)
    squared = gradient[0] ** 2 + gradient[1] ** 2
    flat = squared == 0
    c = f2 - f1
    u = [np.zeros_like(c), np.zeros_like(c)]
    p = [[np.zeros_like(c), np.zeros_like(c)] for _ in range(2)]
    for _ in range(n):
        rho = c + gradient[0] * u[0] + gradient[1] * u[1]
        low, high = rho < -lam * theta * squared, rho > lam * theta * squared
        for d in range(2):
            between = u[d] - rho * gradient[d] / np.where(flat, 1, squared)
            v = np.where(low, u[d] + lam * theta * gradient[d], between)
            v = np.where(high, u[d] - lam * theta * gradient[d], v)
            u[d] = v + theta * divergence(p[d])
        for d in range(2):
            slope = flow_gradient(u[d])
            length = np.sqrt(slope[0] ** 2 + slope[1] ** 2)
            p[d] = [(p[d][e] + tau / theta * slope[e]) / (1 + tau / theta * length) for e in (0, 1)]
    return np.stack(u, axis=-1)


FIXED = {
    "tvl1": (central_differences, forward_differences, divergence),
    "sobel": (sobel, sobel, divergence),
}


def flow_by_loops(features1, features2, stencils, n, tau=0.25, lam=0.15, theta=0.3):
    features1, features2 = (np.asarray(x, np.float64) for x in (features1, features2))
    flow = np.zeros((*features1.shape, 2))
    for index in np.ndindex(features1.shape[:-3]):
        for channel in range(features1.shape[-1]):
            flow[index][:, :, channel] = flow_of_one_channel(
                features1[index][..., channel],
                features2[index][..., channel],
                *stencils,
                n,
                tau,
                lam,
                theta,
            )
    return flow


def smooth_noise(shape):
    """Returns features in about [0, 255] with gradients of all magnitudes."""
    random = np.random.default_rng(0)
    height, width = shape[-3:-1]
    rows, columns = np.indices((height, width))[..., None]
    phase, speed = random.uniform(0, 6, shape[:-3] + (1, 1, shape[-1])), random.uniform(0.3, 1)
    wave = np.sin(speed * columns + 0.7 * rows + phase)
    return 127 + 100 * wave + random.normal(scale=5, size=shape)


def example(shape=SHAPE, dtype=np.float64):
    return tuple(smooth_noise((2, *shape)).astype(dtype))


def blob(x, y, size=32, sigma=4.0):
    rows, columns = np.indices((size, size))
    distance = (columns - x) ** 2 + (rows - y) ** 2
    return (255 * np.exp(-distance / (2 * sigma**2)))[..., None].astype(np.float32)


def moved_blob(x_shift, y_shift):
    center = 15.5
    return (
        blob(center - x_shift / 2, center - y_shift / 2),
        blob(center + x_shift / 2, center + y_shift / 2),
    )


def mean_flow_at_edges(first, flow):
    """Averages flow with the squared image gradient as weight, because only edges show motion."""
    slopes = np.gradient(first[..., 0])
    weight = (slopes[0] ** 2 + slopes[1] ** 2)[..., None]
    return np.sum(weight * np.asarray(flow[..., 0, :]), axis=(0, 1)) / np.sum(weight)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    "shape, n", [(SHAPE, 1), (SHAPE, 20), *((narrow, 4) for narrow in NARROW_SHAPES)]
)
def test_values_match_algorithm_1(kernels, shape, n, float64):
    features = example(shape)
    flow = compiled(*features, num_iterations=n, kernels=kernels)
    expected = flow_by_loops(*features, FIXED[kernels], n)
    np.testing.assert_allclose(flow, expected, rtol=1e-5, atol=1e-8)


def learned_params(kernels):
    """Returns parameters that all differ from the initial ones, with asymmetric kernels."""
    random = np.random.default_rng(5)
    changed = {"tau": 0.2, "lam": 0.21, "theta": 0.35}
    initial = initial_params(kernels)
    for name in ("divergence", "image_gradient", "flow_gradient"):
        kernel = np.asarray(getattr(initial, name), np.float64)
        changed[name] = kernel + random.uniform(-0.2, 0.2, kernel.shape)
    return RepresentationFlowParams(**{k: jnp.asarray(v) for k, v in changed.items()})


def learned_stencils(params, kernels):
    """Returns the stencils that the docstrings of the parameters describe, using SciPy."""
    image, flow, div = (
        np.asarray(k) for k in (params.image_gradient, params.flow_gradient, params.divergence)
    )
    if kernels == "sobel":

        def image_gradient(x):
            return tuple(ndimage.correlate(x, kernel, mode="nearest") for kernel in image)

        def flow_gradient(x):
            return tuple(ndimage.correlate(x, kernel, mode="nearest") for kernel in flow)

    else:

        def image_gradient(x):
            return tuple(
                ndimage.correlate1d(x, kernel, axis, mode="nearest")
                for kernel, axis in zip(image, (1, 0), strict=True)
            )

        def flow_gradient(x):
            along_x = ndimage.correlate1d(x, [0, *flow[0]], 1, mode="nearest")
            along_y = ndimage.correlate1d(x, [0, *flow[1]], 0, mode="nearest")
            along_x[:, -1], along_y[-1] = 0, 0
            return along_x, along_y

    def divergence(p):
        along_x = ndimage.correlate1d(p[0], [*div[0], 0], 1, mode="constant")
        return along_x + ndimage.correlate1d(p[1], [*div[1], 0], 0, mode="constant")

    return image_gradient, flow_gradient, divergence


@pytest.mark.parametrize("kernels", KERNELS)
def test_learned_parameters_match_their_documented_meaning(kernels, float64):
    features, params = example(), learned_params(kernels)
    flow = compiled(*features, params, num_iterations=5, kernels=kernels)
    stencils = learned_stencils(params, kernels)
    expected = flow_by_loops(*features, stencils, 5, params.tau, params.lam, params.theta)
    np.testing.assert_allclose(flow, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kernels", KERNELS)
def test_initial_parameters_are_the_defaults(kernels, float64):
    features = example()
    expected = compiled(*features, num_iterations=5, kernels=kernels)
    flow = compiled(*features, initial_params(kernels), num_iterations=5, kernels=kernels)
    # The defaults are the same numbers rounded to float32.
    np.testing.assert_allclose(flow, expected, rtol=1e-5, atol=1e-6)


def test_mean_flow_of_a_moved_blob_is_its_motion():
    for shift in ((0.6, 0), (0, -0.6), (0.4, -0.3)):
        first, second = moved_blob(*shift)
        flow = compiled(first, second)
        # After twenty iterations the mean has converged, but single pixels have not.
        np.testing.assert_allclose(mean_flow_at_edges(first, flow), shift, atol=0.06)


def test_flow_converges_to_the_motion_at_every_pixel_of_the_blob():
    first, second = moved_blob(0.6, 0)
    flow = np.asarray(compiled(first, second, num_iterations=500)[..., 0, :])
    on_blob = first[..., 0] > 0.3 * 255
    assert 100 < np.sum(on_blob)
    np.testing.assert_allclose(flow[on_blob, 0], 0.6, atol=0.06)
    np.testing.assert_allclose(flow[on_blob, 1], 0, atol=0.06)


def test_sobel_flow_underestimates_the_motion_of_a_blob():
    first, second = moved_blob(0.6, 0)
    flow = compiled(first, second, kernels="sobel")
    x, y = mean_flow_at_edges(first, flow)
    assert abs(x) < 0.15 and abs(y) < 0.06


def test_channels_are_independent(float64):
    features1, features2 = example((5, 6, 3))
    flow = compiled(features1, features2, num_iterations=5)
    features1[..., 0], features2[..., 0] = 0, 255
    changed = compiled(features1, features2, num_iterations=5)
    np.testing.assert_array_equal(changed[..., 1:, :], flow[..., 1:, :])
    order = [2, 0, 1]
    permuted = compiled(features1[..., order], features2[..., order], num_iterations=5)
    np.testing.assert_allclose(permuted, changed[..., order, :], atol=1e-12)


def test_empty_features_give_empty_flow():
    for shape in ((4, 5, 0), (0, 5, 2), (2, 4, 0, 3)):
        empty = np.zeros(shape, np.float32)
        assert representation_flow(empty, empty).shape == (*shape, 2)


@pytest.mark.slow
@pytest.mark.parametrize("maps_a_chunk", [0, 3, 100])
def test_chunks_of_maps_change_neither_values_nor_gradients(maps_a_chunk, monkeypatch, float64):
    features, params = example((7, 4, 5, 2)), learned_params("tvl1")
    monkeypatch.setattr(MODULE, "_CHUNK_BYTES", maps_a_chunk * 4 * 5 * 2 * 8)
    # A new function, because jit caches the program with the chunks of another test.
    chunked = jax.jit(lambda *args: flow_and_gradients.__wrapped__(*args, num_iterations=3))
    flow, (gradients, of_params) = chunked(features, params)
    alone = [
        flow_and_gradients(pair, params, num_iterations=3, first_weight=i * flow[0].size)
        for i, pair in enumerate(zip(*features, strict=True))
    ]
    for i, (one_flow, (one_gradients, _)) in enumerate(alone):
        one = (flow[i], [gradient[i] for gradient in gradients])
        compare_trees(one, (one_flow, list(one_gradients)), rtol=1e-9)
    total = jax.tree.map(lambda *leaves: sum(leaves), *(of for _, (_, of) in alone))
    compare_trees(of_params, total, rtol=1e-9)


def test_flow_without_chunks_as_on_accelerators_is_the_same(monkeypatch, float64):
    features = example((3, 4, 5, 2))
    expected = compiled(*features, num_iterations=3)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    flow = jax.jit(lambda a, b: representation_flow(a, b, num_iterations=3))(*features)
    np.testing.assert_allclose(flow, expected, atol=1e-9)


def compare_trees(actual, expected, rtol):
    """Compares trees with a tolerance relative to the largest value of each leaf."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.max(np.abs(b))),
        actual,
        expected,
    )


@functools.partial(jax.jit, static_argnames=("num_iterations", "kernels", "remat"))
def flow_and_gradients(features, params, first_weight=0, **options):
    """Returns the flow, and the gradients of a sum with a different weight for each value."""

    def loss(features, params):
        flow = representation_flow(*features, params, **options)
        weights = jnp.sin(first_weight + jnp.arange(flow.size)).reshape(flow.shape)
        return jnp.sum(weights * flow), flow

    (_, flow), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(features, params)
    return flow, gradients


@pytest.mark.slow
@pytest.mark.parametrize("kernels", KERNELS)
def test_remat_does_not_change_gradients_and_all_parameters_get_gradients(kernels, float64):
    features, params = example(), learned_params(kernels)
    results = [
        flow_and_gradients(features, params, num_iterations=5, kernels=kernels, remat=remat)
        for remat in REMAT
    ]
    for result in results[1:]:
        compare_trees(result, results[0], rtol=1e-9)
    _, (_, gradients) = results[0]
    for name in LEAVES:
        gradient, leaf = getattr(gradients, name), getattr(params, name)
        assert gradient.shape == leaf.shape
        # Each tap of the kernels too.
        assert np.all(np.isfinite(gradient)) and np.all(gradient != 0), name


@pytest.mark.slow
def test_chunks_on_accelerators_change_no_gradients(monkeypatch, float64):
    features = jax.random.normal(jax.random.key(0), (2, 6, 4, 5, 2), jnp.float64) * 9
    params = learned_params("tvl1")

    def run():
        def loss(params, first, second):
            flow = representation_flow(first, second, params, num_iterations=2)
            return jnp.sum(jnp.sin(flow))

        gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
        with tracing_for("cuda"):
            traced = gradients.trace(params, *features)
        return traced.lower().compile()(params, *features), str(traced.jaxpr)

    expected, at_once = run()
    module = importlib.import_module("afn_jax.ops.representation_flow")
    monkeypatch.setattr(module, "_ACCELERATOR_CHUNK_BYTES", 4 * (4 * 5 * 2 * 8))
    found, in_chunks = run()
    assert "f64[2,3,4,5,2]" in in_chunks and "f64[2,3,4,5,2]" not in at_once
    compare_trees(found, expected, rtol=1e-9)


def test_parameters_that_are_none_stay_fixed(float64):
    features, params = example(), RepresentationFlowParams(lam=None, theta=None)
    flow, (_, gradients) = flow_and_gradients(features, params, num_iterations=5)
    assert len(jax.tree.leaves(gradients)) == 1 and gradients.tau != 0
    expected = compiled(*features, num_iterations=5)
    np.testing.assert_allclose(flow, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shape", (SHAPE, (1, 1, 1)))
def test_features_without_motion_or_texture_have_zero_flow_and_finite_gradients(
    kernels, shape, float64
):
    constant, (noise, _) = np.full(shape, 100.0), example(shape)
    for first, second in ((constant, constant), (constant, constant + 7), (noise, noise)):
        flow, gradients = flow_and_gradients(
            (first, second), initial_params(kernels), num_iterations=5, kernels=kernels
        )
        np.testing.assert_array_equal(flow, 0)
        chex.assert_tree_all_finite(gradients)


@pytest.mark.parametrize("remat", REMAT)
def test_zero_iterations_give_zero_flow_and_gradients(remat):
    features = example()
    flow, gradients = flow_and_gradients(features, initial_params(), num_iterations=0, remat=remat)
    np.testing.assert_array_equal(flow, np.zeros((*SHAPE, 2)))
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(gradients))
