"""The flow that minimizes each family's loss is closer to the truth than zero flow.

On synthetic clips and without a network: the flow itself is optimized.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.types import Batch, Prediction
from train.objectives import create_objective
from train.recipes import RECIPES

FRAMES, SIDE, STEPS = 3, 32, 100


def batch(count=4):
    source = SyntheticMotion(count, size=(SIDE, SIDE), num_frames=FRAMES, seed=0, split="train")
    clips = [source[i].clip(np.arange(FRAMES)) for i in range(count)]
    return Batch(
        frames=np.stack([clip.frames for clip in clips]).astype(np.float32) / 255,
        labels=np.zeros(count, np.int32),
        flows=np.stack([clip.flows for clip in clips]),
        flow_mask=np.stack([clip.flow_mask for clip in clips]),
        mask=np.ones(count, bool),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe, stage, strides",
    [
        ("actionflownet", "joint", (2,)),
        ("actionflownet", "flow-2f", (4, 8)),
        ("hidden-two-stream", "motionnet", (2, 4)),
        ("uf-tsn", "flow", (2, 4)),
        ("odabasi", "", (1,)),
    ],
)
def test_minimizing_the_loss_finds_the_motion(recipe, stage, strides):
    config = RECIPES[recipe][stage]["toy"].objective
    objective = create_objective(**dataclasses.asdict(config), starts=(0, 1, 2))
    clips = batch()
    logits = jnp.zeros((4, 8))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, STEPS))

    def loss(flows):
        terms = objective(Prediction(logits, flows), clips)
        return sum(w * terms[name].mean for name, w in objective.weights.items() if w), terms

    def step(carry, _):
        flows, state = carry
        gradients, _ = jax.grad(loss, has_aux=True)(flows)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(flows, updates), state), None

    @jax.jit
    def minimize(flows):
        start, _ = loss(flows)
        (flows, _), _ = jax.lax.scan(step, (flows, optimizer.init(flows)), length=STEPS)
        end, terms = loss(flows)
        return start, end, terms["epe"], terms["zero_flow_epe"]

    flows = tuple(jnp.zeros((4, FRAMES - 1, SIDE // s, SIDE // s, 2)) for s in strides)
    start, end, epe, zero = jax.device_get(minimize(flows))
    assert end < start

    assert epe.mean < 0.9 * zero.mean, (epe, zero)
