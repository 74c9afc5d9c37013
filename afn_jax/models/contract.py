"""The contract between networks and their users: what every network of `list_models()` answers.

| question | answer |
|---|---|
| `model.apply(variables, frames, train=...)` | an `afn_jax.types.Prediction` |
| `model.flow_starts(num_frames)` | the frame at which each flow starts |
| `model.num_segments` | segments per clip, or None if the network does not split clips |
| `model.backward_flows` | whether predictions in training contain backward flows too |

A network derives from `VideoNetwork` and overrides only what differs from the defaults there. Every
network has the fields `num_classes`, `width`, `num_frames`, `dropout_rate`, `dtype` and
`axis_name`. Training also sets the following fields, if a network has them:

| field | meaning |
|---|---|
| `flow_stride` | size of the frames divided by the size of the flow |
| `predict_flow`, `classify` | False leaves out the flow decoder, the classifier |
| `bidirectional` | True adds backward flows in training |
| `num_segments` | number of segments that a clip consists of |
"""

import flax.linen as nn
from jaxtyping import Array, Float


class VideoNetwork(nn.Module):
    """Base class of all networks: frames `[batch, time, H, W, 3]` in [0, 1] -> `Prediction`.

    Attributes:
        num_segments: number of equal parts that a clip consists of; no flow crosses from one part
            to the next. None: the network does not split clips. A network that does has a field of
            this name.
        backward_flows: whether predictions in training contain backward flows too, after the
            forward flows on the axis of pairs.
    """

    # Not ClassVar: a subclass's field of the same name would then come before `num_classes`.
    num_segments = None
    backward_flows = False

    def flow_starts(self, num_frames: int) -> tuple[int, ...]:
        """Returns the frame at which each flow starts, in the order of `Prediction.flows`.

        By default there is one flow per frame: to the next frame and, from the last, to the frame
        after the clip (the future flow). If a clip has several segments, no flow starts at the last
        frame of a segment. Entries past the last flow are unused: networks without a future flow
        have one flow fewer, and networks without flow have none.
        """
        num_segments = self.num_segments or 1
        if num_segments == 1:
            return tuple(range(num_frames))
        length = num_frames // num_segments
        return tuple(first + t for first in range(0, num_frames, length) for t in range(length - 1))


def check_num_frames(frames: Float[Array, "b t h w 3"], num_frames: int, *, least: int = 1) -> None:
    """Raises ValueError unless clips have `num_frames` frames, and at least `least` of them."""
    if num_frames < least:
        raise ValueError(
            f"num_frames: got {num_frames}, but this model needs {least} or more frames per clip. "
            "Increase num_frames."
        )
    if frames.shape[1] != num_frames:
        raise ValueError(
            f"frames: got {frames.shape[1]} frames per clip, but the model was made for "
            f"num_frames={num_frames}. Sample clips of that length, or change the model."
        )
