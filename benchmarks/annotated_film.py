"""Compares the speed of annotated videos with that of encoding the pictures alone.

    python -m benchmarks.annotated_film

Prints the median over rounds of (time of a plain encoding) / (time of the film), both of 480 x 640
and in turns: 1 means that the annotations take no time. Flow has 56 x 56 pixels, as a network's.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from afn_jax.predict.film.mp4 import Mp4Writer
from afn_jax.predict.film.writer import FilmWriter

SIZE, CLASSES, FRAMES = (480, 640), 8, 100


def pictures(rng: np.random.Generator) -> list[np.ndarray]:
    """Returns frames of a smooth texture that moves, which encodes like a real video."""
    noise = rng.integers(0, 256, (SIZE[0] + 40, SIZE[1] + 80, 3), np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    return [
        np.ascontiguousarray(texture[k : k + SIZE[0], 2 * k : 2 * k + SIZE[1]]) for k in range(40)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    frames = pictures(rng)
    probabilities = rng.dirichlet(np.ones(CLASSES), FRAMES)
    flows = rng.normal(0, 2, (8, 7, 7, 2)).repeat(8, 1).repeat(8, 2)
    names = [f"class number {k}" for k in range(CLASSES)]
    times: dict[str, list[float]] = {"plain": [], "none": [], "over": [], "beside": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        for turn in range(rounds + 1):  # the first one compiles
            for kind in times:
                start = time.perf_counter()
                if kind == "plain":
                    with Mp4Writer(path, height=SIZE[0], width=SIZE[1]) as video:
                        for k in range(FRAMES):
                            video.add(frames[k % 40], k / 25)
                else:
                    with FilmWriter(
                        path, height=SIZE[0], width=SIZE[1], class_names=names, flow=kind,
                        duration=FRAMES / 25,
                    ) as film:  # fmt: skip
                        for k in range(FRAMES):
                            film.add(frames[k % 40], k / 25, probabilities[k], flows[k % 8])
                if turn:
                    times[kind].append(time.perf_counter() - start)
    for kind in ("none", "over", "beside"):
        ratios = [plain / film for plain, film in zip(times["plain"], times[kind], strict=True)]
        real_time = FRAMES / 25 / statistics.median(times[kind])
        print(
            f"flow {kind}: {statistics.median(ratios):.2f} of the speed of plain encoding, "
            f"{real_time:.1f} times real time at 25 frames per second"
        )


if __name__ == "__main__":
    main()
