"""TVNet: the unrolled solver compared with the ops, and its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from afn_jax.models.tvnet import TVNet, TVNetFlow
from afn_jax.ops import representation_flow

# The smoothing kernel in the authors' code.
SMOOTHING = [
    [0.000874, 0.006976, 0.01386, 0.006976, 0.000874],
    [0.006976, 0.0557, 0.110656, 0.0557, 0.006976],
    [0.01386, 0.110656, 0.219833, 0.110656, 0.01386],
    [0.006976, 0.0557, 0.110656, 0.0557, 0.006976],
    [0.000874, 0.006976, 0.01386, 0.006976, 0.000874],
]


def texture(height=40, width=48, seed=0):
    picture = np.random.default_rng(seed).random((height, width, 3))
    return ndimage.gaussian_filter(picture, (2, 2, 0), mode="wrap")


def prepared(first, second):
    """Converts to gray, scales jointly to [0, 255] and smooths, as in the authors' code."""
    gray = [frame @ np.array([0.299, 0.587, 0.114]) for frame in (first, second)]
    lowest, highest = np.min(gray), np.max(gray)
    scaled = [255 * (x - lowest) / (highest - lowest) for x in gray]
    return [ndimage.correlate(x, np.array(SMOOTHING), mode="nearest") for x in scaled]


def pair(frame1, frame2):
    return tuple(jnp.asarray(frame[None], jnp.float32) for frame in (frame1, frame2))


def test_untrained_network_matches_tvl1_on_prepared_frames():
    first, second = texture(), np.roll(texture(), (0, 1), (0, 1))
    model = TVNetFlow(num_iterations=20)
    flow, _ = jax.jit(model.init_with_output)(jax.random.key(0), *pair(first, second))
    gray = (jnp.asarray(x, jnp.float32)[..., None] for x in prepared(first, second))
    expected = representation_flow(*gray, num_iterations=20)[:, :, 0]
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(flow[0], expected, atol=2e-3)


@pytest.mark.slow
def test_more_scales_and_warps_measure_large_motion():
    first = texture(64, 64)
    second = np.roll(first, (2, -4), (0, 1))

    def error(**fields):
        model = TVNetFlow(num_iterations=20, **fields)
        flow, _ = jax.jit(model.init_with_output)(jax.random.key(0), *pair(first, second))
        inside = flow[0, 8:-8, 8:-8] - jnp.array([-4.0, 2.0]).reshape(1, 1, 2)
        return float(jnp.linalg.norm(inside, axis=-1).mean())

    assert error() > 2
    assert error(num_scales=3, num_warps=3) < 0.5


def test_each_iteration_and_component_has_separate_kernels():
    frames = pair(texture(16, 18), np.roll(texture(16, 18), (1, 1), (0, 1)))
    model = TVNetFlow(num_warps=2, num_iterations=3)
    variables = jax.jit(model.init)(jax.random.key(0), *frames)

    @jax.jit
    def gradients(params):
        def loss(params):
            flow = model.apply({"params": params}, *frames)
            return (flow * jax.random.normal(jax.random.key(1), flow.shape)).sum()

        return jax.grad(loss)(params)

    found = jax.tree.map(np.asarray, gradients(variables["params"]))
    assert found["divergence"].shape == found["flow_gradient"].shape == (1, 2, 3, 2, 2, 2)
    size = {name: np.abs(gradient) for name, gradient in found.items()}
    # The dual is 0 before the first iteration, and unused after the last.
    used = np.array([[False, True, True], [True, True, True]])
    np.testing.assert_array_equal(size["divergence"][0].min((-3, -2, -1)) > 0, used)
    np.testing.assert_array_equal(size["flow_gradient"][0].min((-3, -2, -1)) > 0, used[::-1, ::-1])
    halves = found["divergence"][..., 0, :, :], found["divergence"][..., 1, :, :]
    assert np.abs(halves[0] - halves[1]).max() > 0
    assert (size["start"] > 0).mean() > 0.9


def test_starts_from_the_learned_initial_flow():
    frames = pair(texture(20, 24), np.roll(texture(20, 24), 3, 1))
    model = TVNetFlow(num_iterations=20)
    variables = jax.jit(model.init)(jax.random.key(0), *frames)
    start = jnp.broadcast_to(jnp.array([3.0, 0.0]).reshape(1, 1, 2), (20, 24, 2))
    told = {"params": {**variables["params"], "start": start}}
    flows = map(jax.jit(lambda v: model.apply(v, *frames)), (variables, told))
    right = [np.abs(flow[0, 4:-4, 6:-6, 0] - 3).mean() for flow in flows]
    assert right[0] > 1 and right[1] < 0.2
    smaller = tuple(frame[:, :18] for frame in frames)
    with pytest.raises(ValueError, match="scale is 18x24, .* learned at 20x24. Use frames"):
        model.apply(variables, *smaller)
    free = TVNetFlow(num_iterations=20, learned_start=False)
    assert jax.eval_shape(free.apply, variables, *smaller).shape == (1, 18, 24, 2)


def test_constant_pair_has_zero_flow_and_finite_gradients():
    frames = (jnp.full((1, 8, 8, 3), 0.5),) * 2
    model = TVNetFlow(num_iterations=2, learned=("tau", "lam", "theta", "image_gradient"))
    variables = jax.jit(model.init)(jax.random.key(0), *frames)
    assert set(variables["params"]) == {"tau", "lam", "theta", "image_gradient", "start"}

    @jax.jit
    def flow_and_gradient(variables):
        flow, pullback = jax.vjp(lambda v: model.apply(v, *frames), variables)
        return flow, pullback(jnp.ones_like(flow))

    flow, gradient = flow_and_gradient(variables)
    np.testing.assert_allclose(flow, 0, atol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def shapes(model, *clip):
    frames = jax.ShapeDtypeStruct(clip, jnp.float32)
    return jax.eval_shape(
        lambda frames: model.init_with_output(jax.random.key(0), frames, train=False), frames
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(num_frames=1), "num_frames: got 1, but this model needs 2"),
        (dict(num_frames=5), "got 4 frames per clip, but .* num_frames=5"),
        (dict(backbone="inception"), "backbone: got 'inception'; allowed: 'vgg16'"),
        (dict(num_warps=0), "num_warps: got 0; allowed: 1"),
        (dict(learned=("u0", "tau")), "learned: got 'u0'; allowed: 'tau'"),
    ],
)
def test_rejects_bad_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        shapes(TVNet(2, **dict(num_frames=4) | fields), 1, 4, 32, 32, 3)
