"""Both implementations of `warp` train alike."""

import chex
import jax
import numpy as np
import pytest

from afn_jax.losses import uf_tsn
from afn_jax.nn import pwc
from afn_jax.ops import warp
from afn_jax.ops.warp import IMPLEMENTATIONS
from afn_jax.types import Batch
from tests.train.narrow import narrowed
from train.parallel import replicate, split_batch
from train.program import build_program
from train.recipes import RECIPES


def step_of_uf_tsn(implementation, monkeypatch):
    """Returns the parameters and metrics after a step, and how often `warp` was traced."""
    config = narrowed(RECIPES["uf-tsn"]["flow"]["toy"], steps=2)
    calls = []

    def chosen(*arguments, **options):
        calls.append(options)
        return warp(*arguments, **options, implementation=implementation)

    for module in (pwc, uf_tsn):
        monkeypatch.setattr(module, "warp", chosen)
    devices = jax.local_devices()[:1]
    program = build_program(config, 8, devices)
    shape = (config.batch_size, config.data.num_frames, *config.data.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    mask, labels = np.ones(config.batch_size, bool), np.zeros(config.batch_size, np.int32)
    batch = Batch(frames=frames, labels=labels, flows=None, flow_mask=None, mask=mask)
    state = replicate(program.create_state(), devices)
    state, metrics = program.train_step(state, split_batch(batch, 1))
    return (state.params, metrics), len(calls)


@pytest.mark.slow
def test_a_step_of_uf_tsn_is_the_same_by_both_implementations(monkeypatch):
    steps = [step_of_uf_tsn(implementation, monkeypatch) for implementation in IMPLEMENTATIONS]
    (first, calls), (second, _) = steps
    assert calls > 4  # by the network, level for level, and by the loss
    chex.assert_trees_all_close(first, second, rtol=1e-4, atol=1e-6)
