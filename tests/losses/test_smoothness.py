"""`smoothness_loss` and `edge_aware_smoothness_loss`, against loops and numbers by hand."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from afn_jax.losses import edge_aware_smoothness_loss, smoothness_loss

SMOOTH = jax.jit(jax.value_and_grad(smoothness_loss), static_argnames=("alpha", "epsilon"))
EDGE_AWARE = jax.jit(
    jax.value_and_grad(edge_aware_smoothness_loss, argnums=(0, 1)), static_argnames="edge_weight"
)


def example(*shape, dtype=np.float32, seed=0):
    random = np.random.default_rng(seed)
    flow = 2 * random.normal(size=(*shape, 2))
    return flow.astype(dtype), random.random((*shape, 3)).astype(dtype)


def neighbours(size, mask, direction):
    """Index pairs (this, next) of pixels that both count, to the right or downward."""
    for row, column in np.ndindex(*size):
        other = (row, column + 1) if direction == "x" else (row + 1, column)
        inside = other[0] < size[0] and other[1] < size[1]
        if inside and (mask is None or mask[row, column] and mask[other]):
            yield (row, column), other


def penalties_of_one_map(flow, mask, alpha, epsilon):
    """The four lists of penalties, by direction and component."""
    lists = []
    for direction in ("x", "y"):
        pairs = list(neighbours(flow.shape[:2], mask, direction))
        for component in (0, 1):
            differences = [float(flow[b][component]) - float(flow[a][component]) for a, b in pairs]
            lists.append([(d * d + epsilon * epsilon) ** alpha for d in differences])
    return lists


def edge_penalties_of_one_map(flow, image, mask, edge_weight):
    lists = []
    for direction in ("x", "y"):
        penalties = []
        for a, b in neighbours(flow.shape[:2], mask, direction):
            bend = sum(abs(float(flow[b][c]) - float(flow[a][c])) for c in (0, 1))
            edge = sum(abs(float(q) - float(p)) for p, q in zip(image[a], image[b], strict=True))
            penalties.append(bend * np.exp(-edge_weight * edge))
        lists.append(penalties)
    return lists


def sum_of_means(maps):
    """Each list is one mean over all maps."""
    lists = [[penalty for one in lists for penalty in one] for lists in zip(*maps, strict=True)]
    return sum(np.mean(penalties) for penalties in lists if penalties)


def smoothness_by_loops(flow, mask=None, alpha=0.3, epsilon=1e-3):
    indices = np.ndindex(flow.shape[:-3])
    masks = {index: None if mask is None else mask[index] for index in np.ndindex(flow.shape[:-3])}
    return sum_of_means(
        [penalties_of_one_map(flow[index], masks[index], alpha, epsilon) for index in indices]
    )


def edge_aware_by_loops(flow, image, mask=None, edge_weight=1.0):
    masks = {index: None if mask is None else mask[index] for index in np.ndindex(flow.shape[:-3])}
    return sum_of_means(
        [
            edge_penalties_of_one_map(flow[index], image[index], masks[index], edge_weight)
            for index in np.ndindex(flow.shape[:-3])
        ]
    )


def some(*shape):
    return np.random.default_rng(1).random(shape) < 0.7


@pytest.mark.parametrize(
    "size, masked",
    [((4, 5), False), ((4, 5), True), ((1, 1), True), ((1, 6), False), ((6, 1), True)],
)
def test_values_are_those_of_loops(size, masked):
    flow, image = example(*size)
    mask = some(*size) if masked else None
    loss, _ = SMOOTH(flow, mask=mask)
    np.testing.assert_allclose(loss, smoothness_by_loops(flow, mask), rtol=1e-5)
    loss, _ = EDGE_AWARE(flow, image, mask=mask)
    np.testing.assert_allclose(loss, edge_aware_by_loops(flow, image, mask), rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 5])
def test_the_edges_may_be_of_any_number_of_channels(channels):
    flow, _ = example(4, 5)
    image = np.random.default_rng(2).random((4, 5, channels)).astype(np.float32)
    loss, _ = EDGE_AWARE(flow, image)
    np.testing.assert_allclose(loss, edge_aware_by_loops(flow, image), rtol=1e-5)


@pytest.mark.parametrize("alpha, epsilon", [(0.3, 1e-3), (0.5, 0.1), (1.0, 2.0)])
def test_alpha_and_epsilon_are_those_of_the_penalty(alpha, epsilon):
    flow, _ = example(4, 5)
    loss, _ = SMOOTH(flow, alpha=alpha, epsilon=epsilon)
    np.testing.assert_allclose(
        loss, smoothness_by_loops(flow, alpha=alpha, epsilon=epsilon), rtol=1e-5
    )


@pytest.mark.parametrize("edge_weight", [0.0, 10.0])
def test_the_edge_weight_is_in_the_exponent(edge_weight):
    flow, image = example(4, 5)
    loss, _ = EDGE_AWARE(flow, image, edge_weight=edge_weight)
    expected = edge_aware_by_loops(flow, image, edge_weight=edge_weight)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("size, directions", [((4, 5), 2), ((1, 6), 1), ((6, 1), 1), ((1, 1), 0)])
@pytest.mark.parametrize("value", [0.0, 3.0, -7.5])
def test_constant_flow_has_the_penalty_of_zero_in_each_direction_and_component(
    size, directions, value
):
    flow = np.full((*size, 2), value, np.float32)
    loss, gradient = SMOOTH(flow)
    np.testing.assert_allclose(loss, 2 * directions * 1e-3**0.6, rtol=1e-5)
    np.testing.assert_array_equal(gradient, np.zeros_like(flow))


@pytest.mark.parametrize("size", [(4, 5), (1, 6), (1, 1)])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_flow_has_no_edge_aware_penalty_and_no_gradient(size, value):
    flow = np.full((*size, 2), value, np.float32)
    _, image = example(*size)
    loss, gradients = EDGE_AWARE(flow, image)
    assert loss == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_a_ramp_by_hand():
    """x grows by 3 a column and y by 4 a row; with epsilon 4, sqrt(9 + 16) = 5."""
    rows, columns = np.indices((4, 5))
    flow = np.stack([3 * columns, 4 * rows], axis=-1).astype(np.float32)
    loss, _ = SMOOTH(flow, alpha=0.5, epsilon=4.0)
    # To the right 5 and 4, downward 4 and sqrt(16 + 16).
    np.testing.assert_allclose(loss, 5 + 4 + 4 + 32**0.5, rtol=1e-6)
    flat = np.full((4, 5, 3), 0.4, np.float32)
    np.testing.assert_allclose(EDGE_AWARE(flow, flat)[0], 3 + 4, rtol=1e-6)


def test_an_edge_of_the_image_lets_the_flow_have_one():
    """Flow and image step at the same column: the penalty drops by exp of the step."""
    flow = np.zeros((3, 6, 2), np.float32)
    flow[:, 3:] = [5, -2]
    image = np.zeros((3, 6, 3), np.float32)
    step = np.array([0.5, -0.2, 0.1], np.float32)
    flat, _ = EDGE_AWARE(flow, image)
    np.testing.assert_allclose(flat, 7 / 5, rtol=1e-6)  # at one of five pairs
    image[:, 3:] = step
    at_the_edge, _ = EDGE_AWARE(flow, image)
    np.testing.assert_allclose(at_the_edge, 7 / 5 * np.exp(-0.8), rtol=1e-6)
    sharp, _ = EDGE_AWARE(flow, image, edge_weight=10.0)
    np.testing.assert_allclose(sharp, 7 / 5 * np.exp(-8), rtol=1e-5)
    elsewhere, _ = EDGE_AWARE(flow, np.roll(image, 1, axis=1))
    np.testing.assert_allclose(elsewhere, flat, rtol=1e-6)


def test_an_edge_counts_in_its_own_direction_only():
    """Columns of the image differ, so the downward bends of flow keep their penalty."""
    flow = np.zeros((4, 3, 2), np.float32)
    flow[2:] = 1
    image = np.zeros((4, 3, 1), np.float32)
    image[:, 1:] = 1
    loss, _ = EDGE_AWARE(flow, image)
    np.testing.assert_allclose(loss, 2 / 3, rtol=1e-6)


@pytest.mark.parametrize("left_out", [1e9, 3e38, -3e38])
def test_what_the_mask_leaves_out_has_no_influence(left_out):
    flow, image = example(5, 6)
    mask = some(5, 6)
    expected = smoothness_by_loops(flow, mask), edge_aware_by_loops(flow, image, mask)
    flow[~mask], image[~mask] = left_out, -left_out
    loss, smooth_gradient = SMOOTH(flow, mask=mask)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)
    loss, gradients = EDGE_AWARE(flow, image, mask=mask)
    np.testing.assert_allclose(loss, expected[1], rtol=1e-5)
    for gradient in (smooth_gradient, *gradients):
        assert not np.any(gradient[~mask])
        assert np.any(gradient[mask]) and np.all(np.isfinite(gradient))


def test_a_mask_without_neighbours_gives_zero():
    flow, image = example(4, 5)
    checkerboard = np.indices((4, 5)).sum(0) % 2 == 0
    for mask in (np.zeros((4, 5), bool), checkerboard):
        for loss, gradients in (SMOOTH(flow, mask=mask), EDGE_AWARE(flow, image, mask=mask)):
            assert loss == 0
            assert not any(np.any(gradient) for gradient in gradients)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_finite_differences(masked, float64):
    flow, image = example(3, 4, dtype=np.float64)
    mask = some(3, 4) if masked else None
    for function, arguments in (
        (smoothness_loss, (flow,)),
        (edge_aware_smoothness_loss, (flow, image)),
    ):
        function = jax.jit(partial(function, mask=mask))
        check_grads(function, arguments, order=1, modes=("fwd", "rev"))
    if not masked:
        # Zero among the differences, where an epsilon of 1e-3 is narrower than a finite difference.
        flow[0, 1] = flow[0, 0]
        slope = jax.jit(jax.grad(partial(smoothness_loss, epsilon=0.5)))
        check_grads(slope, (flow,), order=1, modes=("fwd", "rev"))


@pytest.mark.parametrize("leading, masked", [((2, 2), False), ((2, 2), True), ((0,), False)])
def test_leading_axes_are_one_mean(leading, masked):
    flow, image = example(*leading, 3, 4)
    mask = some(*leading, 3, 4) if masked else None
    loss, _ = SMOOTH(flow, mask=mask)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, smoothness_by_loops(flow, mask), rtol=1e-5)
    loss, _ = EDGE_AWARE(flow, image, mask=mask)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, edge_aware_by_loops(flow, image, mask), rtol=1e-5)


def test_without_jit_it_is_the_same():
    flow, image = example(2, 4, 5)
    np.testing.assert_allclose(smoothness_loss(flow), SMOOTH(flow)[0], rtol=1e-6)
    loss = edge_aware_smoothness_loss(flow, image)
    np.testing.assert_allclose(loss, EDGE_AWARE(flow, image)[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    flow, image = example(4, 5)
    low_flow, low_image = jnp.asarray(flow, dtype), jnp.asarray(image, dtype)
    rounded = np.asarray(low_flow, np.float32), np.asarray(low_image, np.float32)
    loss = SMOOTH(low_flow)[0]
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, smoothness_by_loops(rounded[0]), rtol=1e-5)
    loss = EDGE_AWARE(low_flow, low_image)[0]
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, edge_aware_by_loops(*rounded), rtol=1e-5)


def test_float64_keeps_its_precision(float64):
    flow, image = example(4, 5, dtype=np.float64)
    loss = SMOOTH(flow)[0]
    assert loss.dtype == jnp.float64
    np.testing.assert_allclose(loss, smoothness_by_loops(flow), rtol=1e-13)
    loss = EDGE_AWARE(flow, image)[0]
    assert loss.dtype == jnp.float64
    np.testing.assert_allclose(loss, edge_aware_by_loops(flow, image), rtol=1e-13)


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e10, 3e38, -3e38])
def test_nasty_flow_and_images_stay_finite(value):
    flow, image = example(4, 5)
    mixed = np.array([value, 0, -value, 0.5, value], np.float32)
    for nasty_flow in (flow, np.full_like(flow, value), np.resize(mixed, flow.shape)):
        loss, gradient = SMOOTH(nasty_flow)
        assert jnp.isfinite(loss) and jnp.all(jnp.isfinite(gradient))
        for nasty_image in (image, np.full_like(image, value), np.resize(mixed, image.shape)):
            loss, gradients = EDGE_AWARE(nasty_flow, nasty_image)
            assert jnp.isfinite(loss)
            assert all(jnp.all(jnp.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(flow=np.zeros((4, 5, 3), np.float32)), r"flow has shape \(4, 5, 3\)"),
        (dict(flow=np.zeros((5, 2), np.float32)), r"must be \[..., H, W, 2\]"),
        (dict(mask=np.ones((4, 6), bool)), r"mask has shape \(4, 6\)"),
        (dict(mask=np.ones((4, 5), np.float32)), r"dtype float32; it must be \(4, 5\) of bool"),
    ],
)
@pytest.mark.parametrize("function", [smoothness_loss, edge_aware_smoothness_loss])
def test_bad_flow_and_masks_are_named(function, change, message):
    flow, image = example(4, 5)
    arguments = dict(flow=flow) if function is smoothness_loss else dict(flow=flow, image=image)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(**(arguments | change))


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 4, 5, 3), (5, 3)])
def test_an_image_of_another_size_is_named(shape):
    flow, _ = example(4, 5)
    with pytest.raises(ValueError, match="image has shape .* the same .*H, W"):
        inspect.unwrap(edge_aware_smoothness_loss)(flow, np.zeros(shape, np.float32))


@pytest.mark.parametrize("edge_weight", [-0.1, float("nan")])
def test_a_bad_edge_weight_is_named(edge_weight):
    with pytest.raises(ValueError, match="edge_weight is .*; pass 0 or more"):
        edge_aware_smoothness_loss(*example(4, 5), edge_weight=edge_weight)


@pytest.mark.parametrize("change", [dict(alpha=0.0), dict(epsilon=-1.0)])
def test_bad_constants_are_named(change):
    with pytest.raises(ValueError, match="both must be above 0"):
        smoothness_loss(example(4, 5)[0], **change)
