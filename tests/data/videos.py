"""Writes and sequentially decodes the videos of the tests."""

import av
import numpy as np

from afn_jax.data.files.video import LENIENT


def moving_picture(num_frames: int = 40, height: int = 48, width: int = 64) -> np.ndarray:
    """`[N, H, W, 3]` uint8: smooth waves that differ from frame to frame."""
    t, y, x, channel = np.ogrid[:num_frames, :height, :width, :3]
    waves = np.sin(x / 7 + 0.9 * t + channel) + np.cos(y / 5 - 0.4 * t)
    return (127 + 60 * waves).astype(np.uint8)


def encode(path, codec, frames, *, options=None, pixels="yuv420p", pts=None, aspect=None):
    """Writes RGB frames `[N, H, W, 3]` as a video at 25 Hz, or at time stamps `pts`.

    `aspect` is the width of a pixel divided by its height.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
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


def numbered_pictures(num_frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """`[N, H, W, 3]` uint8: five bars per picture, the binary digits of its number below 32."""
    numbers, bars = np.arange(num_frames), np.arange(width) * 5 // width
    bright = numbers[:, None] >> bars & 1
    pictures = np.where(bright, 210, 40).astype(np.uint8)
    return np.ascontiguousarray(
        np.broadcast_to(pictures[:, None, :, None], (num_frames, height, width, 3))
    )


def numbers_in(frames: np.ndarray) -> list[int]:
    """Reads the numbers of `numbered_pictures` `[N, H, W, 3]`, of any size and compression."""
    columns = frames.mean((1, 3))
    bars = np.stack([part.mean(1) for part in np.array_split(columns, 5, axis=1)], axis=1)
    return ((bars > 125) @ (1 << np.arange(5))).tolist()


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


def sequential(path, width=None) -> np.ndarray:
    """Decodes all frames in order: `[N, H, W, 3]` uint8 RGB, as coded or scaled to a width."""
    with av.open(str(path), **LENIENT) as container:
        frames = container.decode(video=0)
        return np.stack([f.to_ndarray(format="rgb24", width=width) for f in frames])


def names(source):
    """The names of all videos of a source, in order."""
    return [source[i].name for i in range(len(source))]
