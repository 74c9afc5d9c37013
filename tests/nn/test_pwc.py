"""Coarse-to-fine flow: pyramid, warping, costs and residuals, compared with known values."""

from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn.pwc import CoarseToFineFlow, DenseDecoder, FeaturePyramid
from afn_jax.ops.backend import tracing_for
from tests.filled_variables import filled_variables

SMALL = dict(pyramid_widths=(4, 6), convs_per_level=2, decoder_widths=(5, 3))
TWO_LEVELS = dict(pyramid_widths=(4,), convs_per_level=1, decoder_widths=(5, 3), max_displacement=1)


def clip(time=2, height=16, width=24, channels=3):
    return jax.random.normal(jax.random.key(0), (1, time, height, width, channels))


def with_constant_residuals(variables, residuals):
    """Returns variables with which the decoder of each level predicts `residuals[level]`."""
    params = jax.tree.map(lambda x: x, variables["params"])
    for level, residual in residuals.items():
        head = params[f"decoder{level}"]["flow"]
        params[f"decoder{level}"]["flow"] = {
            "kernel": jnp.zeros_like(head["kernel"]),
            "bias": jnp.array(residual),
        }
    return {"params": params}


def test_pyramid_starts_with_the_images_and_halves_the_size_per_level():
    images = clip()[0, :, :13, :9]
    model = FeaturePyramid((4, 6), 2)
    variables = filled_variables(model, images)
    levels = jax.jit(model.apply)(variables, images)
    assert [x.shape for x in levels] == [(2, 13, 9, 3), (2, 7, 5, 4), (2, 4, 3, 6)]
    np.testing.assert_array_equal(levels[0], images)
    kernels = {name: leaf["kernel"].shape for name, leaf in variables["params"].items()}
    assert kernels["level2_conv1"] == (3, 3, 4, 6) and kernels["level2_conv2"] == (3, 3, 6, 6)


def test_decoder_is_densely_connected_and_starts_near_zero_flow():
    x = clip()[0]
    model = DenseDecoder((5, 3))
    (features, flow), variables = jax.jit(model.init_with_output)(jax.random.key(1), x)
    inputs = {name: leaf["kernel"].shape[2] for name, leaf in variables["params"].items()}
    assert inputs == {"conv1": 3, "conv2": 3 + 5, "flow": 3 + 5 + 3}
    chex.assert_shape((features, flow), [(2, 16, 24, 3), (2, 16, 24, 2)])
    assert 0 < np.abs(flow).max() < 0.1


def test_each_level_adds_its_residual_to_twice_the_coarser_flow():
    model = CoarseToFineFlow(**SMALL)
    variables = filled_variables(model, clip())
    residuals = {2: (1.0, -0.5), 1: (0.25, 0.0), 0: (0.0, 3.0)}
    flows = jax.jit(model.apply)(with_constant_residuals(variables, residuals), clip())
    expected = [(4.5, 1.0), (2.25, -1.0), (1.0, -0.5)]
    chex.assert_shape(flows, [(1, 1, 16 >> level, 24 >> level, 2) for level in range(3)])
    for flow, value in zip(flows, expected, strict=True):
        np.testing.assert_allclose(
            flow, np.broadcast_to(np.array(value, np.float32), flow.shape), atol=1e-5
        )


def test_second_frame_is_warped_before_matching():
    first = clip(width=32)[:, 0]
    shift = 4  # to the right, one pixel of level 2
    frames = jnp.stack([first, jnp.roll(first, shift, axis=2)], 1)
    model = CoarseToFineFlow(**SMALL, max_displacement=1)
    variables = filled_variables(model, frames)
    variables = with_constant_residuals(variables, {2: (1.0, 0.0), 1: (0.0, 0.0)})

    @jax.jit
    def decoder_inputs():
        seen = []

        def spy(call, args, kwargs, context):
            if isinstance(context.module, DenseDecoder) and context.method_name == "__call__":
                seen.append(args[0])
            return call(*args, **kwargs)

        with nn.intercept_methods(spy):
            model.apply(variables, frames)
        return seen

    seen = decoder_inputs()
    # The input of level 0 is the frame, the upsampled flow and 3 x 3 costs.
    image, flow, costs = np.split(np.asarray(seen[-1]), (3, 5), axis=-1)
    np.testing.assert_array_equal(image, first)
    np.testing.assert_allclose(
        flow, np.broadcast_to(np.array([shift, 0], np.float32), flow.shape), atol=1e-5
    )
    inside = np.s_[:, 1:-1, 1 : -shift - 1]
    np.testing.assert_allclose(costs[..., 4][inside], (first**2).mean(-1)[inside], atol=1e-5)
    # The flow of the coarsest level starts at zero.
    np.testing.assert_array_equal(seen[0][..., 6:8], 0)


