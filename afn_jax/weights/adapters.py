"""Kernels for inputs that the published network never saw: clips, stacked frames, flow."""

import numpy as np


def inflate_to_3d(kernel: np.ndarray, time: int) -> np.ndarray:
    """`[kh, kw, in, out]` -> `[time, kh, kw, in, out]`: the kernel at each tap, divided by `time`.

    The response to a frame that stands still is that of the 2D kernel (Carreira and Zisserman, Quo
    Vadis, Action Recognition?, 2017, section 2.4).
    """
    if kernel.ndim != 4 or time < 1:
        raise ValueError(
            f"kernel: got shape {kernel.shape} and time={time}; give [kh, kw, in, out], 1 or more"
        )
    return np.repeat(kernel[None], time, axis=0) / np.float32(time)


def adapt_input_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """`[..., in, out]` -> `[..., channels, out]` for frames stacked on channels: RGB, RGB, ...

    The kernel is repeated and divided by the number of frames: the response to a frame that is
    stacked on itself is that to the frame alone.
    """
    present = kernel.shape[-2]
    if channels % present:
        raise ValueError(
            f"channels: got {channels}, which is no multiple of the kernel's {present} input "
            "channels. For flow or grey frames take average_input_channels."
        )
    frames = channels // present
    return np.concatenate([kernel] * frames, axis=-2) / np.float32(frames)


def average_input_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """`[..., in, out]` -> `[..., channels, out]`: the mean over input channels, for each channel.

    The cross-modality initialisation of a flow stream (Wang et al., Temporal Segment Networks,
    2016, section 3.2). Not divided, as the components of flow seldom all have one sign.
    """
    return np.repeat(kernel.mean(-2, keepdims=True), channels, axis=-2)
