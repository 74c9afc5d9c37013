"""Computes the TV-L1 flow between two images; writes it as a color image and as a `.flo` file.

    python examples/flow_between_two_images.py first.png second.png --out flow

writes `flow.png` and `flow.flo`. In the color image, hue is direction (red right, yellow down, cyan
left, violet up) and saturation is speed. The command `afn-jax flow` does the same with more
settings, and for videos: docs/flow.md.
"""

import argparse
import sys

from afn_jax.ops import TVL1Config
from afn_jax.predict.flow.estimate import pair_flow
from afn_jax.predict.flow.methods import TVL1Method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", help="first image; flow starts at its pixels")
    parser.add_argument("second", help="second image, of the same size")
    parser.add_argument("--out", default="flow", help="name of both files, without extension")
    parser.add_argument("--lam", type=float, default=TVL1Config.lam, help="weight of the data term")
    parser.add_argument("--overwrite", action="store_true", help="replace older files")
    arguments = parser.parse_args()
    try:
        method = TVL1Method(TVL1Config(lam=arguments.lam))
        flow = pair_flow(
            *(arguments.first, arguments.second, method, arguments.out),
            overwrite=arguments.overwrite,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(
        f"{arguments.out}.png and {arguments.out}.flo: mean speed {flow.mean_speed:.2f} px, "
        f"maximum {flow.largest_speed:.2f} px (full saturation)"
    )


if __name__ == "__main__":
    main()
