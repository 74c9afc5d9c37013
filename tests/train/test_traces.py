"""The training step is traced, and so compiled, once per batch shape."""

import chex
import jax
import numpy as np
import pytest

from afn_jax.types import Batch
from tests.small_run import SmallNetwork, build_small_network, small_config
from train.config import AugmentConfig, OptimConfig
from train.loop import train
from train.objectives import create_objective
from train.optim import create_optimizer
from train.parallel import AXIS, replicate, split_batch, train_step_on
from train.state import create_state
from train.step import make_train_step


def make_batch(size, seed):
    rng = np.random.default_rng(seed)
    shape = (size, 3, 8, 8)
    return Batch(
        frames=rng.integers(0, 256, (*shape, 3)).astype(np.uint8),
        labels=rng.integers(0, 5, size).astype(np.int32),
        flows=rng.normal(size=(*shape, 2)).astype(np.float32),
        flow_mask=np.ones(shape, bool),
        mask=np.ones(size, bool),
    )


@pytest.mark.parametrize("num_devices", [1, 2])
def test_train_step_is_traced_once_per_batch_shape(num_devices):
    """If a step changed a dtype, weak type or sharding of the state, the next one would compile."""
    chex.clear_trace_counter()
    devices = jax.local_devices()[:num_devices]
    optimizer = create_optimizer(OptimConfig(warmup_steps=1, ema_decay=0.9), 4)
    step = make_train_step(
        SmallNetwork(5, axis_name=AXIS), create_objective(), optimizer, AugmentConfig(), seed=0
    )
    step = train_step_on(devices, chex.assert_max_traces(step, n=1))
    state = create_state(SmallNetwork(5), optimizer, (4, 3, 8, 8, 3), seed=0)
    # A new state is on one device; a restored one consists of arrays on the host.
    for first in (state, jax.device_get(state)):
        state = replicate(first, devices)
        for seed in (0, 1):
            state, _ = step(state, split_batch(make_batch(4, seed), num_devices))
    with pytest.raises(AssertionError, match="traced > 1 times"):
        step(state, split_batch(make_batch(6, 2), num_devices))


def test_training_run_traces_its_step_once(tmp_path, monkeypatch):
    chex.clear_trace_counter()
    monkeypatch.setattr("train.program.build_model", build_small_network)
    monkeypatch.setattr(
        "train.program.make_train_step",
        lambda *args, **options: chex.assert_max_traces(make_train_step(*args, **options), n=1),
    )
    assert train(small_config(tmp_path, steps=2)).finished
