"""Flow teacher (see `afn_jax.data.teacher`) that runs `afn_jax.ops.tvl1_flow`."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.ops import TVL1Config, tvl1_flow


@dataclasses.dataclass(frozen=True)
class TVL1Teacher:
    """TV-L1 flow of all consecutive frames of a clip at once.

    It runs on JAX's default device, so it must be called in the training process (as the reading
    threads of the pipeline are). It compiles once per frame size.

    Attributes:
        config: solver configuration.
    """

    config: TVL1Config = TVL1Config()
    name: ClassVar[str] = "tvl1"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Maps frames `[N, H, W, 3]` uint8 RGB to flow `[N - 1, H, W, 2]` float32, in pixels.

        Raises:
            ValueError: if `frames` has another shape or dtype.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(
                f"frames: got {frames.dtype} of shape {frames.shape}; give uint8 RGB of shape "
                "[N, H, W, 3]"
            )
        if len(frames) < 2:
            return np.empty((0, *frames.shape[1:3], 2), np.float32)
        return np.array(_flow(frames, self.config))


@functools.partial(jax.jit, static_argnames="config")
def _flow(frames, config):
    frames = frames.astype(jnp.float32) / 255
    return tvl1_flow(frames[:-1], frames[1:], config)
