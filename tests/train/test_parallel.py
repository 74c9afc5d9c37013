from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from afn_jax.models import create_model
from afn_jax.types import Batch
from tests.filled_variables import filled_variables
from tests.small_run import SmallNetwork
from train.config import AugmentConfig
from train.objectives import create_objective
from train.parallel import (
    AXIS,
    choose_devices,
    join_batch,
    predict_on,
    replicate,
    split_batch,
    train_step_on,
)
from train.state import create_state
from train.step import make_train_step

SHAPE = (4, 4, 16, 16, 3)


def make_batches(count):
    """Yields batches whose examples have trusted flow in very different shares of their pixels."""
    rng = np.random.default_rng(0)
    share = np.array([0.95, 0.01, 0.6, 0.2])[:, None, None, None]
    for number in range(count):
        yield Batch(
            frames=rng.integers(0, 256, SHAPE).astype(np.uint8),
            labels=rng.integers(0, 8, 4).astype(np.int32),
            flows=rng.normal(0, 2, (*SHAPE[:-1], 2)).astype(np.float32),
            flow_mask=rng.random(SHAPE[:-1]) < share,
            mask=np.arange(4) != number,
        )


def train_three_steps(num_devices):
    # Gradient descent: Adam would turn the rounding of a tiny gradient into a whole step.
    optimizer = optax.sgd(1e-2)
    model = SmallNetwork(8, axis_name=AXIS)
    devices = jax.local_devices()[:num_devices]
    step = train_step_on(
        devices,
        make_train_step(
            model, create_objective(flow_weight=0.5), optimizer, AugmentConfig(), seed=0
        ),
    )
    state = replicate(create_state(model, optimizer, SHAPE, seed=0), devices)
    start = jax.device_get(state)
    metrics = []
    for batch in make_batches(3):
        state, values = step(state, split_batch(batch, num_devices))
        metrics.append(jax.device_get(values))
    return start, state, metrics


def test_four_devices_match_one_device():
    start, one, one_metrics = train_three_steps(1)
    _, four, four_metrics = train_three_steps(4)
    for found, right in zip(four_metrics, one_metrics, strict=True):
        assert found.keys() == right.keys() >= {"loss", "epe", "cross_entropy", "gradient_norm"}
        for name, value in right.items():
            np.testing.assert_allclose(found[name], value, rtol=2e-6, err_msg=name)
    for name in ("params", "batch_stats"):
        before, found, right = (jax.device_get(getattr(s, name)) for s in (start, four, one))
        chex.assert_trees_all_close(found, right, rtol=1e-7, atol=1e-6)
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), right, before)
        assert max(jax.tree.leaves(moved)) > 1e-3, f"{name} did not change: the test is blind"

    # The state is one copy with unchanged shapes, equal on all devices.
    chex.assert_trees_all_equal_shapes_and_dtypes(four, start)
    for leaf in jax.tree.leaves(four):
        assert leaf.sharding.is_fully_replicated and len(leaf.sharding.device_set) == 4
        for shard in leaf.addressable_shards[1:]:
            np.testing.assert_array_equal(shard.data, leaf.addressable_shards[0].data)


@pytest.mark.slow
def test_every_batch_normalization_of_actionflownet_sees_the_whole_batch():
    """A norm without the axis name would normalize by the example of its device only."""
    fields = {"num_classes": 8, "width": 2, "num_frames": 4, "dropout_rate": 0.0}
    frames = jnp.asarray(next(make_batches(1)).frames / np.float32(255))

    def forward(axis_name):
        model = create_model("actionflownet", axis_name=axis_name, **fields)
        return lambda variables, frames: model.apply(
            variables, frames, train=True, mutable=["batch_stats"]
        )

    model = create_model("actionflownet", **fields)
    variables = filled_variables(model, frames[:1], train=False)
    right, right_updates = jax.jit(forward(None))(variables, frames)
    split, updates = predict_on(jax.local_devices(), forward(AXIS))(
        variables, split_batch(frames, 4)
    )
    found = join_batch(split)
    np.testing.assert_allclose(found.logits, right.logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.flows[0], right.flows[0], rtol=1e-3, atol=1e-4)
    assert len(jax.tree.leaves(right_updates)) > 30
    of_first = jax.tree.map(lambda x: x[0], updates)
    chex.assert_trees_all_close(of_first, right_updates, rtol=1e-3, atol=1e-4)


def test_rejects_devices_that_cannot_share_a_batch():
    with pytest.raises(
        ValueError,
        match="batch_size: got 6, which 4 devices .*multiple of 4, such as --batch-size 8, "
        "or fewer devices with --max-devices 3",
    ):
        choose_devices(6)
    assert len(choose_devices(6, max_devices=3)) == 3
    with pytest.raises(ValueError, match="got 1, which 4 .*--batch-size 4, .*--max-devices 1"):
        choose_devices(1)
    two_of_each = [SimpleNamespace(process_index=process) for process in (0, 0, 1, 1)]
    with pytest.raises(ValueError, match="--batch-size 8, or fewer devices with --max-devices 2"):
        choose_devices(6, found=two_of_each)
    with pytest.raises(ValueError, match="such as --batch-size 12[.]$"):
        choose_devices(9, found=two_of_each)


def test_uses_all_devices_or_at_most_max_devices():
    assert len(choose_devices(8)) == 4
    assert len(choose_devices(8, max_devices=2)) == 2
    assert len(choose_devices(8, max_devices=99)) == 4


def test_uses_equally_many_devices_of_each_process_in_their_order(monkeypatch):
    four = jax.local_devices()
    by_process = [four[2:], four[:2]]  # `jax.devices()` may have another order
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "local_devices", lambda process_index: by_process[process_index])
    assert choose_devices(8) == four[2:] + four[:2]
    assert choose_devices(8, max_devices=2) == [four[2], four[0]]
    with pytest.raises(ValueError, match="max_devices: got 3, which 2 processes .* multiple of 2"):
        choose_devices(8, max_devices=3)
    by_process[1] = four[:1]
    with pytest.raises(
        ValueError, match="devices: process 0 has 2, process 1 has 1, but each .* process 0 on "
    ):
        choose_devices(8)


def test_split_and_join():
    batch = {"a": np.arange(24).reshape(8, 3), "b": np.arange(8), "none": None}
    split = split_batch(batch, 4)
    assert split["a"].shape == (4, 2, 3) and split["b"].shape == (4, 2)
    np.testing.assert_array_equal(split["b"][1], [2, 3])
    joined = join_batch(split)
    np.testing.assert_array_equal(joined["a"], batch["a"])
    np.testing.assert_array_equal(joined["b"], batch["b"])


def test_predictions_keep_the_order_of_the_batch():
    devices = jax.local_devices()
    double = predict_on(devices, lambda factor, batch: factor * batch)
    numbers = np.arange(8, dtype=np.float32)
    found = join_batch(double(np.float32(2), split_batch(numbers, len(devices))))
    np.testing.assert_array_equal(found, 2 * numbers)
