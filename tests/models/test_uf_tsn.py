"""UF-TSN: inputs of each stream, gradients, and flow directions."""

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

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def clip(time=3, height=19, width=34):
    return jax.random.uniform(jax.random.key(0), (2, time, height, width, 3))


def initialized(model, frames):
    return filled_variables(model, frames, train=False)


@pytest.mark.slow
def test_streams_share_variable_names_and_average_their_logits():
    frames = clip()
    variables = initialized(UFTSN(**TINY), frames)
    # Smaller networks can use the variables of the larger one.
    parts = {
        kind: {name: leaf for name, leaf in tree.items() if name != "spatial"}
        for kind, tree in variables.items()
    }
    estimator = {"params": {"flow_estimator": variables["params"]["flow_estimator"]}}

    @jax.jit
    def run():
        def predict(variables, **fields):
            return UFTSN(**TINY, **fields).apply(variables, frames, train=False)

        weights = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 3.0)
        logits = [predict(variables, fusion_weights=each).logits for each in weights]
        alone, flows = predict(parts, spatial_stream=False), predict(estimator, classify=False)
        return logits, alone, flows

    (spatial, temporal, mean, weighted), alone, flows = run()
    assert np.abs(spatial - temporal).max() > 1e-3
    np.testing.assert_allclose(mean, (spatial + temporal) / 2, atol=1e-6)
    np.testing.assert_allclose(weighted, (spatial + 3 * temporal) / 4, atol=1e-6)
    np.testing.assert_allclose(alone.logits, temporal, atol=1e-6)
    assert flows.logits is None
    np.testing.assert_allclose(flows.flows[0], alone.flows[0], atol=1e-6)
    with pytest.raises(ValueError, match="fusion_weights: got"):
        UFTSN(**TINY, fusion_weights=(0.0, 0.0)).apply(variables, frames, train=False)


@pytest.mark.slow
def test_each_stream_sees_its_frames():
    frames = clip()
    variables = initialized(UFTSN(**TINY), frames)

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
    assert spatial.tolist() == [False, True, False]  # only the middle frame
    assert temporal.tolist() == [True, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("detached", [False, True])
def test_detached_flow_has_no_gradient_from_the_action(detached):
    frames = clip()
    model = UFTSN(**TINY, spatial_stream=False, stop_flow_gradient=detached)
    variables = initialized(model, frames)

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
        assert forward[0].shape == backward[0].shape == (2, 2, 19, 34, 2)
        return uf_tsn_loss(frames[:, :-1], frames[:, 1:], forward, backward)[0]

    from_action = jax.jit(lambda: gradients(lambda prediction: jnp.sin(prediction.logits).sum()))()
    assert (from_action == 0).all() if detached else (from_action > 0).all()
    if detached:  # flow losses still have a gradient
        assert (jax.jit(lambda: gradients(unsupervised))() > 0).all()


def test_stacks_and_scales_flows_by_pair():
    flows = jnp.zeros((1, 2, 1, 1, 2)).at[0, :, 0, 0].set(jnp.array([[1.0, -2.0], [30.0, 0.0]]))
    stacked = stack_flows(flows, bound=20.0)
    deviation = (0.229 + 0.224 + 0.225) / 3
    expected = np.array([1 / 40, -2 / 40, 20 / 40, 0]) / deviation
    np.testing.assert_allclose(stacked[0, 0, 0], expected, atol=1e-6)


def test_splits_forward_and_backward_flows():
    flows = (jnp.arange(8.0).reshape(1, 4, 1, 1, 2), jnp.ones((1, 4, 1, 1, 2)))
    forward, backward = split_directions(flows, num_frames=3)
    np.testing.assert_array_equal(forward[0].ravel(), [0, 1, 2, 3])
    np.testing.assert_array_equal(backward[0].ravel(), [4, 5, 6, 7])
    assert split_directions(forward, num_frames=3)[1] == ()


def test_resizes_coarse_flow_to_the_frames():
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


def test_only_the_classifier_rejects_other_clip_lengths():
    model = UFTSN(**TINY)
    with pytest.raises(ValueError, match="got 4 frames per clip.*num_frames=3"):
        model.init(jax.random.key(0), clip(time=4), train=False)
    flows = jax.eval_shape(
        lambda x: UFTSN(**TINY, classify=False).init_with_output(jax.random.key(0), x, train=False)[
            0
        ],
        clip(time=4),
    ).flows
    assert flows[0].shape[1] == 3
