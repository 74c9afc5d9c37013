"""The step compared with hand-written training; `test_parallel.py` uses a real network."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from afn_jax.types import Batch
from tests.small_run import SmallNetwork
from train.config import AugmentConfig, OptimConfig
from train.objectives import create_objective
from train.optim import create_optimizer
from train.parallel import AXIS, split_batch, train_step_on
from train.state import create_state, evaluation_variables, num_parameters
from train.step import augment_frames, make_predict, make_test_step, make_train_step, to_float

FRAMES_SHAPE = (4, 3, 8, 8, 3)
NUM_CLASSES = 5
OFF = AugmentConfig()
ON = AugmentConfig(brightness=0.3, contrast=0.3, saturation=0.3, noise=0.1)

# Does not change the parameters and stores the gradient as the optimizer state.
KEEP_GRADIENT = optax.GradientTransformation(
    init=lambda params: jax.tree.map(jnp.zeros_like, params),
    update=lambda gradients, state, params: (jax.tree.map(jnp.zeros_like, params), gradients),
)


def make_batch(seed=0):
    """Flow masks are spread unevenly over the examples and one example is padding."""
    rng = np.random.default_rng(seed)
    flow_mask = rng.random(FRAMES_SHAPE[:-1]) < np.array([0.9, 0.02, 0.5, 0.3])[:, None, None, None]
    return Batch(
        frames=rng.integers(0, 256, FRAMES_SHAPE).astype(np.uint8),
        labels=rng.integers(0, NUM_CLASSES, 4).astype(np.int32),
        flows=rng.normal(size=(*FRAMES_SHAPE[:-1], 2)).astype(np.float32),
        flow_mask=flow_mask,
        mask=np.array([True, True, True, False]),
    )


def make_step(
    num_devices,
    *,
    flow="endpoint",
    action=True,
    flow_weight=1.0,
    optimizer=KEEP_GRADIENT,
    augment=OFF,
    dropout=0.0,
):
    devices = jax.local_devices()[:num_devices]
    model = SmallNetwork(
        NUM_CLASSES,
        dropout_rate=dropout,
        axis_name=AXIS,
        predict_flow=flow != "none",
        classify=action,
    )
    objective = create_objective(flow, action, flow_weight=flow_weight)
    step = train_step_on(devices, make_train_step(model, objective, optimizer, augment, seed=7))
    return model, lambda state, batch: step(state, split_batch(batch, num_devices))


def first_state(model, optimizer=KEEP_GRADIENT):
    return create_state(model, optimizer, FRAMES_SHAPE, seed=3)


def reference_loss(params, batch_stats, batch, flow_weight):
    """Computes the joint loss over the whole batch with NumPy."""
    prediction, _ = SmallNetwork(NUM_CLASSES).apply(
        {"params": params, "batch_stats": batch_stats},
        batch.frames / np.float32(255),
        train=True,
        mutable=["batch_stats"],
    )
    log_p = jax.nn.log_softmax(prediction.logits)
    cross_entropy = -log_p[np.arange(4), batch.labels][batch.mask].mean()
    flow = prediction.flows[0]
    flow = 2 * jax.image.resize(flow, (*flow.shape[:2], 8, 8, 2), "bilinear")
    trusted = batch.flow_mask & batch.mask[:, None, None, None]
    epe = jnp.sqrt(((flow - batch.flows) ** 2).sum(-1))[trusted].mean()
    return cross_entropy + flow_weight * epe, (cross_entropy, epe)


@pytest.mark.parametrize("num_devices", [1, 4])
def test_gradient_and_metrics_are_those_of_the_whole_batch(num_devices):
    batch = make_batch()
    model, step = make_step(num_devices, flow_weight=0.7)
    state = first_state(model)
    (loss, (cross_entropy, epe)), gradients = jax.value_and_grad(reference_loss, has_aux=True)(
        state.params, state.batch_stats, batch, 0.7
    )
    state, metrics = step(state, batch)
    expected = {"loss": loss, "cross_entropy": cross_entropy, "epe": epe}
    expected["gradient_norm"] = optax.tree.norm(gradients)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=2e-5, err_msg=name)
    chex.assert_trees_all_close(state.opt_state, gradients, rtol=2e-3, atol=2e-6)


def test_joint_gradient_is_the_weighted_sum_of_its_halves():
    batch = make_batch()
    model, step = make_step(4, flow_weight=0.3)
    start = jax.device_get(first_state(model))

    def gradient(missing="", **objective):
        _, step = make_step(4, **objective)
        params = {name: leaves for name, leaves in start.params.items() if name != missing}
        state = start.replace(params=params, opt_state=jax.tree.map(jnp.zeros_like, params))
        zeros = jax.tree.map(np.zeros_like, start.params)
        return zeros | jax.device_get(step(state, batch)[0].opt_state)

    joint = gradient(flow_weight=0.3)
    action = gradient(missing="flow", flow="none", flow_weight=9.0)
    flow = gradient(missing="classifier", action=False)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(joint["flow"]))
    expected = jax.tree.map(lambda a, f: a + 0.3 * f, action, flow)
    chex.assert_trees_all_close(joint, expected, rtol=2e-4, atol=2e-6)


def test_counts_steps():
    model, step = make_step(2)
    state = first_state(model)
    for expected in (1, 2):
        state, _ = step(state, make_batch())
        assert int(state.step) == expected


def test_randomness_is_keyed_by_the_step():
    model, step = make_step(2, augment=ON, dropout=0.5)
    start = jax.device_get(first_state(model))

    def loss(at):
        state = start.replace(step=np.int32(at))
        return float(step(state, make_batch())[1]["loss"])

    assert loss(5) == loss(5)
    assert len({loss(5), loss(6), loss(7)}) == 3


def test_devices_draw_differently():
    """With the same example on every device, different dropout gives different gradients."""
    batch = jax.tree.map(lambda x: np.repeat(x[:1], 4, 0), make_batch())
    _, four = make_step(4, flow="none", dropout=0.5)
    model, one = make_step(1, flow="none", dropout=0.5)
    start = jax.device_get(first_state(model))
    single = jax.tree.map(lambda x: x[:1], batch)
    alone = float(one(start, single)[1]["loss"])
    together = float(four(start, batch)[1]["loss"])
    assert abs(alone - together) > 1e-4


@pytest.mark.parametrize("flow", ["endpoint", "multiscale"])
def test_a_batch_without_trusted_flow_has_zero_loss_and_gradient_and_no_endpoint_error(flow):
    batch = make_batch()
    batch = batch.replace(flow_mask=np.zeros_like(batch.flow_mask), mask=np.zeros(4, bool))
    batch = batch.replace(flows=np.full_like(batch.flows, np.nan))
    model, step = make_step(2, flow=flow)
    state, metrics = step(first_state(model), batch)
    assert float(metrics.pop("loss")) == float(metrics.pop("gradient_norm")) == 0
    chex.assert_tree_all_finite(jax.device_get(state))
    assert {"epe", "cross_entropy", "top1"} <= metrics.keys()
    assert np.isnan(list(metrics.values())).all()


def step_with(num_devices, *, optimizer=KEEP_GRADIENT, **options):
    model = SmallNetwork(NUM_CLASSES, axis_name=AXIS)
    objective = create_objective(flow_weight=0.5)
    one = make_train_step(model, objective, optimizer, OFF, 7, **options)
    step = train_step_on(jax.local_devices()[:num_devices], one)
    return model, lambda state, batch: jax.device_get(step(state, split_batch(batch, num_devices)))


def test_frozen_parameters_and_their_norms_do_not_change():
    batch = make_batch()
    model, step = step_with(2, groups=("^(Conv_0|norm)/=0", ".*=1"))
    # Statistics that differ from those of the batch show which are used.
    first = jax.device_get(first_state(model))
    start = first.replace(batch_stats=jax.tree.map(lambda x: x + 0.3, first.batch_stats))
    state, metrics = step(start, batch)
    chex.assert_trees_all_equal(state.batch_stats, start.batch_stats)
    gradient = state.opt_state
    assert not np.any(gradient["Conv_0"]["kernel"]) and not np.any(gradient["norm"]["scale"])
    assert np.abs(gradient["classifier"]["kernel"]).max() > 0

    prediction = SmallNetwork(NUM_CLASSES).apply(
        {"params": start.params, "batch_stats": start.batch_stats},
        batch.frames / np.float32(255),
        train=False,  # frozen norms work as in evaluation
    )
    log_p = jax.nn.log_softmax(prediction.logits)
    cross_entropy = -log_p[np.arange(4), batch.labels][batch.mask].mean()
    np.testing.assert_allclose(metrics["cross_entropy"], cross_entropy, rtol=2e-5)


def test_accumulated_gradients_are_the_mean_over_parts():
    """Gradients are averaged; each part updates the batch statistics after the one before."""
    batch = make_batch()
    # One device: its parts are the two halves.
    model, whole = step_with(1)
    _, in_parts = step_with(1, accumulate=2)
    start = jax.device_get(first_state(model))
    state, metrics = in_parts(start, batch)
    first, first_metrics = whole(start, jax.tree.map(lambda x: x[:2], batch))
    second, second_metrics = whole(
        start.replace(batch_stats=first.batch_stats), jax.tree.map(lambda x: x[2:], batch)
    )
    gradient = jax.tree.map(lambda a, b: (a + b) / 2, first.opt_state, second.opt_state)
    chex.assert_trees_all_close(state.opt_state, gradient, rtol=1e-3, atol=1e-6)
    chex.assert_trees_all_close(state.batch_stats, second.batch_stats, rtol=1e-5, atol=1e-6)
    assert int(state.step) == 1
    mean = (first_metrics["loss"] + second_metrics["loss"]) / 2
    np.testing.assert_allclose(metrics["loss"], mean, rtol=1e-5)
    # Metrics are means over the examples that count: two of one half and one of the other.
    expected = (2 * first_metrics["cross_entropy"] + second_metrics["cross_entropy"]) / 3
    np.testing.assert_allclose(metrics["cross_entropy"], expected, rtol=1e-5)


def test_evaluates_the_moving_average():
    optimizer = create_optimizer(OptimConfig(learning_rate=0.1, ema_decay=0.9), 1)
    model, step = step_with(2, optimizer=optimizer)
    start = jax.device_get(first_state(model, optimizer))
    state, _ = step(start, make_batch())
    found = evaluation_variables(state)
    assert found["batch_stats"] is state.batch_stats
    # After one step, the decay is at most 1 / 10.
    average = jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, start.params, state.params)
    chex.assert_trees_all_close(found["params"], average, rtol=1e-7, atol=1e-6)
    plain = first_state(model)
    assert evaluation_variables(plain)["params"] is plain.params


def frames():
    return jnp.asarray(np.random.default_rng(0).random((2, 3, 4, 4, 3)), jnp.float32)


def test_augmentation_depends_on_its_key_only():
    first, again = (augment_frames(jax.random.key(1), frames(), ON) for _ in range(2))
    other = augment_frames(jax.random.key(2), frames(), ON)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01
    assert np.abs(first - frames()).mean() > 0.01


def test_augmentation_off_changes_nothing():
    np.testing.assert_array_equal(augment_frames(jax.random.key(1), frames(), OFF), frames())


def test_jitter_without_noise_is_the_same_for_all_frames_of_a_clip():
    still = jnp.repeat(frames()[:, :1], 3, axis=1)
    changed = augment_frames(jax.random.key(1), still, AugmentConfig(brightness=0.5, contrast=0.5))
    np.testing.assert_array_equal(changed[:, 0], changed[:, 2])
    assert np.abs(changed - still).mean() > 0.01


def test_noise_has_its_standard_deviation():
    gray = jnp.full((2, 8, 32, 32, 3), 0.5)
    noise = augment_frames(jax.random.key(0), gray, AugmentConfig(noise=0.02)) - 0.5
    assert float(noise.std()) == pytest.approx(0.02, rel=0.02)


def test_to_float():
    values = to_float(jnp.array([0, 51, 255], jnp.uint8))
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, [0, 0.2, 1])


def test_evaluation_uses_running_statistics_and_no_dropout():
    batch = make_batch()
    model = SmallNetwork(NUM_CLASSES, dropout_rate=0.9)
    state = create_state(model, KEEP_GRADIENT, FRAMES_SHAPE, seed=3)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    expected = model.apply(variables, batch.frames / np.float32(255), train=False)
    found = make_predict(model)(variables, batch.frames)
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-6)
    terms = make_test_step(model, create_objective("none"))(variables, batch)
    right = (np.asarray(expected.logits).argmax(-1) == batch.labels)[batch.mask].sum()
    assert (int(terms["top1"].sum), int(terms["top1"].count)) == (right, 3)


def test_state_is_drawn_from_the_seed():
    model = SmallNetwork(NUM_CLASSES)
    first, again, other = (create_state(model, KEEP_GRADIENT, FRAMES_SHAPE, s) for s in (1, 1, 2))
    chex.assert_trees_all_equal(first, again)
    kernel = "Conv_0", "kernel"
    assert np.abs(first.params[kernel[0]]["kernel"] - other.params[kernel[0]]["kernel"]).max() > 0
    # 3x3 convolution 3 -> 4, scale and bias of 4, flow 4 -> 2, classifier 8 -> 5, with biases.
    assert num_parameters(first) == (27 * 4 + 4) + 8 + (4 * 2 + 2) + (8 * 5 + 5)
