"""Types shared by all parts of the project: `Batch` in, `Prediction` out.

Shapes, units and signs are in `conventions.md`.
"""

from collections.abc import Mapping

import flax.struct
import jax
import numpy as np

Array = jax.Array | np.ndarray


@flax.struct.dataclass
class Batch:
    """Input of a training or evaluation step.

    frames: `[batch, time, height, width, 3]`, `uint8` 0..255, RGB.
    labels: `[batch]`, `int32`, 0-based class.
    flows: `[batch, time, height, width, 2]` float32 or None: (x, y) = (right, down) displacement in
        pixels from frame t to frame t + 1; the last one is the *future* flow, to the frame after
        the clip.
    flow_mask: `[batch, time, height, width]` bool or None: True where `flows` is valid; None =
        everywhere.
    mask: `[batch]` bool: False marks padding examples of the last batch of an evaluation.
    """

    frames: Array
    labels: Array
    flows: Array | None
    flow_mask: Array | None
    mask: Array

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "Batch":
        """Builds a batch from the named arrays of `afn_jax.data.pipeline`."""
        return cls(
            frames=arrays["frames"],
            labels=arrays["labels"],
            flows=arrays.get("flows"),
            flow_mask=arrays.get("flow_mask"),
            mask=arrays["mask"],
        )


@flax.struct.dataclass
class Prediction:
    """Output of every model.

    logits: `[batch, classes]` float32, or None if the model does not classify.
    flows: finest first, each `[batch, pairs, h, w, 2]` float32, in pixels of that map's own
        resolution; `()` if the model has no flow output.
    """

    logits: Array | None
    flows: tuple[Array, ...]
