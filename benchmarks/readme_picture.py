"""Draws the picture of the README: frames, learned flow, true flow and class of two test clips.

    python -m benchmarks.readme_picture runs/actionflownet-toy

Writes `docs/actionflownet.png`. The run must predict flow and classes on a dataset with true flow.
The picture shows the first correctly classified test clip of each given class.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from afn_jax.data.sources import create_source
from afn_jax.viz import fit, flow_pictures, flow_scale
from eval.example_clips import example_clips
from eval.predict import load_predict, starts_of
from eval.report_clips import ReportExample
from train.checkpoint import load_config

PATH = Path(__file__).resolve().parent.parent / "docs" / "actionflownet.png"
CLASSES = ("translate_right", "rotate_counter_clockwise")
COLUMNS = 4  # evenly spaced times of a clip, including the last one
TILE, GAP, MARGIN = 160, 6, 28  # px
NAMES, TITLE, SMALL = 190, 58, 40  # px: width of row names, heights of the two lines on top
PAPER, INK, FAINT = (248, 248, 248), (30, 30, 30), (95, 95, 95)  # readable on light and dark pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a trained run")
    parser.add_argument(
        "--classes", nargs="+", default=CLASSES, help="classes of which to show a clip"
    )
    parser.add_argument("--out", type=Path, default=PATH, help="PNG file to write")
    options = parser.parse_args()
    settings = load_config(options.run)
    source = create_source(settings.data, "test", settings.seed)
    names = source.class_names
    predict, _ = load_predict(options.run, settings, len(names))
    starts = starts_of(settings, len(names))
    examples = example_clips(predict, source, settings.data, 8 * len(names), starts)
    clips = []
    for name in options.classes:
        right = [e for e in examples if names[e.label] == name == names[e.scores.argmax()]]
        if not right:
            parser.error(f"--classes: no correctly classified clip of {name!r} was found")
        clips.append(clip_picture(right[0], names))
    rows = np.full((clips[0].shape[0], NAMES, 3), PAPER, np.uint8)
    for row, text in enumerate(("frames", "learned flow", "true flow")):
        write(rows, text, 0, TITLE + SMALL + row * (TILE + GAP) + TILE // 2 + 8, INK)
    gap = np.full((clips[0].shape[0], MARGIN, 3), PAPER, np.uint8)
    picture = np.concatenate([rows, clips[0], *(p for c in clips[1:] for p in (gap, c))], 1)
    margins = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    picture = np.pad(picture, margins, constant_values=PAPER[0])
    cv2.imwrite(str(options.out), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{options.out}: {picture.shape[1]} x {picture.shape[0]}")


def clip_picture(example: ReportExample, class_names: tuple[str, ...]) -> np.ndarray:
    """Draws three rows of pictures under label, prediction and times; `[h, w, 3]` uint8."""
    times = np.linspace(0, len(example.frames) - 1, COLUMNS).round().astype(int)
    scale = flow_scale(example.flow, example.target, example.flow_mask)
    rows = (
        fit(example.frames),
        flow_pictures(example.flow, max_magnitude=scale),
        flow_pictures(example.target, max_magnitude=scale),
    )
    width = COLUMNS * (TILE + GAP) - GAP
    picture = np.full((TITLE + SMALL + 3 * (TILE + GAP) - GAP, width, 3), PAPER, np.uint8)
    guess = int(example.scores.argmax())
    words = (
        f"{class_names[example.label]}: probability {100 * example.scores[guess]:.0f} %"
    ).replace("_", " ")
    write(picture, words, 0, 28, INK)
    for column, time in enumerate(times):
        left = column * (TILE + GAP)
        to = time + 1 if time + 1 < len(example.frames) else "unseen"
        write(picture, f"{time} to {to}", left, TITLE + 26, FAINT, size=0.6)
        for row, pictures in enumerate(rows):
            top = TITLE + SMALL + row * (TILE + GAP)
            tile = cv2.resize(pictures[time], (TILE, TILE), interpolation=cv2.INTER_NEAREST)
            picture[top : top + TILE, left : left + TILE] = tile
            corner = (left + TILE - 1, top + TILE - 1)
            cv2.rectangle(picture, (left, top), corner, (200, 200, 200), 1)
    return picture


def write(picture: np.ndarray, text: str, x: int, y: int, color, size: float = 0.75) -> None:
    """Draws a line of text with its baseline at `y`, in place."""
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()
