"""`visibility_mask`: where flow there and back leads home, by hand and by loops."""

import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from afn_jax.ops import visibility_mask


def uniform(x, y, size=(6, 8)):
    return np.broadcast_to(np.array([x, y], np.float32), (*size, 2)).copy()


def visible_by_loops(forward, backward, relative=0.01, absolute=0.5):
    """One pair of maps, pixel by pixel; the backward flow is read bilinearly."""
    height, width, _ = forward.shape
    forward, backward = (np.asarray(flow, np.float64) for flow in (forward, backward))
    visible = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            f = forward[row, column]
            x, y = column + f[0], row + f[1]
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                continue
            b = np.zeros(2)
            for corner_y in (math.floor(y), math.floor(y) + 1):
                for corner_x in (math.floor(x), math.floor(x) + 1):
                    weight = (1 - abs(y - corner_y)) * (1 - abs(x - corner_x))
                    if weight > 0:
                        b += weight * backward[corner_y, corner_x]
            tolerance = relative * (f @ f + b @ b) + absolute
            visible[row, column] = (f + b) @ (f + b) < tolerance
    return visible


def example(*leading, seed=0):
    """Flow there, and back with errors of about what is allowed."""
    random = np.random.default_rng(seed)
    forward = random.uniform(-2, 2, (2,)) + random.normal(scale=0.4, size=(*leading, 5, 6, 2))
    backward = -forward + random.normal(scale=0.5, size=forward.shape)
    return forward.astype(np.float32), backward.astype(np.float32)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (0,)])
def test_values_are_those_of_loops(leading):
    forward, backward = example(*leading)
    visible = visibility_mask(forward, backward)
    assert visible.shape == (*leading, 5, 6) and visible.dtype == bool
    for index in np.ndindex(leading):
        expected = visible_by_loops(forward[index], backward[index])
        np.testing.assert_array_equal(visible[index], expected)
    if math.prod(leading) > 1:
        assert 0.1 < np.mean(visible) < 0.9


@pytest.mark.parametrize("relative, absolute", [(0.0, 0.5), (0.2, 1e-3), (0.05, 2.0)])
def test_the_tolerances_are_those_of_loops(relative, absolute):
    forward, backward = example(seed=1)
    options = dict(relative=relative, absolute=absolute)
    np.testing.assert_array_equal(
        visibility_mask(forward, backward, **options),
        visible_by_loops(forward, backward, **options),
    )


@pytest.mark.parametrize("x, y", [(0, 0), (2, 0), (-3, 0), (0, 1), (1.5, -2), (20, 0)])
def test_a_translation_is_visible_but_where_it_leaves_the_image(x, y):
    rows, columns = np.indices((6, 8))
    inside = (columns + x >= 0) & (columns + x <= 7) & (rows + y >= 0) & (rows + y <= 5)
    visible = visibility_mask(uniform(x, y), uniform(-x, -y))
    np.testing.assert_array_equal(visible, inside)


def test_background_that_a_square_moves_over_is_occluded():
    # A square of 3 x 3 pixels moves three to the right over a background at rest.
    forward, backward = uniform(0, 0, (7, 12)), uniform(0, 0, (7, 12))
    forward[2:5, 2:5] = [3, 0]
    backward[2:5, 5:8] = [-3, 0]
    expected = np.ones((7, 12), bool)
    expected[2:5, 5:8] = False  # there the square comes to lie
    np.testing.assert_array_equal(visibility_mask(forward, backward), expected)
    # The other way round, what it uncovers is not seen in the first frame.
    expected = np.ones((7, 12), bool)
    expected[2:5, 2:5] = False
    np.testing.assert_array_equal(visibility_mask(backward, forward), expected)


def test_the_bounds_are_those_of_unflow():
    # At rest the error may be up to the root of a half.
    still = uniform(0, 0)
    for error, allowed in ((0.70, True), (0.72, False)):
        assert np.all(visibility_mask(still, uniform(error, 0)) == allowed)
    # 3 + b, b = -3 + e: e^2 < 0.01 * (9 + (3 - e)^2) + 0.5 holds up to e = 0.799.
    for error, allowed in ((0.78, True), (0.80, False)):
        visible = visibility_mask(uniform(3, 0), uniform(-3 + error, 0))
        assert np.all(visible[:, :5] == allowed) and not np.any(visible[:, 5:])


def test_the_tolerance_itself_is_not_visible():
    # 1 < 1 is false.
    visible = visibility_mask(uniform(0, 0), uniform(1, 0), relative=0.0, absolute=1.0)
    assert not np.any(visible)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
def test_narrow_maps(size):
    assert np.all(visibility_mask(uniform(0, 0, size), uniform(0, 0, size)))
    assert not np.any(visibility_mask(uniform(5, 5, size), uniform(-5, -5, size)))


@pytest.mark.parametrize("value", [1e10, -1e10, 3e38, -3e38, np.inf, np.nan])
def test_flow_far_out_of_the_image_is_not_visible(value):
    flow = uniform(value, 0)
    assert not np.any(visibility_mask(flow, -flow))
    backward = uniform(0, 0)
    backward[..., 1] = value
    assert not np.any(visibility_mask(uniform(0, 0), backward))


def test_one_unknown_flow_does_not_hide_other_pixels():
    forward, backward = uniform(1, 0), uniform(-1, 0)
    forward[2, 3] = 1e10
    visible = visibility_mask(forward, backward)
    expected = np.ones((6, 8), bool)
    expected[:, 7], expected[2, 3] = False, False
    np.testing.assert_array_equal(visible, expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_computes_in_float32(dtype):
    # In half precision column 2049 and its neighbour are the same.
    size = (1, 3000)
    forward = jnp.zeros((*size, 2), dtype)
    backward = jnp.asarray(np.where(np.arange(3000)[None, :, None] % 2, 5.0, 0.0), dtype)
    backward = jnp.concatenate([backward, 0 * backward], axis=-1)
    visible = visibility_mask(forward, backward)
    np.testing.assert_array_equal(visible, np.arange(3000)[None] % 2 == 0)


def test_there_is_no_gradient():
    forward, backward = example()

    def loss(forward):
        return jnp.sum(jnp.where(visibility_mask(forward, backward), 1.0, 0.0))

    np.testing.assert_array_equal(jax.grad(loss)(forward), 0)


@pytest.mark.parametrize("transform", ["jit", "vmap", "pmap"])
def test_works_under_transformations(transform):
    flows = example(2)
    visible = getattr(jax, transform)(lambda a, b: visibility_mask(a, b))(*flows)
    for i in range(2):
        np.testing.assert_array_equal(visible[i], visible_by_loops(flows[0][i], flows[1][i]))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(backward=np.zeros((4, 6, 2), np.float32)), r"and backward_flow \(4, 6, 2\)"),
        (dict(forward=np.zeros((1, 4, 5, 2), np.float32)), "both must be the same"),
        (dict.fromkeys(("forward", "backward"), np.zeros((5, 2), np.float32)), r"\(5, 2\)"),
        (dict.fromkeys(("forward", "backward"), np.zeros((4, 5, 3), np.float32)), r"\(4, 5, 3\)"),
    ],
)
def test_bad_input_is_named(change, message):
    flows = dict.fromkeys(("forward", "backward"), np.zeros((4, 5, 2), np.float32)) | change
    # Without the type checks of the test suite, as for a user: those of `warp` inside it too.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=message):
            visibility_mask(flows["forward"], flows["backward"])
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
