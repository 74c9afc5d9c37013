"""Computes the TV-L1 flow between two images; writes it as a color image and as a `.flo` file.

    python examples/flow_between_two_images.py first.png second.png --out flow

writes `flow.png` and `flow.flo`. In the color image, hue is direction (red right, yellow down, cyan
left, violet up) and saturation is speed. Images are read with OpenCV, which comes with
`pip install -e '.[train]'`.
"""

import argparse
import sys
from pathlib import Path

import cv2
import jax
import numpy as np

from afn_jax.data.files.flow import write_flo
from afn_jax.ops import TVL1Config, flow_to_rgb, tvl1_flow


def read(path: str) -> np.ndarray:
    """Reads an image as `[H, W, 3]` float32 RGB in [0, 1]."""
    picture = cv2.imread(path, cv2.IMREAD_COLOR) if Path(path).is_file() else None
    if picture is None:
        sys.exit(f"error: {path} is missing or is not an image that OpenCV can read")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", help="first image; flow starts at its pixels")
    parser.add_argument("second", help="second image, of the same size")
    parser.add_argument(
        "--out", default="flow", help="name of both output files, without extension"
    )
    parser.add_argument("--lam", type=float, default=TVL1Config.lam, help="weight of the data term")
    arguments = parser.parse_args()
    first, second = read(arguments.first), read(arguments.second)
    if first.shape != second.shape:
        sizes = (f"{x.shape[0]} x {x.shape[1]}" for x in (first, second))
        sys.exit(f"error: the images are {' and '.join(sizes)}; they must have the same size")
    if not Path(arguments.out).absolute().parent.is_dir():
        sys.exit(f"error: --out: no such folder: {Path(arguments.out).parent}")
    try:
        config = TVL1Config(lam=arguments.lam)
    except ValueError as error:
        sys.exit(f"error: --{error}")
    flow = jax.jit(lambda first, second: tvl1_flow(first, second, config))(first, second)
    speed = np.linalg.norm(flow, axis=-1)
    picture = np.asarray(flow_to_rgb(flow))
    cv2.imwrite(f"{arguments.out}.png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_flo(f"{arguments.out}.flo", np.asarray(flow))
    print(
        f"{arguments.out}.png and {arguments.out}.flo: mean speed {speed.mean():.2f} px, "
        f"maximum {speed.max():.2f} px (full saturation)"
    )


if __name__ == "__main__":
    main()
