"""Draws the picture of docs/flow.md: a frame of the video that `afn-jax flow FOLDER` writes.

    python -m benchmarks.flow_film_picture

Writes `docs/flow.png`. The folder holds frames of the embedded dataset `synthetic-motion`.
"""

import tempfile
from pathlib import Path

import av
import cv2
import numpy as np

from afn_jax.data.sources.synthetic_motion import SyntheticMotion
from afn_jax.predict.flow.estimate import video_flow
from afn_jax.predict.flow.methods import TVL1Method

PATH = Path(__file__).resolve().parent.parent / "docs" / "flow.png"
FRAMES, SHOWN, SIZE, CLIP = 24, 14, (120, 160), 12


def main() -> None:
    source = SyntheticMotion(
        CLIP + 1, size=SIZE, num_frames=FRAMES, split="test", num_objects=(2, 2)
    )
    clip = source[CLIP].clip(np.arange(FRAMES))
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames"
        frames.mkdir()
        for number, frame in enumerate(clip.frames):
            cv2.imwrite(str(frames / f"{number:03}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        video_flow(frames, TVL1Method(), Path(folder) / "film", fps=8)
        with av.open(f"{folder}/film.mp4") as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number == SHOWN:
                    picture = frame.to_ndarray(format="bgr24")
    cv2.imwrite(str(PATH), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{PATH}: {picture.shape[1]} x {picture.shape[0]}, {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
