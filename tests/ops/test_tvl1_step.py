"""One primal-dual step of TV-L1 and its stencils, compared with Eq. 2-5 in NumPy."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.ops.stencils import (
    backward_difference,
    central_difference,
    forward_difference,
    forward_difference_again,
    shift,
)
from afn_jax.ops.tvl1_step import (
    EPSILON,
    Flow,
    State,
    Stencils,
    Weights,
    gradient_length,
    linearize,
    tvl1_iterations,
    tvl1_step,
    zero_state,
)

WEIGHTS = Weights(tau=0.25, lam=0.15, theta=0.3)
BOUND = WEIGHTS.lam * WEIGHTS.theta
SIZES = ((5, 7), (1, 4), (4, 1), (1, 1))
SCENES = ("blob", "waves", "noise")


def gradient(x):
    return forward_difference(x, -1), forward_difference(x, -2)


def divergence(p):
    return backward_difference(p.x, -1) + backward_difference(p.y, -2)


def by_mask(kernels, x):
    return forward_difference_again(x, -1), forward_difference_again(x, -2)


STENCILS = Stencils(lambda _, x: gradient(x), lambda _, p: divergence(p), by_mask)
NO_DIVERGENCE = STENCILS._replace(divergence=lambda _, p: jnp.zeros_like(p.x))

step = functools.partial(tvl1_step, weights=WEIGHTS, stencils=STENCILS)


def noise(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=shape)


def along(axis, function, x):
    """Applies `function`, which takes and returns lists, to each line of `x` along one axis."""
    return np.apply_along_axis(lambda line: np.array(function(list(line))), axis, x)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 2, 1)])
def test_stencils_match_loops(axis, shape):
    x = noise(*shape).astype(np.float32)
    expected = {
        lambda x: shift(x, axis, 1): lambda line: [0, *line[:-1]],
        lambda x: shift(x, axis, -1): lambda line: [*line[1:], 0],
        lambda x: forward_difference(x, axis): lambda line: [
            after - here for here, after in zip(line, [*line[1:], line[-1]], strict=True)
        ],
        lambda x: backward_difference(x, axis): lambda line: [
            here - before for before, here in zip([0, *line[:-1]], line, strict=True)
        ],
        lambda x: central_difference(x, axis): lambda line: [
            (after - before) / 2
            for before, after in zip([line[0], *line[:-1]], [*line[1:], line[-1]], strict=True)
        ],
    }
    for stencil, of_line in expected.items():
        np.testing.assert_allclose(stencil(x), along(axis, of_line, x), atol=1e-6)


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("weight_shape", [(), (1, 4, 5)])
def test_weighted_forward_differences_match_slices(axis, weight_shape):
    x, here, after = noise(3, 4, 5), *noise(2, *weight_shape, seed=1)
    lines = np.moveaxis(x, axis, -1)
    weights = [np.moveaxis(np.broadcast_to(w, x.shape), axis, -1) for w in (here, after)]
    expected = weights[0] * lines
    expected[..., :-1] += weights[1][..., :-1] * lines[..., 1:]
    expected[..., -1] = 0
    for difference in (forward_difference, forward_difference_again):
        found = np.moveaxis(difference(x, axis, here, after), axis, -1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_differences_of_a_ramp_are_its_slope():
    rows, columns = np.indices((4, 5)).astype(np.float32)
    ramp = 3 * columns - 2 * rows
    for stencil in (forward_difference, central_difference):
        np.testing.assert_array_equal(stencil(ramp, -1)[:, 1:-1], 3)
        np.testing.assert_array_equal(stencil(ramp, -2)[1:-1], -2)


def dual_noise(size, seed):
    """Returns a valid dual: 0 in the last column of x and in the last row of y."""
    x, y = noise(2, *size, seed=seed)
    x[:, -1], y[-1] = 0, 0
    return Flow(jnp.asarray(x), jnp.asarray(y))


@pytest.mark.parametrize("size", SIZES[::3])
def test_divergence_is_the_negative_adjoint_of_the_gradient(size, float64):
    for seed in range(3):
        u, p = noise(*size, seed=seed), dual_noise(size, seed + 10)
        x, y = gradient(u)
        np.testing.assert_allclose(
            np.sum(x * p.x + y * p.y), -np.sum(u * divergence(p)), rtol=1e-12, atol=1e-13
        )


@pytest.mark.parametrize("size", SIZES)
def test_dual_stays_valid_and_within_the_unit_disc(size, float64):
    brightness = linearize(noise(*size, scale=50), Flow(*noise(2, *size, seed=1, scale=30)))
    state = zero_state(brightness.constant)
    for _ in range(20):
        state = step(state, brightness)
    for dual in (state.dual_x, state.dual_y):
        np.testing.assert_array_equal(dual.x[:, -1], 0)
        np.testing.assert_array_equal(dual.y[-1], 0)
        assert np.all(np.hypot(*dual) <= 1)
    assert size == (1, 1) or np.any(np.hypot(*state.dual_x) > 0.1)


def threshold(u, gradient, rho):
    """Applies the three cases of Eq. 3 pixel by pixel; also returns the case of each pixel."""
    squared = gradient[0] ** 2 + gradient[1] ** 2
    v, case = np.array(u), np.zeros(rho.shape, int)
    for pixel in np.ndindex(rho.shape):
        here = (slice(None), *pixel)
        if rho[pixel] < -BOUND * squared[pixel]:
            v[here], case[pixel] = u[here] + BOUND * gradient[here], -1
        elif rho[pixel] > BOUND * squared[pixel]:
            v[here], case[pixel] = u[here] - BOUND * gradient[here], 1
        elif squared[pixel] > 0:
            v[here] = u[here] - rho[pixel] * gradient[here] / squared[pixel]
    return v, case


def test_clip_matches_the_threshold_in_all_three_cases(float64):
    u, slopes = noise(2, 12, 15), noise(2, 12, 15, seed=1, scale=20)
    slopes[:, :2] = 0  # no texture
    squared = slopes[0] ** 2 + slopes[1] ** 2
    rho = BOUND * squared * noise(12, 15, seed=2, scale=2)
    rho[1], rho[2], rho[3] = 5.0, BOUND * squared[2], -BOUND * squared[3]  # rows 2, 3: limits
    rho[4] = 0
    constant = rho - slopes[0] * u[0] - slopes[1] * u[1]
    state = zero_state(constant)._replace(flow=Flow(*u))
    v = tvl1_step(state, linearize(constant, Flow(*slopes)), WEIGHTS, NO_DIVERGENCE).flow
    expected, case = threshold(u, slopes, rho)
    assert all(np.sum(case[5:] == kind) > 20 for kind in (-1, 0, 1))
    np.testing.assert_allclose(np.stack(v), expected, rtol=1e-9, atol=1e-9)


def one_step_in_numpy(u, p, constant, slopes, tau, lam, theta):
    """Computes Eq. 2-5 with `threshold`; `p[d]` is the dual of flow component d."""
    rho = constant + slopes[0] * u[0] + slopes[1] * u[1]
    v, _ = threshold(u, slopes, rho)
    new_u, new_p = np.zeros_like(u), np.zeros_like(p)
    for d in range(2):
        left = np.pad(p[d, 0], ((0, 0), (1, 0)))[:, :-1]
        above = np.pad(p[d, 1], ((1, 0), (0, 0)))[:-1]
        new_u[d] = v[d] + theta * (p[d, 0] - left + p[d, 1] - above)
        x = np.diff(new_u[d], axis=1, append=new_u[d][:, -1:])
        y = np.diff(new_u[d], axis=0, append=new_u[d][-1:])
        new_p[d] = (p[d] + tau / theta * np.stack([x, y])) / (1 + tau / theta * np.hypot(x, y))
    return new_u, new_p


@pytest.mark.parametrize("size", SIZES)
def test_one_step_matches_the_equations(size, float64):
    u, p = noise(2, *size), noise(2, 2, *size, seed=1)
    constant, slopes = noise(*size, seed=2, scale=40), noise(2, *size, seed=3, scale=30)
    state = step(State(Flow(*u), Flow(*p[0]), Flow(*p[1])), linearize(constant, Flow(*slopes)))
    expected_u, expected_p = one_step_in_numpy(u, p, constant, slopes, *WEIGHTS[:3])
    np.testing.assert_allclose(np.stack(state.flow), expected_u, rtol=1e-9, atol=1e-12)
    # The epsilon under the root of |grad u| matters only where it is 0, e.g. in single pixels.
    np.testing.assert_allclose(np.stack(state.dual_x), expected_p[0], rtol=2e-6)
    np.testing.assert_allclose(np.stack(state.dual_y), expected_p[1], rtol=2e-6)


def test_gradient_length_has_a_finite_derivative_at_zero(float64):
    length, derivative = jax.value_and_grad(gradient_length)(*jnp.zeros(2))
    assert length == EPSILON**0.5 and derivative == 0
    assert gradient_length(*jnp.array([3.0, 4.0])) == pytest.approx(5, rel=1e-12)


def scene(kind):
    """Returns two images: the second is moved right by 0.6 pixels, or is independent noise."""
    rows, columns = np.indices((20, 24))
    if kind == "noise":
        return tuple(np.random.default_rng(0).uniform(0, 255, (2, 20, 24)))

    def image(x, y):
        if kind == "blob":
            return 255 * np.exp(-((x - 11.5) ** 2 + (y - 9.5) ** 2) / 32)
        return 127 + 60 * np.sin(0.5 * x + 0.3 * y) + 60 * np.cos(0.4 * y - 0.2 * x)

    return image(columns + 0.3, rows), image(columns - 0.3, rows)


def linearized(image1, image2):
    slopes = Flow(central_difference(image2, -1), central_difference(image2, -2))
    return linearize(image2 - image1, slopes)


def total_variation(flow):
    return sum(jnp.sum(jnp.hypot(*gradient(component))) for component in flow)


def energy(flow, brightness):
    """Computes the energy that TV-L1 minimizes."""
    return total_variation(flow) + WEIGHTS.lam * jnp.sum(jnp.abs(brightness.residual(flow)))


def relaxed_energy(flow, brightness):
    """Computes the energy that the iteration minimizes, in which a copy `v` may differ from `u`.

    It is `sum |grad u| + |u - v|^2 / (2 theta) + lam |rho(v)|` at the best `v`. The best `v` is
    searched along the brightness gradient, the only direction in which `rho` changes.
    """
    squared = brightness.gradient.x**2 + brightness.gradient.y**2
    rho = brightness.residual(flow)
    # Candidates: the kink, and the minima of the parabolas on both sides of it.
    shares = [-BOUND, BOUND, jnp.clip(rho / jnp.where(squared > 0, squared, 1), -BOUND, BOUND)]
    costs = [
        share**2 * squared / (2 * WEIGHTS.theta) + WEIGHTS.lam * jnp.abs(rho - share * squared)
        for share in shares
    ]
    return total_variation(flow) + jnp.sum(functools.reduce(jnp.minimum, costs))


@functools.partial(jax.jit, static_argnames="length")
def energies_while_solving(brightness, length=1000):
    def one(state, _):
        state = step(state, brightness)
        return state, (energy(state.flow, brightness), relaxed_energy(state.flow, brightness))

    state, energies = jax.lax.scan(one, zero_state(brightness.constant), length=length)
    return state.flow, energies


@pytest.mark.parametrize("kind", SCENES)
def test_relaxed_energy_falls_to_its_minimum(kind, float64):
    # A primal-dual iteration circles around its saddle point, so the energy need not fall in every
    # step. It falls from 10 to 100 to 1000 steps, and rises little after the first 200.
    brightness = linearized(*scene(kind))
    flow, (_, energies) = energies_while_solving(brightness)
    start = relaxed_energy(zero_state(brightness.constant).flow, brightness)
    powers = [start, *np.asarray(energies)[[9, 99, 999]]]
    assert np.all(np.diff(powers) < 0)
    lowest_so_far = np.minimum.accumulate(energies)
    slack = {"blob": 0.4, "waves": 0.01, "noise": 1e-4}[kind]
    assert np.all(energies[200:] <= (1 + slack) * lowest_so_far[200:])
    # The problem is convex: if no small change lowers the energy, it is minimal.
    flow = np.stack(flow)
    for seed in range(20):
        for scale in (1e-3, 1e-2, 1e-1):
            nearby = flow + noise(*flow.shape, seed=seed, scale=scale)
            assert relaxed_energy(Flow(*nearby), brightness) > energies[-1]


@pytest.mark.parametrize("kind", ["blob", "waves"])
def test_energy_of_tvl1_falls_for_smooth_images(kind, float64):
    # For noise it need not fall, because the relaxed problem has a different minimum.
    brightness = linearized(*scene(kind))
    _, (energies, _) = energies_while_solving(brightness)
    start = energy(zero_state(brightness.constant).flow, brightness)
    assert np.all(energies < 0.35 * start)
    assert np.all(energies[99:] < 0.2 * start)


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, 100.0, 1e8])
@pytest.mark.parametrize("brighter", [0.0, 7.0])
def test_flow_stays_zero_without_texture(value, brighter):
    image = jnp.full((4, 5), value, jnp.float32)

    def flow_after_some_steps(image1, image2):
        brightness = linearized(image1, image2)
        state = zero_state(image1)
        return jax.lax.fori_loop(0, 10, lambda _, state: step(state, brightness), state)

    state = flow_after_some_steps(image, image + brighter)
    chex.assert_trees_all_equal(state, jax.tree.map(jnp.zeros_like, state))
    gradients = jax.grad(
        lambda *images: sum(
            jnp.sum(leaf) for leaf in jax.tree.leaves(flow_after_some_steps(*images))
        ),
        argnums=(0, 1),
    )(image, image + brighter)
    chex.assert_tree_all_finite(gradients)


def weighted_forward(kernels, x):
    return tuple(forward_difference(x, axis, *kernels) for axis in (-1, -2))


def weighted_forward_again(kernels, x):
    return tuple(forward_difference_again(x, axis, *kernels) for axis in (-1, -2))


WEIGHTED = Stencils(weighted_forward, lambda _, p: divergence(p), weighted_forward_again)


def some_iterations(num_iterations, remat, arguments):
    return jax.tree.leaves(tvl1_iterations(*arguments, WEIGHTED, num_iterations, remat))


def steps_in_a_loop(num_iterations, arguments):
    state, *others = arguments
    for _ in range(num_iterations):
        state = tvl1_step(state, *others, WEIGHTED)
    return jax.tree.leaves(state)


def arguments_of_iterations(size):
    p = [dual_noise(size, seed) for seed in (1, 2)]
    state = State(Flow(*map(jnp.asarray, noise(2, *size))), *p)
    slopes = Flow(*map(jnp.asarray, noise(2, *size, seed=3, scale=30)))
    brightness = linearize(jnp.asarray(noise(*size, seed=4, scale=40)), slopes)
    scalars = jax.tree.map(jnp.asarray, WEIGHTS._replace(kernels=(-1.1, 0.9)))
    return [jax.tree.map(lambda x: x[None], (state, brightness)), scalars]


@pytest.mark.slow
@pytest.mark.parametrize("num_iterations", [0, 1, 4])
@pytest.mark.parametrize("remat", [False, True])
def test_derivative_of_the_iterations_matches_steps_in_a_loop(num_iterations, remat, float64):
    (state, brightness), weights = arguments_of_iterations((5, 6))
    arguments = (state, brightness, weights)
    found, pull_back = jax.vjp(functools.partial(some_iterations, num_iterations, remat), arguments)
    expected, pull_expected = jax.vjp(functools.partial(steps_in_a_loop, num_iterations), arguments)
    cotangents = [jnp.asarray(noise(*x.shape, seed=i)) for i, x in enumerate(found)]
    chex.assert_trees_all_close(
        (found, pull_back(cotangents)),
        (expected, pull_expected(cotangents)),
        rtol=1e-9,
        atol=1e-10,
    )


@pytest.mark.slow
@pytest.mark.parametrize("varied", [0, 1, 2])
def test_iterations_can_be_differentiated_with_respect_to_each_argument_alone(varied, float64):
    (state, brightness), weights = arguments_of_iterations((4, 3))
    arguments = [state, brightness, weights]

    def of_one(function, value):
        return function([*arguments[:varied], value, *arguments[varied + 1 :]])

    def both(function):
        direction = jax.tree.map(lambda x: jnp.asarray(noise(*x.shape, seed=7)), arguments[varied])
        return jax.jvp(functools.partial(of_one, function), (arguments[varied],), (direction,))

    found = both(functools.partial(some_iterations, 3, True))
    expected = both(functools.partial(steps_in_a_loop, 3))
    chex.assert_trees_all_close(found, expected, rtol=1e-9, atol=1e-10)
