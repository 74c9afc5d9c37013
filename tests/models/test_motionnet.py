"""MotionNet: published size, unit and order of its flows, ablations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax.traverse_util import path_aware_map

from afn_jax.models.motionnet import MotionNet
from tests.filled_variables import filled_variables


def shapes(model, size):
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct(size, jnp.float32),
    )


MOTIONNET = 42_319_860  # as in test_published_sizes.py


def count(model):
    _, variables = shapes(model, (1, model.num_frames, 224, 224, 3))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def clip(time=3, height=32, width=48):
    return jax.random.uniform(jax.random.key(0), (2, time, height, width, 3))


def small(**fields):
    return MotionNet(5, width=4, num_frames=3, **fields)


def initialized(model):
    return filled_variables(model, clip(), train=False)


def predict(model, variables, frames):
    return jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, frames)


def test_parameter_counts_of_the_ablations():
    smooth = sum(
        9 * (skip + up + 20) * up + up
        for skip, up in ((512, 512), (512, 256), (256, 128), (128, 64))
    )
    # Without them, deconvolutions and flow have the concatenations as input.
    wider = sum(16 * (skip + 20 + up - up) * out for skip, up, out in
                ((512, 512, 256), (512, 256, 128), (256, 128, 64)))  # fmt: skip
    flow = sum(9 * (skip + 20) * 20 for skip in (512, 512, 256, 128))
    assert count(MotionNet(101, deconv_bias=False)) == MOTIONNET - 1040
    assert count(MotionNet(101, extra_convolutions=False)) == MOTIONNET - smooth + wider + flow
    # conv1 and conv2 have no second 3x3 convolution, and three kernels are larger.
    lost = (9 * 64 * 64 + 64) + (9 * 128 * 128 + 128)
    grown = (49 - 9) * 33 * 64 + (25 - 9) * 64 * 128 + (25 - 9) * 128 * 256
    assert count(MotionNet(101, encoder="large")) == MOTIONNET - lost + grown


@pytest.mark.parametrize(
    "fields, size, expected",
    [
        ({}, (224, 224), [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)]),
        ({}, (45, 67), [(23, 34), (12, 17), (6, 9), (3, 5), (2, 3)]),
        ({"encoder": "large"}, (64, 128), [(16, 32), (8, 16), (4, 8), (2, 4), (1, 2)]),
        ({"encoder": "tiny"}, (65, 32), [(33, 16), (17, 8), (9, 4)]),
        ({"multiscale": False}, (32, 32), [(16, 16)]),
    ],
)
def test_flow_sizes(fields, size, expected):
    model = MotionNet(5, **fields)
    prediction, _ = shapes(model, (2, 11, *size, 3))
    assert [flow.shape for flow in prediction.flows] == [(2, 10, *at, 2) for at in expected]
    assert prediction.logits is None
    rounded_up = [tuple(-(-n // stride) for n in size) for stride in model.flow_strides]
    assert rounded_up == expected


def test_flow_is_in_pixels_of_each_map_and_ordered_by_pair():
    """One unit is 20 pixels of the frames: 10, 5, 2.5, 1.25 and 0.625 pixels of the maps."""
    model = small()
    biases = jnp.array([0.1, 0.2, -0.3, 0.4])  # x, y of the first pair; x, y of the second

    def only_biases_of_flow(path, leaf):
        is_flow = path[-2].startswith("flow") and path[-1] == "bias"
        return biases if is_flow else jnp.zeros_like(leaf)

    params = path_aware_map(only_biases_of_flow, initialized(model)["params"])
    flows = predict(model, {"params": params}, clip()).flows
    for flow, scale in zip(flows, (10, 5, 2.5, 1.25, 0.625), strict=True):
        expected = scale * np.array([[0.1, 0.2], [-0.3, 0.4]]).reshape(1, 2, 1, 1, 2)
        np.testing.assert_allclose(flow, np.broadcast_to(expected, flow.shape), rtol=1e-5)


def test_input_is_frames_minus_the_mean_color_stacked_on_channels():
    """conv1 sees frame 0 as channels 0 to 2, frame 1 as 3 to 5, divided by 255."""
    model = small()
    variables = initialized(model)
    mean = jnp.array([123, 117, 104]).reshape(1, 1, 1, 1, 3) / 255
    frames = jnp.broadcast_to(mean, (1, 3, 8, 8, 3)).at[0, 1, 4, 4, 2].add(0.5)
    seen = jax.jit(lambda v, x: model.apply(v, x, train=False, capture_intermediates=True)[1])(
        variables, frames
    )
    response = seen["intermediates"]["conv1"]["__call__"][0]
    conv1 = variables["params"]["conv1"]
    expected = 0.5 * conv1["kernel"][::-1, ::-1, 5] + conv1["bias"].reshape(1, 1, -1)
    np.testing.assert_allclose(response[0, 3:6, 3:6], expected, atol=1e-5)
    at_rest = np.broadcast_to(conv1["bias"], response[0, :3].shape)
    np.testing.assert_allclose(response[0, :3], at_rest, atol=1e-5)


def test_options_keep_the_shape_of_the_finest_flow():
    variables = initialized(small(classify=True))
    branched = predict(small(classify=True), variables, clip())
    assert branched.logits.shape == (2, 5)
    plain = predict(small(multiscale=False), variables, clip())
    assert plain.logits is None and len(plain.flows) == 1
    # Two programs, which XLA fuses differently; the flow reaches 5 px.
    np.testing.assert_allclose(plain.flows[0], branched.flows[0], rtol=1e-5, atol=1e-5)


def test_rejects_wrong_clip_lengths_and_encoders():
    with pytest.raises(ValueError, match=r"got 4 frames per clip.*num_frames=3"):
        small().init(jax.random.key(0), clip(4), train=False)
    model = small()
    object.__setattr__(model, "encoder", "huge")  # bypasses the type check of the tests
    with pytest.raises(ValueError, match="encoder: got 'huge'; allowed: 'small', 'large'"):
        _ = model.flow_strides


def test_encoder_matches_pytorch_with_leaky_relus():
    """Slope 0.1, after each convolution of the encoder."""
    model, x = small(), clip()
    variables = initialized(model)
    _, state = jax.jit(lambda v, x: model.apply(v, x, train=False, capture_intermediates=True))(
        variables, x
    )
    outputs = {
        name: torch.from_numpy(np.moveaxis(np.asarray(value["__call__"][0]), -1, 1).copy())
        for name, value in state["intermediates"].items()
        if name.startswith("conv")
    }
    for before, after, stride in (("conv1", "conv1_1", 1), ("conv1_1", "conv2", 2)):
        assert (outputs[before] < 0).any()
        kernel, bias = (np.asarray(variables["params"][after][name]) for name in ("kernel", "bias"))
        kernel = torch.from_numpy(np.transpose(kernel, (3, 2, 0, 1)).copy())
        activated = torch.nn.functional.leaky_relu(outputs[before], 0.1)
        expected = torch.nn.functional.conv2d(
            activated, kernel, torch.from_numpy(bias.copy()), stride, kernel.shape[-1] // 2
        )
        np.testing.assert_allclose(outputs[after], expected, rtol=1e-4, atol=1e-4)
