"""`jointflow3d_loss`, against numpy and numbers worked out by hand."""

import inspect

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import jointflow3d_loss

LOSS = jax.jit(
    jax.value_and_grad(jointflow3d_loss, argnums=(0, 4), has_aux=True),
    static_argnames=("p", "epsilon", "alpha_action", "alpha_photometric", "alpha_smooth"),
)
NAMES = ("cross_entropy", "photometric", "smooth")


def example(batch=2, triplets=2, size=(4, 5), dtype=np.float32):
    """logits, labels, previous, current and flows."""
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(batch, 4)), random.integers(4, size=batch)
    previous, current = random.random((2, batch, triplets, *size, 1))
    flows = 1.5 * random.normal(size=(batch, triplets, *size, 2))
    return (
        logits.astype(dtype),
        labels,
        previous.astype(dtype),
        current.astype(dtype),
        flows.astype(dtype),
    )


def warp_by_loops(image, flow):
    """One grey image, pixel by pixel; outside is the nearest pixel of the edge."""
    height, width = image.shape
    warped = np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        x = min(max(column + float(flow[row, column, 0]), 0), width - 1)
        y = min(max(row + float(flow[row, column, 1]), 0), height - 1)
        for r in range(height):
            for c in range(width):
                warped[row, column] += max(1 - abs(x - c), 0) * max(1 - abs(y - r), 0) * image[r, c]
    return warped


def terms_by_loops(logits, labels, previous, current, flows, p=2.5, epsilon=1e-3):
    """Eq. 1 and 2 with exponent 1 / p, and the cross-entropy; not weighted."""
    logits = np.asarray(logits, np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropy = -np.mean(np.log(probabilities[np.arange(len(labels)), labels]))

    def penalty(x):
        return (np.asarray(x, np.float64) ** 2 + epsilon**2) ** (1 / p)

    photometric = []
    for index in np.ndindex(previous.shape[:2]):
        warped = warp_by_loops(current[index][..., 0], flows[index])
        photometric.append(penalty(previous[index][..., 0] - warped))
    smooth = 0.0
    for axis in (2, 3):
        bends = np.diff(flows.astype(np.float64), axis=axis)
        smooth += sum(np.mean(penalty(bends[..., c])) if bends.size else 0.0 for c in (0, 1))
    return np.array([entropy, np.mean(photometric), smooth])


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (1, 6), (5, 1)])
def test_values_are_those_of_loops(size, float64):
    arguments = example(size=size, dtype=np.float64)
    (loss, terms), _ = LOSS(*arguments)
    expected = terms_by_loops(*arguments)
    assert loss.dtype == jnp.float64
    assert set(terms) == set(NAMES)
    for name, value in zip(NAMES, expected, strict=True):
        np.testing.assert_allclose(terms[name], value, rtol=1e-12)
    np.testing.assert_allclose(loss, expected.sum(), rtol=1e-12)


@pytest.mark.parametrize("p, epsilon", [(2.0, 0.5), (1.0, 0.1), (5.0, 1e-3)])
def test_the_exponent_is_one_by_p(p, epsilon):
    arguments = example()
    (_, terms), _ = LOSS(*arguments, p=p, epsilon=epsilon)
    expected = terms_by_loops(*arguments, p=p, epsilon=epsilon)
    np.testing.assert_allclose([terms[name] for name in NAMES], expected, rtol=1e-5)


def test_equation_3_by_hand():
    """Log of 4 from equal logits, sqrt(9 + 16) from frames 3 apart, a ramp of 3 to the right."""
    previous = np.zeros((2, 1, 4, 5, 1), np.float32)
    flows = np.zeros((2, 1, 4, 5, 2), np.float32)
    flows[..., 0] = 3 * np.arange(5)
    (loss, terms), _ = LOSS(
        np.zeros((2, 4), np.float32),
        np.array([1, 2]),
        previous,
        previous + 3,
        flows,
        p=2.0,
        epsilon=4.0,
        alpha_action=0.5,
        alpha_photometric=10.0,
        alpha_smooth=100.0,
    )
    np.testing.assert_allclose(terms["cross_entropy"], np.log(4), rtol=1e-6)
    np.testing.assert_allclose(terms["photometric"], 5, rtol=1e-6)
    np.testing.assert_allclose(terms["smooth"], 5 + 4 + 4 + 4, rtol=1e-6)
    np.testing.assert_allclose(loss, 0.5 * np.log(4) + 10 * 5 + 100 * 17, rtol=1e-6)


