"""Writes and sequentially decodes the videos of the tests."""

import av
import numpy as np

from afn_jax.data.files.video import LENIENT


def moving_picture(num_frames: int = 40, height: int = 48, width: int = 64) -> np.ndarray:
    """`[N, H, W, 3]` uint8: smooth waves that differ from frame to frame."""
    t, y, x, channel = np.ogrid[:num_frames, :height, :width, :3]
    waves = np.sin(x / 7 + 0.9 * t + channel) + np.cos(y / 5 - 0.4 * t)
    return (127 + 60 * waves).astype(np.uint8)


def encode(path, codec, frames, *, options=None, pixels="yuv420p", pts=None):
    """Writes RGB frames `[N, H, W, 3]` as a video at 25 Hz, or at time stamps `pts`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        for t, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if pts is not None:
                frame.pts = pts[t]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_video(path, num_frames=6, value=0):
    """Writes a video whose frame t is plain gray of brightness `value` + 10 t."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for t in range(num_frames):
            image = np.full((32, 48, 3), value + 10 * t, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def sequential(path) -> np.ndarray:
    """Decodes all frames in order: `[N, H, W, 3]` uint8 RGB."""
    with av.open(str(path), **LENIENT) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def names(source):
    """The names of all videos of a source, in order."""
    return [source[i].name for i in range(len(source))]
