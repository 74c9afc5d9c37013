"""Odabasi's network: sizes, pooling, shortcuts, and the frames that each flow sees."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.losses import jointflow3d_loss
from afn_jax.models import jointflow3d
from afn_jax.models.jointflow3d import (
    JointFlow3D,
    _conv_or_shortcut,
    _max_pool_clip,
    triplet_frames,
    triplet_starts,
)
from afn_jax.nn import Conv3D, ResNetEncoder
from afn_jax.ops import warp
from tests.filled_variables import filled_variables


def tiny(**overrides):
    return JointFlow3D(**dict(num_classes=5, width=4, num_frames=6) | overrides)


def clip(batch=2, time=6, height=14, width=19):
    return jax.random.uniform(jax.random.key(0), (batch, time, height, width, 3))


def initialized(model, frames):
    return filled_variables(model, frames, train=False)


def test_feature_sizes_match_the_paper(monkeypatch):
    frames = jax.ShapeDtypeStruct((2, 48, 56, 56, 3), jnp.float32)
    sizes = []
    encode = ResNetEncoder.__call__

    def spy(self, x):
        features = encode(self, x)
        sizes.extend(feature.shape[1:] for feature in features)
        return features

    monkeypatch.setattr(ResNetEncoder, "__call__", spy)
    model = JointFlow3D(num_classes=101)
    jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), frames)
    # After the stem and its pooling (16 x 28 x 28 before), then res2 to res5.
    assert sizes == [
        (8, 14, 14, 64),
        (8, 14, 14, 64),
        (4, 7, 7, 128),
        (2, 4, 4, 256),
        (1, 2, 2, 512),
    ]


@pytest.mark.parametrize("size", [(1, 1, 1), (4, 5, 2), (5, 8, 7)])
def test_pooling_matches_linen(size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    expected = nn.max_pool(x, (3, 3, 3), (2, 2, 2), [(1, 1)] * 3)
    np.testing.assert_array_equal(_max_pool_clip(x), expected)


def test_shortcut_subsamples_and_pads_with_zero_channels():
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 6, 3))
    short = _conv_or_shortcut(Conv3D, 5, (1, 1, 1), (2, 2, 2), name="shortcut_conv")(x)
    assert short.shape == (2, 3, 2, 3, 5)
    np.testing.assert_array_equal(short[1, 2, 1, 2], [*x[1, 4, 2, 4], 0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("stride, starts", [(3, [0, 3]), (1, [0, 1, 2, 3, 4]), (2, [0, 2, 4])])
def test_triplet_starts_and_frames(stride, starts):
    assert list(triplet_starts(7, stride)) == starts
    # A texture that moves right by one pixel per frame: warping frame k by its flow gives k - 1.
    first = jax.random.uniform(jax.random.key(0), (1, 9, 12, 3))
    frames = jnp.stack([jnp.roll(first, shift, axis=2) for shift in range(7)], 1)
    previous, current = triplet_frames(frames, stride)
    flow = jnp.stack([jnp.ones(previous.shape[:-1]), jnp.zeros(previous.shape[:-1])], -1)
    np.testing.assert_allclose(warp(current, flow)[..., :-1, :], previous[..., :-1, :], atol=1e-6)
    weights = jnp.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(previous[0, -1, ..., 0], frames[0, starts[-1]] @ weights, atol=1e-6)


@pytest.mark.slow
def test_flow_depends_on_its_triplet_and_logits_on_all_frames():
    frames = clip(batch=1)
    model = tiny()
    variables = initialized(model, frames)

    @jax.jit
    def sensitivity():
        def outputs(frames):
            prediction = model.apply(variables, frames, train=False)
            flow = prediction.flows[0].sum((0, 2, 3, 4))
            return jnp.concatenate([flow, prediction.logits.sum(0)])

        return jnp.abs(jax.jacobian(outputs)(frames)).max((1, 3, 4, 5)) > 0

    first, second, *logits = sensitivity().tolist()
    assert first == [True, True, True, False, False, False]
    assert second == [False, False, False, True, True, True]
    assert all(all(logit) for logit in logits)


@pytest.mark.slow
def test_joint_loss_has_gradients_everywhere_and_action_loss_in_the_flow():
    frames, model = clip(), tiny()
    variables = initialized(model, frames)

    def gradient(**weights):
        def loss(params):
            prediction, _ = model.apply(
                variables | {"params": params},
                frames,
                train=True,
                rngs={"dropout": jax.random.key(2)},
                mutable=["batch_stats"],
            )
            return jointflow3d_loss(
                prediction.logits,
                jnp.array([1, 3]),
                *triplet_frames(frames, model.triplet_stride),
                prediction.flows[0],
                **weights,
            )[0]

        return jax.grad(loss)(variables["params"])

    joint, action = jax.jit(
        lambda: (gradient(), gradient(alpha_photometric=0.0, alpha_smooth=0.0))
    )()
    for path, leaf in jax.tree_util.tree_leaves_with_path(joint):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(action["flow_decoder"]))


@pytest.mark.slow
def test_adds_noise_only_in_training():
    frames = clip()
    noisy, clean = tiny(), tiny(noise_std=0.0)
    variables = initialized(noisy, frames)

    def flow(model, train, **rngs):
        prediction, _ = model.apply(
            variables, frames, train=train, rngs=rngs, mutable=["batch_stats"]
        )
        return prediction.flows[0]

    @jax.jit
    def flows():
        return (
            flow(noisy, True, dropout=jax.random.key(0)),
            flow(clean, True),  # needs no key
            flow(noisy, False),
            flow(clean, False),
        )

    trained_noisy, trained_clean, tested_noisy, tested_clean = flows()
    assert np.abs(trained_noisy - trained_clean).max() > 1e-4
    np.testing.assert_array_equal(tested_noisy, tested_clean)


def test_rejects_bad_arguments():
    def init(model, time=6):
        model.init(jax.random.key(0), clip(time=time), train=False)

    with pytest.raises(ValueError, match="got 5 frames per clip.*num_frames=6"):
        init(tiny(), time=5)
    with pytest.raises(ValueError, match="num_frames: got 2, but this model needs 3"):
        init(tiny(num_frames=2), time=2)
    with pytest.raises(ValueError, match="triplet_stride: got 0"):
        init(tiny(triplet_stride=0))
    with pytest.raises(ValueError, match="flow_widths: got"):
        init(tiny(flow_widths=(8,)))


@pytest.mark.slow
def test_remat_changes_no_gradients_or_statistics_and_stores_less(monkeypatch):
    monkeypatch.setattr(jointflow3d, "_REMAT_FROM", 0)
    frames = clip(time=3)
    fields = dict(num_frames=3, flow_widths=(16, 32), noise_std=0.0)
    variables = initialized(tiny(**fields), frames)

    def gradients(remat):
        def loss(params):
            prediction, updates = tiny(remat=remat, **fields).apply(
                variables | {"params": params}, frames, train=True, mutable=["batch_stats"]
            )
            statistics = updates["batch_stats"]
            of_flow = {name: statistics[name] for name in statistics if name.startswith("flow")}
            return jnp.sin(prediction.flows[0]).sum(), of_flow

        stored = jax.eval_shape(lambda p: jax.vjp(loss, p, has_aux=True)[1], variables["params"])
        found = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
        return found, sum(leaf.size for leaf in jax.tree.leaves(stored))

    (found, less), (expected, more) = gradients(True), gradients(False)
    assert less < 0.7 * more

    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(np.abs(b).max(), 1e-3))

    jax.tree.map(close, found, expected)
