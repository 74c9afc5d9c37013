"""ActionFlowNet: shapes of the paper, odd sizes, variants."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from afn_jax.models import create_model
from afn_jax.nn import ResNetEncoder
from tests.filled_variables import filled_variables


def shapes(model, size):
    """Returns the shapes of prediction, encoder outputs and variables."""
    seen = []

    def watch(next_function, args, kwargs, context):
        result = next_function(*args, **kwargs)
        if isinstance(context.module, ResNetEncoder) and context.method_name == "__call__":
            seen.extend(result)
        return result

    def run(frames):
        with nn.intercept_methods(watch):
            prediction, variables = model.init_with_output(jax.random.key(0), frames, train=False)
        return prediction, list(seen), variables

    return jax.eval_shape(run, jax.ShapeDtypeStruct(size, jnp.float32))


def test_shapes_of_the_paper():
    """Section 3.1: 16 x 224 x 224 becomes 512 x 2 x 7 x 7; section 3.2: T flows."""
    model = create_model("actionflownet", num_classes=101)
    prediction, features, _ = shapes(model, (2, 16, 224, 224, 3))
    assert features[-1].shape == (2, 2, 7, 7, 512)
    # No temporal pooling, and time halves from the third stage on.
    assert [f.shape[1] for f in features] == [16, 16, 8, 4, 2]
    assert [flow.shape for flow in prediction.flows] == [(2, 16, 56, 56, 2)]
    assert prediction.logits.shape == (2, 101)


@pytest.mark.parametrize(
    "flow_stride, size", [(1, (7, 33, 47)), (2, (3, 1, 1)), (2, (7, 33, 47)), (4, (1, 16, 16))]
)
def test_flow_size_is_frame_size_divided_by_stride(flow_stride, size):
    model = create_model(
        "actionflownet", num_classes=3, width=4, num_frames=size[0], flow_stride=flow_stride
    )
    prediction, _, _ = shapes(model, (1, *size, 3))
    expected = tuple(-(-n // flow_stride) for n in size[1:])
    assert prediction.flows[0].shape == (1, size[0], *expected, 2)


def test_decoder_and_classifier_can_be_left_out():
    size = (1, 4, 32, 32, 3)
    flow_only = create_model("actionflownet", num_classes=3, width=4, num_frames=4, classify=False)
    prediction, _, variables = shapes(flow_only, size)
    assert prediction.logits is None and "classifier" not in variables["params"]
    action_only = create_model(
        "actionflownet", num_classes=3, width=4, num_frames=4, predict_flow=False
    )
    prediction, _, variables = shapes(action_only, size)
    assert prediction.flows == () and set(variables["params"]) == {"encoder", "classifier"}


def test_native_and_folded_convolutions_give_the_same_outputs():
    frames = jax.random.uniform(jax.random.key(0), (2, 4, 24, 40, 3))
    models = [
        create_model("actionflownet", num_classes=3, width=4, num_frames=4, implementation=way)
        for way in ("native", "folded")
    ]
    variables = filled_variables(models[0], frames, train=False)
    native, folded = (
        jax.jit(lambda model=model: model.apply(variables, frames, train=False))()
        for model in models
    )
    for one, other in zip(jax.tree.leaves(native), jax.tree.leaves(folded), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_rejects_wrong_clip_lengths_and_strides():
    frames = jnp.zeros((1, 5, 32, 32, 3))
    model = create_model("actionflownet", num_classes=3, width=4, num_frames=4)
    with pytest.raises(ValueError, match=r"got 5 frames per clip.*num_frames=4"):
        model.init(jax.random.key(0), frames, train=False)
    model = create_model("actionflownet", num_classes=3, width=4, num_frames=5, flow_stride=3)
    with pytest.raises(ValueError, match="flow_stride: got 3; allowed: 1, 2, 4"):
        model.init(jax.random.key(0), frames, train=False)
