"""A tiny dataset in the folders of KITTI 2015."""

import cv2
import numpy as np

from afn_jax.data.files.flow import write_flow

SIZE = (70, 100)  # not a multiple of 64


def make_kitti(root, *, frames=(10, 11), count=3):
    """Writes random images and flow in steps of 1/64; returns `[(flow, known, visible)]`."""
    random = np.random.default_rng(0)
    truths = []
    for pair in range(count):
        for n in frames:
            path = root / f"training/image_2/{pair:06d}_{n:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), random.integers(0, 256, (*SIZE, 3)).astype(np.uint8))
        flow = (random.integers(-3000, 3000, (*SIZE, 2)) / 64).astype(np.float32)
        known = random.random(SIZE) < 0.5 + 0.1 * pair
        visible = known & (random.random(SIZE) < 0.7)
        for name, mask in (("flow_occ", known), ("flow_noc", visible)):
            path = root / f"training/{name}/{pair:06d}_10.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flow(path, flow, mask)
        truths.append((flow, known, visible))
    return truths
