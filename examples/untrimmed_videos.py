"""Writes untrimmed synthetic videos as MP4 files, and the times of their actions as a CSV list.

    python examples/untrimmed_videos.py --out untrimmed --videos 4
    afn-jax predict MODEL untrimmed --out predicted
    python -m eval segments --run RUN --data-root untrimmed --annotations untrimmed/segments.csv

A network that was trained on `synthetic-motion` recognizes their actions: what it sees of a frame,
a box of 32 x 32 after resizing to 40 pixels, looks as in its training.
"""

import argparse
import csv
import sys
from pathlib import Path

import cv2

from afn_jax.data.sources.synthetic_untrimmed import FPS, SyntheticUntrimmed
from afn_jax.predict.film.mp4 import Mp4Writer

SIDE = 40  # px; what the toy scale resizes frames to
SEEN = 32  # px; what it crops from them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("untrimmed"), help="output folder")
    parser.add_argument("--videos", type=int, default=4, help="number of videos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--actions", type=int, nargs=2, default=(4, 8), help="per video, from to")
    parser.add_argument("--enlarge", type=int, default=8, help="factor of the size of the files")
    options = parser.parse_args()
    try:
        write_videos(options)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def write_videos(options: argparse.Namespace) -> None:
    if options.enlarge < 1:
        raise ValueError(f"enlarge: got {options.enlarge}; give a whole number of 1 or more")
    source = SyntheticUntrimmed(
        options.videos,
        size=(SIDE, SIDE),
        seed=options.seed,
        split="test",
        num_actions=tuple(options.actions),
        # Objects of the size that they have in frames of 32 x 32.
        radius=(0.25 * SEEN / SIDE, 0.34 * SEEN / SIDE),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    side = SIDE * options.enlarge
    rows = []
    for video in source:
        name = f"{video.name}.mp4"
        with Mp4Writer(options.out / name, height=side, width=side) as writer:
            for number, frame in enumerate(video.frames()):
                large = cv2.resize(frame, (side, side), interpolation=cv2.INTER_CUBIC)
                writer.add(large, number / FPS)
        rows += [(name, source.class_names[label], *times) for label, *times in video.segments]
        print(f"{options.out / name}: {video.duration:.2f} s, {len(video.segments)} actions")
    with (options.out / "segments.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "start", "end"), *rows])
    print(f"{options.out / 'segments.csv'}: {len(rows)} actions")


if __name__ == "__main__":
    main()