@pytest.mark.parametrize("shift", [(2, 1), (-1, 2), (0, -3)])
def test_current_moved_by_the_true_flow_is_previous(shift):
    """What is at p in frame k - 1 is at p + shift in frame k."""
    size = 16
    texture = np.random.default_rng(0).random((size + 8, size + 8)).astype(np.float32)
    x, y = shift
    previous = texture[4:-4, 4:-4][None, None, ..., None]
    current = texture[4 - y : 4 - y + size, 4 - x : 4 - x + size][None, None, ..., None]
    true = np.broadcast_to(np.array(shift, np.float32), (1, 1, size, size, 2))
    logits, labels = np.zeros((1, 4), np.float32), np.array([0])
    (_, terms), _ = LOSS(logits, labels, previous, current, true)
    for wrong in (0 * true, -true):
        (_, wrong_terms), _ = LOSS(logits, labels, previous, current, wrong)
        assert terms["photometric"] < 0.7 * wrong_terms["photometric"]
    # What stays in the picture agrees to epsilon, and no grey differs by more than 1.
    rows, columns = np.indices((size, size))
    inside = (0 <= rows + y) & (rows + y < size) & (0 <= columns + x) & (columns + x < size)
    assert terms["photometric"] < np.mean(np.where(inside, 1e-3**0.8, 1.0))


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
@pytest.mark.parametrize("size", [(4, 5), (1, 1)])
def test_gradients_at_whole_pixels_are_finite(size, value):
    logits, labels, previous, current, flows = example(size=size)
    for frames in ((previous, current), (previous, previous), (0 * previous, 0 * current)):
        (loss, _), gradients = LOSS(logits, labels, *frames, np.full_like(flows, value))
        assert jnp.isfinite(loss)
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_a_scene_at_rest_asks_for_no_motion():
    logits, labels, previous, _, flows = example()
    (_, terms), (_, gradient) = LOSS(logits, labels, previous, previous, 0 * flows)
    np.testing.assert_allclose(terms["photometric"], 1e-3**0.8, rtol=1e-5)
    np.testing.assert_allclose(terms["smooth"], 4 * 1e-3**0.8, rtol=1e-5)
    np.testing.assert_array_equal(gradient, np.zeros_like(flows))


def test_gradients_are_those_of_finite_differences(float64):
    logits, labels, previous, current, flows = example(1, 1, (3, 4), dtype=np.float64)
    # Fractions far from the kinks of the interpolation.
    flows = np.floor(flows) + 0.3 + 0.4 * (flows - np.floor(flows))

    def loss(logits, previous, current, flows):
        return jointflow3d_loss(logits, labels, previous, current, flows, epsilon=0.1)[0]

    arguments = logits, previous, current, flows
    check_grads(jax.jit(loss), arguments, order=1, modes=("fwd", "rev"))
    slope = jax.jit(jax.grad(loss, argnums=3))
    check_grads(lambda flows: slope(*arguments[:3], flows), (flows,), order=1, modes=("fwd",))


def test_without_jit_it_is_the_same():
    arguments = example()
    loss, _ = jointflow3d_loss(*arguments)
    np.testing.assert_allclose(loss, LOSS(*arguments)[0][0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    logits, labels, *maps = example()
    logits, *maps = (jnp.asarray(x, dtype) for x in (logits, *maps))
    (loss, terms), _ = LOSS(logits, labels, *maps)
    assert {loss.dtype, *(term.dtype for term in terms.values())} == {jnp.dtype(jnp.float32)}
    logits, *maps = (np.asarray(x, np.float32) for x in (logits, *maps))
    np.testing.assert_allclose(loss, terms_by_loops(logits, labels, *maps).sum(), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e8, 3e38, -3e38])
def test_nasty_frames_and_flows_stay_finite(value):
    logits, labels, previous, current, flows = example()
    nasty = np.array([value, 0, -value, 0.5, value], np.float32)
    mixed, nasty_flows = np.resize(nasty, previous.shape), np.resize(nasty[:3], flows.shape)
    for one, two in ((previous, mixed), (mixed, current), (mixed, np.full_like(mixed, value))):
        for flow in (flows, nasty_flows):
            (loss, _), gradients = LOSS(logits, labels, one, two, flow)
            assert jnp.isfinite(loss)
            assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.fixture
def as_users_have_it():
    """Without the type checks of the test suite, which come before the library's own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(previous=np.zeros((2, 2, 4, 6, 1), np.float32)), "previous has shape .* and current"),
        (dict(current=np.zeros((2, 2, 4, 5, 3), np.float32)), r"same \[batch, triplets, H, W, 1\]"),
        (dict(flows=np.zeros((2, 2, 4, 6, 2), np.float32)), "one flow for each triplet"),
        (dict(flows=np.zeros((2, 2, 4, 5, 3), np.float32)), r"must be \(2, 2, 4, 5, 2\)"),
        (dict(labels=np.zeros((3,), np.int32)), r"labels must be \(2,\), one 0-based class"),
        (dict(p=0.0), "p is 0.0; pass a number above 0: the exponent is 1 / p"),
        (dict(p=-2.5), "p is -2.5"),
        (dict(p=float("nan")), "p is nan"),
        (dict(epsilon=0.0), "both must be above 0"),
    ],
)
def test_bad_input_is_named(change, message, as_users_have_it):
    names = ("logits", "labels", "previous", "current", "flows")
    arguments = dict(zip(names, example(), strict=True))
    with pytest.raises(ValueError, match=message):
        jointflow3d_loss(**(arguments | change))


@pytest.mark.parametrize("shape", [(2, 4, 5, 1), (2, 2, 4, 5, 3)])
def test_frames_that_are_no_grey_triplets_are_refused(shape):
    logits, labels, *_, flows = example()
    frames = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=r"the same \[batch, triplets, H, W, 1\], grey"):
        inspect.unwrap(jointflow3d_loss)(logits, labels, frames, frames, flows)
