"""The two-frame family of ActionFlowNet: odd sizes, pairs, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models.two_frame import StackedNet, TwoFrameNet
from tests.filled_variables import filled_variables


def frames(time, height=32, width=48):
    return jax.random.uniform(jax.random.key(time), (2, time, height, width, 3))


def shapes(model, size):
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct(size, jnp.float32),
    )


def test_odd_sizes():
    prediction, _ = shapes(TwoFrameNet(5, width=4), (1, 4, 45, 67, 3))
    expected = [(1, 3, 12, 17, 2), (1, 3, 6, 9, 2), (1, 3, 3, 5, 2), (1, 3, 2, 3, 2)]
    assert [flow.shape for flow in prediction.flows] == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TwoFrameNet, StackedNet])
def test_averages_logits_over_the_pairs_of_a_clip(kind):
    model, clip = kind(5, width=4), frames(4)
    variables = filled_variables(model, clip[:, :2], train=False)
    apply = jax.jit(lambda x: model.apply(variables, x, train=False))
    whole = apply(clip)
    pairs = [apply(clip[:, i : i + 2]) for i in range(3)]
    assert whole.flows[0].shape == (2, 3, 8, 12, 2)
    logits = jnp.stack([pair.logits for pair in pairs])
    assert np.ptp(logits, 0).max() > 1e-3
    np.testing.assert_allclose(whole.logits, logits.mean(0), atol=1e-5)
    for scale, flow in enumerate(whole.flows):
        parts = [pair.flows[scale] for pair in pairs]
        np.testing.assert_allclose(flow, jnp.concatenate(parts, 1), atol=1e-5)


@pytest.mark.slow
def test_classifier_does_not_change_a_frozen_flow_network():
    model, clip = StackedNet(5, width=4, freeze_flow=True), frames(2)
    variables = filled_variables(model, clip, train=False)

    @jax.jit
    def run(params):
        def score(params):
            prediction, after = model.apply(
                variables | {"params": params},
                clip,
                train=True,
                rngs={"dropout": jax.random.key(2)},
                mutable=["batch_stats"],
            )
            return prediction.logits[:, 0].sum(), after["batch_stats"]

        return jax.grad(score, has_aux=True)(params)

    gradient, stats = run(variables["params"])
    for leaf in jax.tree.leaves(gradient["flownet"]):
        np.testing.assert_array_equal(leaf, 0)
    before = variables["batch_stats"]["flownet"]
    jax.tree.map(np.testing.assert_array_equal, before, stats["flownet"])
    assert jnp.abs(gradient["res2_0"]["conv1"]["kernel"]).max() > 0


def test_rejects_single_frames():
    with pytest.raises(ValueError, match="num_frames: got 1, but this model needs 2"):
        TwoFrameNet(5).init(jax.random.key(0), frames(1), train=False)
