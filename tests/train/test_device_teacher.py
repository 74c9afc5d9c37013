"""The flow estimated in the step equals that of the teacher on the host."""

import jax
import numpy as np

from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.data.teacher import create_teacher
from afn_jax.types import Batch
from train.device_teacher import with_device_flow


def batch(frames, flow_mask, flows=None):
    examples = len(frames)
    labels = np.zeros(examples, np.int32)
    return Batch(frames, labels, flows, flow_mask, np.ones(examples, bool))


def test_each_segment_has_the_flow_of_the_teacher_on_the_host():
    """Two examples of two segments of one frame each, and the frame that follows."""
    source = SyntheticMotion(2, size=(16, 20), num_frames=6)
    frames = np.stack([source[i].clip(np.array([0, 1, 4, 5])).frames for i in range(2)])
    mask = np.ones((2, 2, 16, 20), bool)
    found = jax.jit(with_device_flow)(batch(frames, mask))
    np.testing.assert_array_equal(found.frames, frames[:, [0, 2]])
    teacher = create_teacher("tvl1")
    expected = [[teacher(example[i : i + 2])[0] for i in (0, 2)] for example in frames]
    np.testing.assert_allclose(found.flows, expected, atol=1e-3)
    assert np.abs(found.flows).max() > 0.3  # the flow is not zero


def test_leaves_batches_with_flow_or_without_need_of_it_unchanged():
    frames = np.zeros((1, 3, 16, 16, 3), np.uint8)
    flows = np.ones((1, 3, 16, 16, 2), np.float32)
    for one in (batch(frames, None), batch(frames, np.ones((1, 3, 16, 16), bool), flows)):
        assert with_device_flow(one) is one
