"""The TV-L1 solver: known motion, real ground truth, energy, and tiny images."""

import functools

import chex
import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.data.files.flow import read_flo
from afn_jax.ops import TVL1Config, tvl1_flow

TINY = TVL1Config(num_scales=2, min_size=4, num_warps=1, num_iterations=2, median_size=3)


@functools.cache
def solver(config=TVL1Config()):  # noqa: B008, it is frozen
    return jax.jit(functools.partial(tvl1_flow, config=config))


def texture(size=(48, 64), shift=(0.0, 0.0), seed=0):
    """Returns a sum of waves `[H, W]` in [0, 1], moved by exactly `shift` (x, y) pixels."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices(size, float)
    total = np.zeros(size)
    for _ in range(20):
        x, y = random.uniform(-0.7, 0.7, 2)
        phase = random.uniform(0, 2 * np.pi)
        total += np.cos(x * (columns - shift[0]) + y * (rows - shift[1]) + phase)
    return (0.5 + total / 20).clip(0, 1).astype(np.float32)


def inner(flow, border=6):
    return np.asarray(flow)[..., border:-border, border:-border, :]


def test_flow_of_a_moved_texture_is_its_shift():
    for shift in ((0, 0), (1, 0), (0, -2), (3.4, 1.7), (-0.6, 0.3), (-3, 2.5)):
        flow = solver()(texture(), texture(shift=shift))
        np.testing.assert_allclose(np.median(inner(flow), (0, 1)), shift, atol=0.03)
        assert np.linalg.norm(inner(flow, 10) - np.array(shift), axis=-1).mean() < 0.1


def test_flow_of_a_rolled_image_is_the_integer_shift():
    first = texture()
    flow = np.rint(solver()(first, np.roll(first, (2, -3), (0, 1))))
    np.testing.assert_array_equal(inner(flow, 10), np.broadcast_to([-3, 2], (28, 44, 2)))


def test_flow_of_a_blob_moved_by_0_6_pixels():
    rows, columns = np.indices((48, 64), float)

    def blob(x, y):
        return np.exp(-((columns - 32 - x) ** 2 + (rows - 24 - y) ** 2) / (2 * 4**2))

    first = blob(0, 0)
    for motion in ((0.6, 0), (0, 0.6), (-0.6, 0), (0, -0.6)):
        flow = solver()(first.astype(np.float32), blob(*motion).astype(np.float32))
        # Only the blob has texture that shows the motion.
        measured = np.average(flow, axis=(0, 1), weights=np.repeat(first[..., None], 2, -1))
        np.testing.assert_allclose(measured, motion, atol=0.06)


def test_flow_of_a_moving_square_on_a_static_background():
    first, second = texture(), texture()
    square = texture((24, 24), seed=1)
    first[20:44, 20:44] = square
    second[20:44, 24:48] = square
    flow = np.asarray(solver()(first, second))
    np.testing.assert_allclose(np.median(flow[25:39, 25:39], (0, 1)), [4, 0], atol=0.1)
    np.testing.assert_allclose(np.median(flow[:14], (0, 1)), [0, 0], atol=0.02)


def test_equal_images_have_zero_flow():
    for constant in (0.0, 0.5, 1.0):
        image = np.full((48, 64), constant, np.float32)
        np.testing.assert_array_equal(solver()(image, image), 0)
    np.testing.assert_allclose(solver()(texture(), texture()), 0, atol=1e-5)


def test_energy_falls_at_a_fixed_linearization():
    """The energy of `u` may rise by up to 1e-3 of that of zero flow: the steps alternately minimize
    the joint energy of `u` and its copy `v`."""
    first, second = texture(), texture(shift=(0.5, -0.3))
    config = TVL1Config(num_scales=1, num_warps=1, num_iterations=200, median_size=1)
    flow, energy = jax.jit(lambda a, b: tvl1_flow(a, b, config, return_energy=True))(first, second)
    assert energy.shape == (1, 1, 200)
    np.testing.assert_allclose(flow, solver(config)(first, second), atol=1e-4)
    of_zero_flow = 0.15 * np.abs(255 * (second - first)).mean()
    energy = np.asarray(energy)[0, 0]
    assert energy[0] < of_zero_flow and energy[-1] < 0.3 * of_zero_flow
    assert np.diff(energy).max() < 1e-3 * of_zero_flow
    assert np.diff(energy[:120:10]).max() < 0


def test_energy_of_constant_images_matches_a_closed_form():
    """Constant images have no gradient: the flow stays zero and the energy is lam * difference."""
    first = np.full((16, 16), 0.5, np.float32)
    config = TVL1Config(num_scales=1, num_warps=1, num_iterations=2)
    flow, energy = tvl1_flow(first, first + np.float32(0.1), config, return_energy=True)
    np.testing.assert_array_equal(flow, 0)
    # 2e-6 is the epsilon under the two square roots.
    np.testing.assert_allclose(energy, 0.15 * 25.5 + 2e-6, rtol=1e-4)


MIDDLEBURY = ("Dimetrodon", "Grove2", "RubberWhale", "Urban2", "Urban3", "Venus")


@pytest.mark.slow
def test_accuracy_on_middlebury(shared_data):
    """Mean endpoint error in px. Published for TV-L1: 0.45; the better of OpenCV and scikit-image
    on each pair: 0.46."""
    errors = {}
    for name in MIDDLEBURY:
        folder = shared_data / "flow_middlebury"
        frames = [
            cv2.cvtColor(cv2.imread(str(folder / "other-data" / name / f"frame{i}.png")), 4) / 255.0
            for i in (10, 11)
        ]
        target, known = read_flo(folder / "other-gt-flow" / name / "flow10.flo")
        flow = np.asarray(solver()(*(frame.astype(np.float32) for frame in frames)))
        errors[name] = np.linalg.norm(flow - target, axis=-1)[known].mean()
    assert np.mean(list(errors.values())) < 0.40, errors


def test_rgb_is_converted_to_gray():
    random = np.random.default_rng(0)
    first, second = random.random((2, 3, 12, 14, 3)).astype(np.float32)
    flow = solver(TINY)(first, second)
    assert flow.shape == (3, 12, 14, 2)
    gray = [image @ np.array([0.299, 0.587, 0.114], np.float32) for image in (first, second)]
    np.testing.assert_allclose(flow, solver(TINY)(*gray), atol=1e-4)
    with_channel = solver(TINY)(*(image[..., None] for image in gray))
    np.testing.assert_allclose(flow, with_channel, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (9, 1), (17, 33)])
def test_odd_and_tiny_sizes_have_finite_flow_and_gradients(size):
    random = np.random.default_rng(0)
    first, second = random.random((2, *size)).astype(np.float32)
    flow, gradient = jax.jit(
        jax.value_and_grad(lambda first: jnp.sum(jnp.square(tvl1_flow(first, second, TINY))))
    )(first)
    chex.assert_tree_all_finite((flow, gradient))
