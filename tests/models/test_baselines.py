"""The baseline networks: shapes of the papers, fusion, the flow stack."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models.baselines import FrameResNet
from afn_jax.models.vgg16 import TwoStreamVGG16, flow_stack, fuse
from afn_jax.models.video_baselines import C3D, VideoResNet
from afn_jax.ops import TVL1Config
from tests.filled_variables import filled_variables

R2Plus1D = partial(VideoResNet, convolution="2plus1d")
QUICK = TVL1Config(num_scales=2, num_warps=2, num_iterations=10)


def initial_shapes(model, shape):
    clip = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), clip)


def clip(*shape):
    return jax.random.uniform(jax.random.key(0), shape)


def test_c3d_averages_nothing_at_the_size_of_the_paper():
    """Figure 3: pool5 is 512 x 1 x 4 x 4; other sizes are averaged to it."""
    for shape in [(1, 16, 112, 112, 3), (1, 16, 128, 171, 3), (1, 4, 32, 48, 3)]:
        params = initial_shapes(C3D(3, width=4), shape)["params"]
        assert params["fc6"]["kernel"].shape == (32 * 16, 256)


def test_averages_the_logits_of_frames():
    model = FrameResNet(3, width=2)
    frames = clip(2, 3, 32, 40, 3)
    variables = filled_variables(model, frames, train=False)
    apply = jax.jit(lambda x: model.apply(variables, x, train=False).logits)
    alone = [apply(frames[:, [t]]) for t in range(3)]
    np.testing.assert_allclose(apply(frames), sum(alone) / 3, atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 1e-4


def test_video_networks_halve_time_three_times():
    """The stem and the first stage keep time; the last map is at 1/16, without stem pooling."""
    for model in (VideoResNet(3, width=4), R2Plus1D(3, width=4)):
        _, state = jax.eval_shape(
            lambda x, model=model: model.init_with_output(
                jax.random.key(0), x, train=False, capture_intermediates=True
            ),
            jax.ShapeDtypeStruct((1, 16, 112, 112, 3), jnp.float32),
        )
        features = state["intermediates"]["encoder"]["__call__"][0]
        assert [f.shape[1:] for f in features] == [
            (16, 56, 56, 4),
            (16, 56, 56, 4),
            (8, 28, 28, 8),
            (4, 14, 14, 16),
            (2, 7, 7, 32),
        ]


def moving_texture(shift):
    """Renders a smooth pattern that moves by `shift` = (x, y) pixels per frame."""
    rows, columns = np.mgrid[:48, :64].astype(np.float32)

    def frame(t):
        x, y = columns - t * shift[0], rows - t * shift[1]
        gray = 0.5 + 0.2 * np.sin(x / 3) + 0.2 * np.sin(y / 4 + 1)
        return np.repeat(gray[..., None], 3, -1)

    return jnp.asarray(np.stack([frame(t) for t in range(3)])[None])


def test_flow_stack_alternates_x_and_y_in_the_range_of_the_paper():
    stack = jax.jit(flow_stack, static_argnums=1)(moving_texture((1.0, -0.5)), QUICK)
    assert stack.shape == (1, 48, 64, 4)
    inside = np.asarray(stack)[0, 12:-12, 12:-12].mean((0, 1))
    # (flow + 20) * 255 / 40 - 128: no motion is -0.5, a pixel is 6.375
    np.testing.assert_allclose((inside + 0.5) / 6.375, [1.0, -0.5, 1.0, -0.5], atol=0.1)


def test_no_gradient_passes_through_the_flow():
    model = TwoStreamVGG16(3, width=1, num_frames=3, fusion_weights=(0.0, 1.0), tvl1=QUICK)
    frames = moving_texture((1.0, 0.0))
    variables = filled_variables(model, frames, train=False)
    assert set(variables["params"]) == {"temporal"}  # a stream of weight 0 has no layers

    def logit(x):
        return model.apply(variables, x, train=False).logits[0, 0]

    np.testing.assert_array_equal(jax.jit(jax.grad(logit))(frames), 0)


def test_fusion_matches_numpy():
    spatial, temporal = jnp.array([[2.0, 0.0]]), jnp.array([[-1.0, 3.0]])
    np.testing.assert_allclose(fuse([spatial, temporal], [1.0, 3.0], "logits"), [[-0.25, 2.25]])
    logits = fuse([spatial, temporal], [1.0, 3.0], "softmax")
    p, q = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(4))
    np.testing.assert_allclose(np.exp(logits[0, 0]), (p + 3 * q) / 4, rtol=1e-5)
    np.testing.assert_allclose(np.exp(logits).sum(), 1, rtol=1e-6)


@pytest.mark.slow
def test_two_streams_fuse_the_single_streams():
    fields = dict(num_classes=3, width=1, num_frames=3, tvl1=QUICK)
    frames = clip(1, 3, 32, 48, 3)
    both = TwoStreamVGG16(**fields)
    variables = filled_variables(both, frames, train=False)

    def logits(weights):
        model = TwoStreamVGG16(**fields, fusion_weights=weights)
        return model.apply(variables, frames, train=False).logits

    spatial, temporal, fused = jax.jit(
        lambda: [
            jax.nn.softmax(logits(weights)) for weights in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.5))
        ]
    )()
    np.testing.assert_allclose(fused, (spatial + 1.5 * temporal) / 2.5, atol=1e-6)


@pytest.mark.parametrize(
    "model, shape, message",
    [
        (FrameResNet(2, depth=19), (1, 1, 32, 32, 3), "depth: got 19; allowed: 18, 34"),
        (VideoResNet(2, convolution="1d"), (1, 4, 32, 32, 3), "convolution: got '1d'"),
        (TwoStreamVGG16(2), (1, 4, 32, 32, 3), "got 4 frames per clip.*num_frames=11"),
        (TwoStreamVGG16(2, num_frames=1), (1, 1, 32, 32, 3), "num_frames: got 1"),
        (TwoStreamVGG16(2, fusion_weights=(0.0, 0.0)), (1, 11, 32, 32, 3), "fusion_weights: got"),
        (TwoStreamVGG16(2, fusion_weights=(2.0, -1.0)), (1, 11, 32, 32, 3), "fusion_weights: got"),
        (TwoStreamVGG16(2, fusion="max"), (1, 11, 32, 32, 3), "fusion: got 'max'"),
    ],
)
def test_rejects_wrong_fields(model, shape, message):
    with pytest.raises(ValueError, match=message):
        initial_shapes(model, shape)
