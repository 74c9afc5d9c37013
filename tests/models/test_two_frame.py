"""The two-frame family of ActionFlowNet: sizes, pairs, and where the gradient goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models.two_frame import StackedNet, TwoFrameNet
from tests.filled_variables import filled_variables

# torchvision's published count of ResNet-18, three more input channels, another classifier.
ENCODER = 11_689_512 - 1000 * 513 + 3 * 64 * 7 * 7
CLASSIFIER = 101 * 513
# Of each level: transposed 4x4 convolutions (and a norm), of features and of flow; 3x3 to flow.
DECODER = (
    (9 * 512 * 2 + 2)
    + (16 * 512 * 256 + 2 * 256) + (16 * 2 * 2) + (9 * (256 + 256 + 2) * 2 + 2)
    + (16 * 514 * 128 + 2 * 128) + (16 * 2 * 2) + (9 * (128 + 128 + 2) * 2 + 2)
    + (16 * 258 * 64 + 2 * 64) + (16 * 2 * 2) + (9 * (64 + 64 + 2) * 2 + 2)
)  # fmt: skip
# A ResNet-18 without its stem, with a 1x1 shortcut (and norm) from 2 to 64 channels.
SECOND = ENCODER - (6 * 64 * 7 * 7 + 2 * 64) - 9 * 62 * 64 + (2 * 64 + 2 * 64)


def frames(time, height=32, width=48):
    return jax.random.uniform(jax.random.key(time), (2, time, height, width, 3))


def shapes(model, size):
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct(size, jnp.float32),
    )


@pytest.mark.parametrize(
    "model, count",
    [
        (TwoFrameNet(101), ENCODER + DECODER + CLASSIFIER),
        (TwoFrameNet(101, classify=False), ENCODER + DECODER),
        (TwoFrameNet(101, predict_flow=False), ENCODER + CLASSIFIER),
        (StackedNet(101), ENCODER + DECODER + SECOND + CLASSIFIER),
    ],
)
def test_sizes_of_the_paper(model, count):
    prediction, variables = shapes(model, (3, 2, 224, 224, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    if getattr(model, "predict_flow", True):
        # Section 3.3: four outputs with different resolutions.
        expected = [(3, 1, side, side, 2) for side in (56, 28, 14, 7)]
        assert [flow.shape for flow in prediction.flows] == expected
    else:
        assert prediction.flows == ()
    if getattr(model, "classify", True):
        assert prediction.logits.shape == (3, 101)
    else:
        assert prediction.logits is None


def test_the_stacked_model_is_about_twice_as_large():
    """Section 4.3: ActionFlowNet-2F has "approximately half the number of parameters"."""
    both = ENCODER + DECODER + CLASSIFIER
    assert 0.5 < both / (ENCODER + DECODER + SECOND + CLASSIFIER) < 0.6


def test_odd_sizes():
    prediction, _ = shapes(TwoFrameNet(5, width=4), (1, 4, 45, 67, 3))
    expected = [(1, 3, 12, 17, 2), (1, 3, 6, 9, 2), (1, 3, 3, 5, 2), (1, 3, 2, 3, 2)]
    assert [flow.shape for flow in prediction.flows] == expected


@pytest.mark.parametrize("kind", [TwoFrameNet, StackedNet])
def test_a_clip_is_the_mean_of_its_pairs(kind):
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


def test_a_frozen_flow_network_is_not_touched_by_the_classifier():
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


def test_one_frame_is_refused():
    with pytest.raises(ValueError, match=r"frames: got 1 frame.*Set num_frames"):
        TwoFrameNet(5).init(jax.random.key(0), frames(1), train=False)
