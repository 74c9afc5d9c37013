"""The representation flow layer: frames, parameters, independence of examples, and fusion."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.nn import FlowConvFlow, FlowOfFeatures, RepresentationFlow
from afn_jax.nn.representation_flow import LEARNABLE, LEARNED_BY_DEFAULT
from afn_jax.ops import initial_params, representation_flow

KERNELS = ("tvl1", "sobel")
# The rows of Table 2.
TABLE_2 = {
    "none": (),
    "sobel kernels": ("image_gradient", "flow_gradient"),
    "divergence": ("divergence",),
    "tau, lambda, theta": ("tau", "lam", "theta"),
    "all": ("tau", "lam", "theta", "divergence", "image_gradient", "flow_gradient"),
    "divergence + tau, lambda, theta": ("tau", "lam", "theta", "divergence"),
}
LAYERS = {
    "flow": lambda **options: RepresentationFlow(channels=3, num_iterations=3, **options),
    "fcf": lambda **options: FlowConvFlow(channels=3, num_iterations=3, **options),
}


def clips(*shape, seed=0):
    random = np.random.default_rng(seed)
    return jnp.asarray(random.normal(size=shape or (2, 4, 5, 6, 4)), jnp.float32)


def names(params):
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def set_norm_scale(variables, scale):
    """Returns variables whose norm has this scale, so that the flow is not multiplied by 0."""
    norm = dict(variables["params"]["norm"])
    norm["scale"] = jnp.full_like(norm["scale"], scale)
    return {**variables, "params": {**variables["params"], "norm": norm}}


def init(layer, x):
    return jax.jit(layer.init)(jax.random.key(0), x)


def apply(layer, variables, x, **options):
    return jax.jit(lambda variables, x: layer.apply(variables, x, **options))(variables, x)


def init_shapes(layer, x):
    return jax.eval_shape(layer.init, jax.random.key(0), x)


@pytest.mark.parametrize("kernels, normalize", [("tvl1", True), ("tvl1", False), ("sobel", True)])
def test_flow_of_features_matches_representation_flow_of_each_pair(kernels, normalize):
    features = 20 * clips(2, 3, 4, 5, 2)
    layer = FlowOfFeatures(num_iterations=3, kernels=kernels, normalize=normalize)
    flow = apply(layer, init(layer, features), features)
    assert flow.shape == (2, 2, 4, 5, 4)
    flow_of_pair = jax.jit(
        lambda a, b: representation_flow(a, b, num_iterations=3, kernels=kernels)
    )
    for b in range(2):
        clip = np.asarray(features[b], np.float64)
        if normalize:
            clip = 255 * (clip - clip.min()) / (clip.max() - clip.min())
        for t in range(2):
            pair = clip[t].astype(np.float32), clip[t + 1].astype(np.float32)
            expected = flow_of_pair(*pair)
            # The x flow of all channels, then the y flow.
            np.testing.assert_allclose(flow[b, t, ..., :2], expected[..., 0], atol=1e-3)
            np.testing.assert_allclose(flow[b, t, ..., 2:], expected[..., 1], atol=1e-3)


@pytest.mark.parametrize("kernels", KERNELS)
def test_only_learned_values_are_parameters(kernels):
    for learned in TABLE_2.values():
        layer = FlowOfFeatures(num_iterations=1, learned=learned, kernels=kernels)
        variables = init_shapes(layer, clips(1, 2, 3, 3, 1))
        assert set(variables) <= {"params"}
        initial = initial_params(kernels)
        shapes = {name: getattr(initial, name).shape for name in learned}
        assert names(variables.get("params", {})) == shapes
    params = init(layer, clips(1, 2, 3, 3, 1))["params"]
    chex.assert_trees_all_equal(params, {name: getattr(initial, name) for name in learned})


def test_default_is_the_best_row_of_table_2():
    assert set(LEARNED_BY_DEFAULT) == set(TABLE_2["divergence + tau, lambda, theta"])
    assert set(LEARNABLE) == set(TABLE_2["all"])
    for layer in (FlowOfFeatures, RepresentationFlow, FlowConvFlow):
        assert layer().learned == LEARNED_BY_DEFAULT


def test_parameters_are_two_kernels_and_the_learned_values():
    variables = init_shapes(LAYERS["flow"](learned=("tau", "divergence")), clips())
    assert set(variables) == {"params"}
    assert names(variables["params"]) == {
        "reduce/kernel": (1, 1, 4, 3),
        "flow/tau": (),
        "flow/divergence": (2, 2),
        "expand/kernel": (3, 3, 6, 4),
    }


def test_flow_conv_flow_has_the_parameters_of_two_flows():
    variables = init_shapes(LAYERS["fcf"](learned=("theta",), features=5), clips())
    assert names(variables["params"]) == {
        "reduce_1/kernel": (1, 1, 4, 3),
        "flow_1/theta": (),
        "expand_1/kernel": (3, 3, 6, 6),
        "reduce_2/kernel": (1, 1, 6, 3),
        "flow_2/theta": (),
        "expand_2/kernel": (3, 3, 6, 5),
    }


def test_residual_fusion_adds_a_norm():
    variables = init_shapes(LAYERS["flow"](learned=(), fusion="residual"), clips())
    assert names(variables["params"]) == {
        "reduce/kernel": (1, 1, 4, 3),
        "expand/kernel": (3, 3, 6, 4),
        "norm/scale": (4,),
        "norm/bias": (4,),
    }
    assert names(variables["batch_stats"]) == {"norm/mean": (4,), "norm/var": (4,)}


@pytest.mark.parametrize(
    "layer, frames",
    [
        (RepresentationFlow(channels=3, num_iterations=1), 3),
        (RepresentationFlow(channels=3, num_iterations=1, features=7), 3),
        (RepresentationFlow(channels=3, num_iterations=1, fusion="residual"), 3),
        (FlowConvFlow(channels=3, num_iterations=1), 2),
        (FlowConvFlow(channels=3, num_iterations=1, fusion="residual"), 2),
        (FlowConvFlow(channels=3, num_iterations=1, num_flows=3, features=7), 1),
    ],
)
def test_each_flow_uses_up_one_frame(layer, frames):
    x = clips()
    output = jax.eval_shape(lambda x: layer.init_with_output(jax.random.key(0), x)[0], x)
    assert output.shape == (2, frames, 5, 6, layer.features or 4)
    assert output.dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, kernels, fusion",
    [
        ("flow", "tvl1", "none"),
        ("flow", "sobel", "residual"),
        ("fcf", "tvl1", "none"),
        ("fcf", "tvl1", "residual"),
    ],
)
def test_all_parameters_get_gradients_and_examples_are_independent(name, kernels, fusion):
    layer, x = LAYERS[name](learned=LEARNABLE, kernels=kernels, fusion=fusion), clips()
    variables = init(layer, x)
    if fusion == "residual":  # initially, only the scale itself has a gradient
        variables = set_norm_scale(variables, 1.0)

    @jax.jit
    def train(params, x):
        def loss(params, x):
            y, _ = layer.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(jnp.sin(jnp.arange(y.size)) * y.reshape(-1)), y

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    (gradients, _), output = train(variables["params"], x)
    chex.assert_tree_all_finite(gradients)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.any(gradient != 0), path

    evaluate = jax.jit(lambda x: layer.apply(variables, x))
    changed = x.at[1].set(1000 * x[1] + 5)
    results = [(evaluate(x), evaluate(changed))]
    if fusion == "none":  # in training, the norm depends on the whole batch
        results.append((output, train(variables["params"], changed)[1]))
    for result, other in results:
        np.testing.assert_allclose(other[0], result[0], rtol=1e-5, atol=1e-5)
        assert not np.allclose(other[1], result[1])

    # Without motion the output is 0, or the clip itself with residual fusion.
    gradients, output = train(variables["params"], jnp.full_like(x, 3.0))
    np.testing.assert_array_equal(output, 0 if fusion == "none" else 3)
    chex.assert_tree_all_finite(gradients)


@pytest.mark.slow
@pytest.mark.parametrize("name, lost", [("flow", 1), ("fcf", 2)])
@pytest.mark.parametrize("train", [False, True])
def test_residual_fusion_starts_without_the_flow(name, lost, train):
    x, layer = clips(), LAYERS[name](fusion="residual")
    output, _ = apply(layer, init(layer, x), x, train=train, mutable=["batch_stats"])
    # Flow-conv-flow is added to the mean of the frames it covers: avg_pool3d(x, (3, 1, 1)).
    under = x[:, :-1] if lost == 1 else (x[:, :-2] + x[:, 1:-1] + x[:, 2:]) / 3
    np.testing.assert_allclose(output, np.maximum(under, 0), rtol=1e-6, atol=1e-7)


def test_residual_fusion_is_relu_of_frames_plus_normalized_flow():
    x = clips()
    alone, fused = LAYERS["flow"](), LAYERS["flow"](fusion="residual")
    variables = set_norm_scale(init(fused, x), 0.7)
    shared = {name: variables["params"][name] for name in ("reduce", "flow", "expand")}
    flow = np.asarray(apply(alone, {"params": shared}, x), np.float64)
    output, updated = apply(fused, variables, x, train=True, mutable=["batch_stats"])
    axes = (0, 1, 2, 3)
    normalized = (flow - flow.mean(axes)) / np.sqrt(flow.var(axes) + 1e-5)  # PyTorch's norm
    expected = np.maximum(np.asarray(x[:, :-1]) + 0.7 * normalized, 0)
    np.testing.assert_allclose(output, expected, atol=1e-4)
    mean = updated["batch_stats"]["norm"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * flow.mean(axes), rtol=1e-3, atol=1e-6)


def test_bfloat16_convolves_in_bfloat16_and_computes_flow_in_float32():
    x = clips()
    layer = LAYERS["flow"](dtype=jnp.bfloat16)
    variables = init(layer, x)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    output, state = apply(layer, variables, x, capture_intermediates=True)
    inside = {
        name: value["__call__"][0]
        for name, value in state["intermediates"].items()
        if name in ("reduce", "flow", "expand")
    }
    assert output.dtype == inside["reduce"].dtype == inside["expand"].dtype == jnp.bfloat16
    assert inside["flow"].dtype == jnp.float32
    reduced = np.asarray(inside["reduce"], np.float64)
    low, high = (f(reduced, axis=(1, 2, 3, 4), keepdims=True) for f in (np.min, np.max))
    pairs = (255 * (reduced - low) / (high - low)).astype(np.float32)
    expected = representation_flow(pairs[:, :-1], pairs[:, 1:], num_iterations=3)
    expected = np.concatenate([expected[..., 0], expected[..., 1]], axis=-1)
    # Near 255, bfloat16 values are 1 apart, which would change the flow by tenths of a pixel.
    np.testing.assert_allclose(inside["flow"], expected, atol=1e-3)


def test_parameters_do_not_depend_on_the_number_of_iterations():
    x = clips()
    for layer in (make() for make in LAYERS.values()):
        assert names(init_shapes(layer.clone(num_iterations=6), x)) == names(init_shapes(layer, x))


def test_learned_parameters_change_the_flow():
    features = 20 * clips(1, 2, 4, 5, 1)
    layer = FlowOfFeatures(num_iterations=3, learned=LEARNABLE)
    params = init(layer, features)["params"]
    run = jax.jit(lambda params: layer.apply({"params": params}, features))
    expected = run(params)
    for name in LEARNABLE:
        changed = run({**params, name: 0.5 * params[name]})
        assert not np.allclose(changed, expected), name


def test_pmap_over_four_devices_matches_one_large_batch():
    x, together = clips(4, 1, 3, 4, 5, 4), LAYERS["flow"](fusion="residual")
    variables = set_norm_scale(init(together, x[:, 0]), 1.0)
    apart = together.clone(axis_name="batch")
    options = dict(train=True, mutable=["batch_stats"])
    outputs, states = jax.pmap(
        lambda variables, x: apart.apply(variables, x, **options),
        axis_name="batch",
        in_axes=(None, 0),
    )(variables, x)
    expected, expected_state = apply(together, variables, x[:, 0], **options)
    np.testing.assert_allclose(outputs[:, 0], expected, rtol=1e-3, atol=1e-3)
    on_four = jax.tree.map(lambda leaf: np.stack([leaf] * 4), expected_state)
    chex.assert_trees_all_close(states, on_four, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_layers_compute_flow_of_flow():
    features = clips(2, 4, 5, 6, 3)
    layer = nn.Sequential([FlowOfFeatures(num_iterations=2), FlowOfFeatures(num_iterations=2)])
    variables = init(layer, features)
    assert set(names(variables["params"])) == {
        f"layers_{i}/{name}" for i in (0, 1) for name in LEARNED_BY_DEFAULT
    }

    def loss(params):
        flow_of_flow = layer.apply({"params": params}, features)
        return jnp.sum(jnp.square(flow_of_flow)), flow_of_flow

    gradients, flow_of_flow = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert flow_of_flow.shape == (2, 2, 5, 6, 12)
    chex.assert_tree_all_finite(gradients)
    assert all(np.any(gradient != 0) for gradient in jax.tree.leaves(gradients))
    first = FlowOfFeatures(num_iterations=2)
    flow = apply(first, {"params": variables["params"]["layers_0"]}, features)
    second = apply(first, {"params": variables["params"]["layers_1"]}, flow)
    np.testing.assert_allclose(flow_of_flow, second, rtol=1e-3, atol=1e-3)


def test_is_traced_once_for_initial_and_updated_parameters():
    """Initial parameters with another dtype or weak type would compile the program twice."""
    chex.clear_trace_counter()
    layer, x = LAYERS["flow"](learned=LEARNABLE), clips(1, 2, 4, 5, 4)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def gradient(params, x):
        return jax.grad(lambda params: jnp.sum(layer.apply({"params": params}, x) ** 2))(params)

    params = init(layer, x)["params"]
    updated = jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient(params, x))
    gradient(updated, x + 1)
    with pytest.raises(AssertionError, match="traced > 1 times"):
        gradient(params, clips(2, 2, 4, 5, 4))


@pytest.mark.parametrize(
    "layer, options, shape, message",
    [
        (FlowOfFeatures, dict(learned=("tau", "alpha")), (1, 2, 3, 3, 1), "learned names alpha"),
        (FlowOfFeatures, {}, (1, 1, 3, 3, 1), "two frames or more"),
        (FlowOfFeatures, {}, (2, 3, 3, 1), r"features has shape \(2, 3, 3, 1\)"),
        (FlowOfFeatures, dict(kernels="scharr"), (1, 2, 3, 3, 1), "kernels is 'scharr'"),
        (RepresentationFlow, dict(learned=("beta",)), (1, 2, 3, 3, 1), "learned names beta"),
        (RepresentationFlow, {}, (1, 1, 3, 3, 1), "with at least 2 frames"),
        (RepresentationFlow, {}, (2, 3, 3, 1), r"x has shape \(2, 3, 3, 1\)"),
        (RepresentationFlow, dict(fusion="sum"), (1, 2, 3, 3, 1), "fusion is 'sum'; choose"),
        (
            RepresentationFlow,
            dict(fusion="residual", features=2),
            (1, 2, 3, 3, 1),
            "features is 2 and x has 1 channels; .* leave features at None",
        ),
        (FlowConvFlow, {}, (1, 2, 3, 3, 1), "with at least 3 frames"),
        (FlowConvFlow, dict(num_flows=3), (1, 3, 3, 3, 1), "with at least 4 frames"),
        (FlowConvFlow, dict(num_flows=1), (1, 3, 3, 3, 1), "num_flows is 1; pass 2 or more"),
        (FlowConvFlow, dict(fusion="sum"), (1, 3, 3, 3, 1), "fusion is 'sum'"),
    ],
)
def test_rejects_wrong_shapes_and_unknown_options(layer, options, shape, message, untyped):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer(**options).init, jax.random.key(0), jnp.zeros(shape))


def test_flow_conv_flow_matches_its_layers_in_sequence():
    x, layer = clips(), LAYERS["fcf"]()
    variables = init(layer, x)
    params = variables["params"]
    y = np.asarray(x, np.float64)
    for part in "12":
        y = np.einsum("bthwc,cd->bthwd", y, np.asarray(params[f"reduce_{part}"]["kernel"])[0, 0])
        flow = FlowOfFeatures(num_iterations=3)
        y = apply(flow, {"params": params[f"flow_{part}"]}, jnp.asarray(y, jnp.float32))
        kernel = np.asarray(params[f"expand_{part}"]["kernel"])
        padded = np.pad(np.asarray(y, np.float64), ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
        height, width = y.shape[2:4]
        y = sum(
            padded[:, :, i : i + height, j : j + width] @ kernel[i, j]
            for i in range(3)
            for j in range(3)
        )
    assert y.shape[1] == x.shape[1] - 2
    np.testing.assert_allclose(apply(layer, variables, x), y, rtol=1e-3, atol=1e-3)
