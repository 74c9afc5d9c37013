"""Adapts kernels to inputs that the published network did not have: clips, stacked frames, flow."""

import numpy as np


def inflate_to_3d(kernel: np.ndarray, time: int) -> np.ndarray:
    """Repeats `[kh, kw, in, out]` along time, divided by `time`: `[time, kh, kw, in, out]`.

    The response to a static clip is that of the 2D kernel to its frame (Carreira and Zisserman, Quo
    Vadis, Action Recognition?, 2017, section 2.4).
    """
    if kernel.ndim != 4 or time < 1:
        raise ValueError(
            f"kernel: got shape {kernel.shape} and time={time}; allowed: [kh, kw, in, out] and "
            "1 or more frames."
        )
    return np.repeat(kernel[None], time, axis=0) / np.float32(time)


def adapt_input_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Repeats `[..., in, out]` for stacked frames (RGB, RGB, ...): `[..., channels, out]`.

    The kernel is divided by the number of frames, so that the response to copies of one frame is
    the response to that frame.

    Raises:
        ValueError: if `channels` is not a multiple of `in`.
    """
    present = kernel.shape[-2]
    if channels % present:
        raise ValueError(
            f"channels: got {channels}, which is not a multiple of the kernel's {present} input "
            "channels. For flow or gray frames, use average_input_channels."
        )
    frames = channels // present
    return np.concatenate([kernel] * frames, axis=-2) / np.float32(frames)


def average_input_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Repeats the mean over the input channels of `[..., in, out]`: `[..., channels, out]`.

    This is the cross-modality initialization of a flow stream (Wang et al., Temporal Segment
    Networks, 2016, section 3.2). The kernel is not divided by the number of channels, because the
    components of flow rarely all have the same sign.
    """
    return np.repeat(kernel.mean(-2, keepdims=True), channels, axis=-2)
