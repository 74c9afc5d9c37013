"""Hidden Two-Stream: the layer between the networks, segments and windows, routing and fusion."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models.hidden_two_stream import (
    HiddenTemporal,
    HiddenTwoStream,
    late_fusion,
    temporal_input,
)
from afn_jax.models.motionnet import MotionNet
from afn_jax.models.streams import SpatialStream, spatial_rates
from tests.filled_variables import filled_variables


def frames(time=3, seed=0):
    return jax.random.uniform(jax.random.key(seed), (2, time, 32, 32, 3))


def small(**fields):
    return HiddenTemporal(5, width=4, backbone="resnet18", encoder="tiny", **fields)


def predict(model, variables, clip):
    return jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, clip)


def test_clips_flow_before_enlarging_it():
    """40 and -40 pixels become 255 and 0, between them 3/4 and 1/4 of 255, all minus 128."""
    flow = jnp.zeros((4, 4, 2)).at[1, 1, 0].set(40).at[1, 2, 0].set(-40).at[2, 1, 0].set(2)
    result = temporal_input(flow, stride=2, size=(8, 7))
    assert result.shape == (8, 7, 2)
    x, y = result[..., 0], result[..., 1]
    np.testing.assert_allclose(y[1:7, 1:7], 127.5 - 128)
    # Rows 2 and 3 are a quarter of a pixel above and below row 1 of the map.
    row1 = np.array([0.25 * 127.5 + 0.75 * 255, 0.75 * 255, 0.25 * 255])
    np.testing.assert_allclose(x[2, 2:5], 0.75 * row1 + 0.25 * 127.5 - 128, rtol=1e-5)
    row2 = np.array([127.5 + 0.75 * 2 * 6.375, 127.5 + 0.75 * 2 * 6.375, 127.5 + 0.25 * 2 * 6.375])
    np.testing.assert_allclose(x[3, 2:5], 0.75 * row1 + 0.25 * row2 - 128, rtol=1e-5)


@pytest.mark.parametrize("stride", [2, 4])
def test_enlarging_matches_a_transposed_convolution_with_a_bilinear_kernel(stride):
    """As in Caffe: kernel 2 s, stride s, padding s / 2, and therefore zeros outside."""
    flow = jax.random.uniform(jax.random.key(0), (3, 2, 5, 4, 2), minval=-20, maxval=20)
    triangle = 1 - np.abs(np.arange(2 * stride) + 0.5 - stride) / stride
    kernel = jnp.asarray(np.outer(triangle, triangle).reshape(2 * stride, 2 * stride, 1, 1))
    maps = jnp.moveaxis((flow + 20) * 6.375, -1, 0).reshape(-1, 5, 4, 1)
    expected = jax.lax.conv_transpose(maps, kernel, (stride, stride), "SAME") - 128
    expected = jnp.moveaxis(expected.reshape(2, 3, 2, 5 * stride, 4 * stride), 0, -1)
    result = temporal_input(flow, stride=stride, size=(5 * stride, 4 * stride))
    np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.slow
def test_scores_segments_separately_and_averages_them():
    clip, one, two = frames(6), small(num_frames=3), small(num_frames=6, num_segments=2)
    variables = filled_variables(one, clip[:, :3], train=False)
    whole = predict(two, variables, clip)
    parts = [predict(one, variables, part) for part in (clip[:, :3], clip[:, 3:])]
    assert np.abs(parts[0].logits - parts[1].logits).max() > 1e-3
    expected = (parts[0].logits + parts[1].logits) / 2
    np.testing.assert_allclose(whole.logits, expected, atol=1e-5)
    for scale, flow in enumerate(whole.flows):
        both = jnp.concatenate([part.flows[scale] for part in parts], 1)
        np.testing.assert_allclose(flow, both, atol=1e-4)


@pytest.mark.slow
def test_windows_of_a_longer_clip_share_a_frame():
    clip, model = frames(5), small(num_frames=5, flow_frames=3)
    variables = filled_variables(model, clip, train=False)
    flows = predict(model, variables, clip).flows
    motionnet = MotionNet(5, width=4, num_frames=3, encoder="tiny")
    params = {"params": variables["params"]["motionnet"]}
    parts = [predict(motionnet, params, clip[:, start : start + 3]).flows for start in (0, 2)]
    for flow, first, second in zip(flows, *parts, strict=True):
        np.testing.assert_allclose(flow, jnp.concatenate([first, second], 1), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("freeze_flow", [False, True])
def test_action_loss_has_a_gradient_in_motionnet_unless_frozen(freeze_flow):
    """Section 3.2: (b) and (c), or (a)."""
    clip, model = frames(3), small(num_frames=3, freeze_flow=freeze_flow, dropout_rate=0.0)
    variables = filled_variables(model, clip, train=False)

    def score(params):
        return model.apply(variables | {"params": params}, clip, train=False).logits[:, 0].sum()

    gradient = jax.jit(jax.grad(score))(variables["params"])
    motionnet = gradient["motionnet"]["decoder"]["flow2"]["kernel"]
    assert (jnp.abs(motionnet).max() > 0) != freeze_flow
    assert jnp.abs(gradient["temporal"]["encoder"]["conv1"]["kernel"]).max() > 0


@pytest.mark.slow
def test_spatial_stream_sees_the_middle_frame_of_each_segment():
    clip = frames(6)
    one = SpatialStream(5, width=4, backbone="resnet18", num_frames=1)
    variables = filled_variables(one, clip[:, :1], train=False)
    model = SpatialStream(5, width=4, backbone="resnet18", num_frames=6, num_segments=2)
    scores = [predict(one, variables, clip[:, i : i + 1]).logits for i in (1, 4)]
    logits = predict(model, variables, clip).logits
    np.testing.assert_allclose(logits, (scores[0] + scores[1]) / 2, atol=1e-5)


def test_default_dropout_depends_on_the_backbone():
    """Wang et al. 2015: 0.9 twice for VGG; TSN: 0.8."""
    assert SpatialStream(5).dropout_rate is None
    assert spatial_rates(None, "vgg16") == (0.9, 0.9)
    assert spatial_rates(None, "bn-inception") == (0.8, 0.8)
    assert spatial_rates(0.3, "bn-inception") == (0.3, 0.3)
    assert spatial_rates((0.1, 0.2), "vgg16") == (0.1, 0.2)


@pytest.mark.slow
def test_two_streams_fuse_the_single_streams():
    clip = frames(3)
    model = HiddenTwoStream(5, width=4, num_frames=3, backbone="resnet18", encoder="tiny")
    variables = filled_variables(model, clip, train=False)

    def stream(name):
        return {kind: tree[name] for kind, tree in variables.items()}

    spatial = SpatialStream(5, width=4, backbone="resnet18", num_frames=3)
    scores = predict(spatial, stream("spatial"), clip).logits
    temporal = predict(small(num_frames=3), stream("temporal"), clip)
    both = predict(model, variables, clip)
    np.testing.assert_allclose(both.logits, (scores + 1.5 * temporal.logits) / 2.5, atol=1e-5)
    of_probabilities = predict(model.clone(fusion="softmax"), variables, clip)
    probabilities = (nn.softmax(scores) + 1.5 * nn.softmax(temporal.logits)) / 2.5
    np.testing.assert_allclose(nn.softmax(of_probabilities.logits), probabilities, atol=1e-5)
    np.testing.assert_allclose(both.flows[0], temporal.flows[0], atol=1e-4)


def test_fusion_matches_worked_examples():
    spatial, temporal = jnp.array([[3.0, 1.0, -5.0]]), jnp.array([[-1.0, 2.0, 0.0]])
    # (0.75, 0.25, 0) plus 1.5 times (0, 1, 0), divided by 2.5.
    expected = [[0.3, 0.7, 0]]
    fused = late_fusion(spatial, temporal, fusion="l1")
    np.testing.assert_allclose(jnp.exp(fused), expected, atol=1e-5)
    fused = late_fusion(spatial, temporal, fusion="logits")
    np.testing.assert_allclose(fused, [[0.6, 1.6, -2.0]], rtol=1e-5)
    alone = late_fusion(spatial, temporal, weights=(1.0, 0.0), fusion="softmax")
    np.testing.assert_allclose(nn.softmax(alone), nn.softmax(spatial), rtol=1e-5)
    nothing = late_fusion(-jnp.ones((1, 3)), -jnp.ones((1, 3)), fusion="l1")
    assert np.isfinite(nothing).all()


@pytest.mark.parametrize(
    "fields, time, message",
    [
        ({"num_frames": 4, "flow_frames": 3}, 4, r"num_frames: got 4 frames per segment"),
        ({"num_frames": 4, "num_segments": 3}, 4, "num_segments: got 3, which does not divide"),
        ({"num_frames": 4}, 3, r"got 3 frames per clip.*num_frames=4"),
        ({"num_frames": 1}, 1, r"num_frames: got 1 frames per segment"),
    ],
)
def test_rejects_wrong_clip_lengths(fields, time, message):
    with pytest.raises(ValueError, match=message):
        small(**fields).init(jax.random.key(0), frames(time), train=False)


def test_rejects_wrong_names_and_weights():
    with pytest.raises(ValueError, match="backbone: got 'vgg'; allowed: 'vgg16'"):
        HiddenTemporal(5, backbone="vgg", num_frames=3).init(
            jax.random.key(0), frames(), train=False
        )
    scores = jnp.zeros((1, 2))
    with pytest.raises(ValueError, match="fusion: got 'mean'; allowed: 'softmax', 'l1'"):
        late_fusion(scores, scores, fusion="mean")
    with pytest.raises(ValueError, match="fusion_weights"):
        late_fusion(scores, scores, weights=(-1.0, 1.0))