@pytest.mark.parametrize(
    "switches", [{}, {"multi_scale": False}, {"multi_scale": False, "use_cost_volume": False}]
)
def test_backward_flow_is_the_flow_of_the_reversed_clip(switches):
    frames = clip(time=3, height=13, width=18)
    model = CoarseToFineFlow(**SMALL, **switches)
    variables = filled_variables(model, frames)
    apply = jax.jit(model.apply, static_argnames="bidirectional")
    forward = apply(variables, frames)
    backwards = apply(variables, frames[:, ::-1])
    both = apply(variables, frames, bidirectional=True)
    assert len(both) == (3 if not switches else 1)
    for flow, one, other in zip(both, forward, backwards, strict=True):
        np.testing.assert_allclose(flow[:, :2], one, atol=1e-5)
        np.testing.assert_allclose(flow[:, 2:], other[:, ::-1], atol=1e-5)
        assert np.abs(flow[:, :2] - flow[:, 2:]).max() > 1e-4


def test_ablations_change_the_inputs_of_the_decoders():
    def inputs(**switches):
        model = CoarseToFineFlow(**SMALL, max_displacement=1, **switches)
        variables = jax.eval_shape(model.init, jax.random.key(0), clip())
        params = variables["params"]
        assert ("flow" in params["decoder1"]) == switches.get("multi_scale", True)
        return [params[f"decoder{level}"]["conv1"]["kernel"].shape[2] for level in (2, 1, 0)]

    # Features of the first frame, flow, and costs or features of the second frame.
    assert inputs() == [6 + 2 + 9, 4 + 2 + 9, 3 + 2 + 9]
    assert inputs(use_cost_volume=False) == [6 + 2 + 6, 4 + 2 + 4, 3 + 2 + 3]
    # The coarser decoder's 3 features replace its flow.
    assert inputs(multi_scale=False) == [6 + 9, 4 + 3 + 9, 3 + 3 + 9]
    assert inputs(multi_scale=False, use_cost_volume=False) == [6 + 6, 4 + 3 + 4, 3 + 3 + 3]


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{}, {"multi_scale": False, "use_cost_volume": False}])
def test_groups_of_pairs_do_not_change_flow_gradients_or_parameters(switches):
    frames = clip(time=4)  # six pairs; groups of one at level 0, of three at level 1
    plain = CoarseToFineFlow(**TWO_LEVELS, **switches, remat=False)
    grouped = CoarseToFineFlow(**TWO_LEVELS, **switches, group_pixels=16 * 24)
    variables = filled_variables(plain, frames)
    with tracing_for("cuda"):
        shapes = jax.eval_shape(grouped.init, jax.random.key(0), frames)
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes, variables)

    def loss(variables, model):
        flows = model.apply(variables, frames, bidirectional=True)
        return sum(jnp.sin(flow).sum() for flow in flows), flows

    with tracing_for("cuda"):
        found, expected = (
            jax.jit(jax.grad(partial(loss, model=model), has_aux=True))(variables)
            for model in (grouped, plain)
        )

    def close(a, b):  # sums of terms as large as the largest value of the leaf
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())

    jax.tree.map(close, found, expected)


@pytest.mark.slow
def test_backward_pass_needs_the_memory_of_one_group():
    frames = jax.ShapeDtypeStruct((1, 9, 32, 32, 3), jnp.float32)  # eight pairs

    def temporaries(**fields):
        model = CoarseToFineFlow(**TWO_LEVELS, **fields)
        variables = jax.eval_shape(model.init, jax.random.key(0), frames)

        def loss(variables, frames):
            return sum(jnp.sin(flow).sum() for flow in model.apply(variables, frames))

        with tracing_for("cuda"):
            compiled = jax.jit(jax.grad(loss)).lower(variables, frames).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(group_pixels=32 * 32) < 0.5 * temporaries(remat=False)


def test_finest_level_stops_earlier_and_rejects_unknown_levels_and_single_frames():
    model = CoarseToFineFlow(**SMALL, finest_level=1)
    flows, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), clip())
    assert [flow.shape[2:4] for flow in flows] == [(8, 12), (4, 6)]
    assert "decoder0" not in variables["params"]
    with pytest.raises(ValueError, match="finest_level: got 3; allowed: 0 to 2"):
        CoarseToFineFlow(**SMALL, finest_level=3).init(jax.random.key(0), clip())
    with pytest.raises(ValueError, match="num_frames: got 1, but this model needs 2"):
        CoarseToFineFlow(**SMALL).init(jax.random.key(0), clip(time=1))


def test_convolutions_are_followed_by_leaky_relus():
    """Negative outputs of the convolutions are divided by ten."""
    x = clip()[:, 0]
    for module, names in (
        (FeaturePyramid((4, 6), 2), ("level1_conv2", "level2_conv2")),
        (DenseDecoder((4, 3)), ("conv2",)),
    ):
        variables = filled_variables(module, x)
        outputs, state = jax.jit(
            lambda v, x, module=module: module.apply(v, x, capture_intermediates=True)
        )(variables, x)
        convolved = [state["intermediates"][name]["__call__"][0] for name in names]
        activated = outputs[1:] if len(names) == 2 else outputs[:1]
        for before, after in zip(convolved, activated, strict=True):
            assert (before < 0).any()
            expected = np.where(before < 0, 0.1 * before, before)
            np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)
