"""Draws the effect of each parameter of the representation flow layer: `docs/flow-layer.png`.

    python benchmarks/flow_layer_pictures.py

A textured disc moves by (0.6, 0.3) pixels over a static, fainter texture. Each row varies one
parameter and keeps the others at their initial values.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from afn_jax.ops import RepresentationFlowParams, flow_to_rgb, representation_flow

SIDE, ZOOM, LABEL, MARGIN = 64, 2, 20, 8
MOTION = (0.6, 0.3)
ROWS = [
    ("iterations", [1, 5, 10, 20, 50]),
    ("lambda", [0.02, 0.05, 0.15, 0.5, 1.5]),
    ("theta", [0.05, 0.1, 0.3, 1.0, 3.0]),
    ("tau", [0.02, 0.1, 0.25, 0.5, 1.0]),
]


def scene(x: float, y: float) -> np.ndarray:
    """Computes `[SIDE, SIDE, 1]` in [0, 255]: the disc moved by exactly (x, y), static ground."""
    rows, columns = np.indices((SIDE, SIDE), float)

    def waves(columns, rows, seed):
        random = np.random.default_rng(seed)
        total = np.zeros((SIDE, SIDE))
        for _ in range(12):
            a, b = random.uniform(-0.5, 0.5, 2)
            total += np.cos(a * columns + b * rows + random.uniform(0, 2 * np.pi))
        return total / 12

    distance = np.hypot(columns - x - SIDE / 2, rows - y - SIDE / 2)
    inside = 1 / (1 + np.exp(2 * (distance - 18)))  # a soft edge, exact at subpixel positions
    gray = 128 + 60 * (1 - inside) * waves(columns, rows, 0)
    gray += 180 * inside * waves(columns - x, rows - y, 1)
    return gray.clip(0, 255).astype(np.float32)[..., None]


def flow(num_iterations=20, kernels="tvl1", **params) -> np.ndarray:
    """Computes the flow of the scene, `[SIDE, SIDE, 2]`."""
    result = representation_flow(
        scene(0, 0),
        scene(*MOTION),
        RepresentationFlowParams(**params),
        num_iterations=num_iterations,
        kernels=kernels,
    )
    return np.asarray(result)[:, :, 0]


def tile(picture: np.ndarray, label: str) -> np.ndarray:
    """Enlarges a picture and puts its label above it."""
    picture = cv2.resize(picture, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_NEAREST)
    height, width = picture.shape[:2]
    framed = np.full((height + LABEL + MARGIN, width + MARGIN, 3), 255, np.uint8)
    framed[LABEL : LABEL + height, MARGIN // 2 : MARGIN // 2 + width] = picture
    place = (MARGIN // 2, LABEL - 6)
    cv2.putText(framed, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return framed


def colored(flow: np.ndarray) -> np.ndarray:
    return np.asarray(flow_to_rgb(flow, max_magnitude=float(np.hypot(*MOTION))))


def gray(x: np.ndarray) -> np.ndarray:
    return np.repeat(x.astype(np.uint8), 3, -1)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    rows, columns = np.indices((SIDE, SIDE))
    disc = np.hypot(columns - SIDE / 2, rows - SIDE / 2) < 18
    truth = np.where(disc[..., None], np.array(MOTION, np.float32), np.float32(0))
    grid = [
        [
            tile(gray(scene(0, 0)), "first frame"),
            tile(gray(scene(*MOTION)), "second, +(0.6, 0.3) px"),
            tile(colored(truth), "true flow"),
            tile(colored(flow()), "tvl1 kernels"),
            tile(colored(flow(kernels="sobel")), "sobel kernels"),
        ]
    ]
    names = {"lambda": "lam"}
    for name, values in ROWS:
        row = []
        for value in values:
            if name == "iterations":
                result = flow(num_iterations=value)
            else:
                result = flow(**{names.get(name, name): value})
            initial = {"iterations": 20, "lambda": 0.15, "theta": 0.3, "tau": 0.25}[name] == value
            row.append(tile(colored(result), f"{name} {value}" + " (initial)" * initial))
            error = np.linalg.norm(result - truth, axis=-1)
            print(
                f"{name} {value}: error {error[disc].mean():.3f} px on the disc, "
                f"{error[~disc].mean():.3f} px on the ground"
            )
        grid.append(row)
    picture = np.concatenate([np.concatenate(row, axis=1) for row in grid])
    path = Path(__file__).resolve().parent.parent / "docs" / "flow-layer.png"
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(path)


if __name__ == "__main__":
    main()
