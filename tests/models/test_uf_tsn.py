"""UF-TSN: sizes, published and hand-made counts, and where gradients and directions go."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.losses import uf_tsn_loss
from afn_jax.models.uf_tsn import UFTSN, split_directions, stack_flows
from afn_jax.nn import ResNetEncoder
from tests.filled_variables import filled_variables

TINY = dict(
    num_classes=5,
    width=8,
    num_frames=3,
    pyramid_widths=(16, 32),
    convs_per_level=1,
    decoder_widths=(32, 16),
    spatial_depth=18,
)


def clip(time=3, height=19, width=34):
    return jax.random.uniform(jax.random.key(0), (2, time, height, width, 3))


def initialised(model, frames):
    return filled_variables(model, frames, train=False)


def count_by_hand():
    """A 3x3 convolution has 9 * in * out weights and `out` biases."""
    total = 0
    for before, width in ((3, 16), (16, 32), (32, 64), (64, 96)):
        for channels in (before, width, width):
            total += 9 * channels * width + width
    for channels in (3, 16, 32, 64, 96):
        seen = channels + 2 + 7 * 7  # features, upsampled flow, costs within 3 pixels
        for width in (128, 128, 96, 64, 32, 2):
            total += 9 * seen * width + width
            seen += width
    return total


ESTIMATOR = 5_727_918
# Torchvision's published ResNet-18 and ResNet-152 with another classifier, and the former with a
# first convolution over 20 channels of flow instead of 3.
MOTION = 11_689_512 - 1000 * 513 + 101 * 513 + (20 - 3) * 64 * 49
SPATIAL = 60_192_808 - 1000 * 2049 + 101 * 2049


@pytest.mark.parametrize(
    "switches, expected",
    [
        ({"classify": False}, ESTIMATOR),
        ({"spatial_stream": False}, ESTIMATOR + MOTION),
        ({}, ESTIMATOR + MOTION + SPATIAL),
    ],
)
def test_paper_size(switches, expected):
    model = UFTSN(num_classes=101, **switches)
    frames = jax.ShapeDtypeStruct((2, 11, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), frames)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == expected
    assert count_by_hand() == ESTIMATOR and f"{ESTIMATOR / 1e6:.1f}" == "5.7"  # Table 3
    for train, pairs in ((False, 10), (True, 20)):
        prediction = jax.eval_shape(
            lambda v, x, train=train: model.apply(
                v, x, train=train, mutable=True, rngs={"dropout": jax.random.key(0)}
            )[0],
            variables,
            frames,
        )
        sizes = [224, 112, 56, 28, 14]
        assert [f.shape for f in prediction.flows] == [(2, pairs, s, s, 2) for s in sizes]
        if model.classify:
            assert prediction.logits.shape == (2, 101)


def test_streams_share_names_and_are_averaged():
    frames = clip()
    variables = initialised(UFTSN(**TINY), frames)

    def logits(weights):
        return UFTSN(**TINY, fusion_weights=weights).apply(variables, frames, train=False).logits

    spatial, temporal = logits((1.0, 0.0)), logits((0.0, 1.0))
    assert np.abs(spatial - temporal).max() > 1e-3
    np.testing.assert_allclose(logits((1.0, 1.0)), (spatial + temporal) / 2, atol=1e-6)
    np.testing.assert_allclose(logits((1.0, 3.0)), (spatial + 3 * temporal) / 4, atol=1e-6)
    # The smaller models run on the larger one's variables.
    parts = {
        kind: {name: leaf for name, leaf in tree.items() if name != "spatial"}
        for kind, tree in variables.items()
    }
    alone = UFTSN(**TINY, spatial_stream=False).apply(parts, frames, train=False)
    np.testing.assert_array_equal(alone.logits, temporal)
    estimator = {"params": {"flow_estimator": variables["params"]["flow_estimator"]}}
    flows = UFTSN(**TINY, classify=False).apply(estimator, frames, train=False)
    assert flows.logits is None
    np.testing.assert_array_equal(flows.flows[0], alone.flows[0])
    with pytest.raises(ValueError, match="fusion_weights: got"):
        logits((0.0, 0.0))


def test_each_stream_sees_what_it_should():
    frames = clip()
    variables = initialised(UFTSN(**TINY), frames)

    @jax.jit
    def sensitivity(frames):
        def logits(frames, weights):
            model = UFTSN(**TINY, fusion_weights=weights)
            return model.apply(variables, frames, train=False).logits

        def changed_by(weights):
            gradient = jax.jacobian(lambda x: logits(x, weights).sum(0))(frames)
            return jnp.abs(gradient).max((0, 1, 3, 4, 5)) > 0

        return changed_by((1.0, 0.0)), changed_by((0.0, 1.0))

    spatial, temporal = sensitivity(frames)
    assert spatial.tolist() == [False, True, False]  # the middle frame alone
    assert temporal.tolist() == [True, True, True]


@pytest.mark.parametrize("detached", [False, True])
def test_detached_flow_gets_no_gradient_from_the_action(detached):
    frames = clip()
    model = UFTSN(**TINY, spatial_stream=False, stop_flow_gradient=detached)
    variables = initialised(model, frames)

    def gradients(part):
        def loss(params):
            prediction, _ = model.apply(
                variables | {"params": params},
                frames,
                train=True,
                rngs={"dropout": jax.random.key(2)},
                mutable=["batch_stats"],
            )
            return part(prediction)

        gradient = jax.grad(loss)(variables["params"])["flow_estimator"]
        return jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(gradient)])

    def unsupervised(prediction):
        forward, backward = split_directions(prediction.flows, num_frames=3)
        assert len(forward) == len(backward) == 3
        return uf_tsn_loss(frames[:, :-1], frames[:, 1:], forward, backward)[0]

    from_action = jax.jit(lambda: gradients(lambda prediction: jnp.sin(prediction.logits).sum()))()
    assert (from_action == 0).all() if detached else (from_action > 0).all()
    if detached:  # the losses of the flow go on
        assert (jax.jit(lambda: gradients(unsupervised))() > 0).all()


def test_flows_are_stacked_by_pair_and_scaled():
    flows = jnp.zeros((1, 2, 1, 1, 2)).at[0, :, 0, 0].set(jnp.array([[1.0, -2.0], [30.0, 0.0]]))
    stacked = stack_flows(flows, bound=20.0)
    deviation = (0.229 + 0.224 + 0.225) / 3
    expected = np.array([1 / 40, -2 / 40, 20 / 40, 0]) / deviation
    np.testing.assert_allclose(stacked[0, 0, 0], expected, atol=1e-6)


def test_directions_are_taken_apart():
    flows = (jnp.arange(8.0).reshape(1, 4, 1, 1, 2), jnp.ones((1, 4, 1, 1, 2)))
    forward, backward = split_directions(flows, num_frames=3)
    np.testing.assert_array_equal(forward[0].ravel(), [0, 1, 2, 3])
    np.testing.assert_array_equal(backward[0].ravel(), [4, 5, 6, 7])
    assert split_directions(forward, num_frames=3)[1] == ()


def test_reduced_flow_is_brought_to_the_frames():
    frames = clip()
    model = UFTSN(**TINY, spatial_stream=False, finest_level=1, multi_scale=False)
    variables = filled_variables(model, frames, train=False)
    seen = []

    def spy(call, args, kwargs, context):
        if isinstance(context.module, ResNetEncoder) and context.method_name == "__call__":
            seen.append(args[0].shape)
        return call(*args, **kwargs)

    with nn.intercept_methods(spy):
        prediction = jax.eval_shape(lambda: model.apply(variables, frames, train=False))
    assert [flow.shape for flow in prediction.flows] == [(2, 2, 10, 17, 2)]
    assert seen == [(2, 19, 34, 4)]


def test_a_clip_of_another_length_is_refused_by_the_classifier_alone():
    model = UFTSN(**TINY)
    with pytest.raises(ValueError, match="got 4 frames a clip.*num_frames=3"):
        model.init(jax.random.key(0), clip(time=4), train=False)
    flows = jax.eval_shape(
        lambda x: UFTSN(**TINY, classify=False).init_with_output(jax.random.key(0), x, train=False)[
            0
        ],
        clip(time=4),
    ).flows
    assert flows[0].shape[1] == 3
