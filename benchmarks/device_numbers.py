"""Compares what an accelerator computes with what the CPU computes, operator by operator.

    python -m benchmarks.device_numbers [--json FILE]

Values and gradients of the motion operators in float32, on the same inputs, and the flow layer with
each of its implementations. The difference is relative to the largest value on the CPU. Exits with
1 if one is larger than it may be.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from afn_jax.atomic import write_atomically
from afn_jax.ops import (
    TVL1Config,
    cost_volume,
    initial_params,
    representation_flow,
    resize_flow,
    tvl1_flow,
    warp,
)
from benchmarks.this_machine import describe_machine, one_line

# Iterations amplify rounding: sums are not in the same order on two devices.
LARGEST = {"warp": 1e-5, "cost volume": 1e-5, "resize": 1e-5, "tvl1": 1e-3, "flow layer": 1e-4}

Function = Callable[..., jax.Array]


def cases() -> dict[str, tuple[Function, tuple[Any, ...]]]:
    """Returns functions of arrays, and their inputs, by name."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    image, flow = normal(2, 33, 47, 8), 3 * normal(2, 33, 47, 2)
    pair = [255 * rng.random((2, 48, 64, 3), np.float32) for _ in range(2)]
    smooth = [np.asarray(jax.image.resize(one[:, ::8, ::8], one.shape, "cubic")) for one in pair]
    found: dict[str, tuple[Function, tuple[Any, ...]]] = {
        "warp": (warp, (image, flow)),
        "cost volume": (cost_volume, (image, normal(2, 33, 47, 8))),
        "resize": (lambda flow: resize_flow(flow, (17, 90)), (flow,)),
        "tvl1": (
            lambda a, b: tvl1_flow(a, b, TVL1Config()),
            (smooth[0] / 255, smooth[1] / 255),
        ),
    }
    for height, width, iterations in ((14, 14, 10), (27, 31, 20), (56, 56, 20)):
        features = [64 * normal(4, height, width, 8) for _ in range(2)]
        for implementation in ("xla", "pallas"):
            name = f"flow layer, {height} x {width}, {iterations} iterations, {implementation}"

            def layer(a, b, params, iterations=iterations, implementation=implementation):
                return representation_flow(
                    a, b, params, num_iterations=iterations, implementation=implementation
                )

            found[name] = (layer, (*features, initial_params()))
    return found


def compare(function: Function, inputs: tuple[Any, ...]) -> dict[str, float]:
    """Returns the relative differences of the values and of the gradients from those of the CPU."""

    def run(device: jax.Device) -> tuple[Any, Any]:
        placed = jax.device_put(inputs, device)

        @jax.jit
        def values_and_gradients(*inputs):
            values, pull = jax.vjp(function, *inputs)
            return values, pull(jnp.cos(jnp.arange(values.size)).reshape(values.shape))

        with jax.default_device(device):
            return jax.device_get(values_and_gradients(*placed))

    ours, right = run(jax.devices()[0]), run(jax.devices("cpu")[0])
    return {
        name: max(
            _difference(a, b)
            for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(his), strict=True)
        )
        for name, mine, his in zip(("values", "gradients"), ours, right, strict=True)
    }


def _difference(ours: np.ndarray, right: np.ndarray) -> float:
    scale = float(np.abs(right).max())
    return float(np.abs(ours - right).max()) / (scale or 1.0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args(arguments)
    machine, rows, wrong = describe_machine(), {}, []
    print(one_line(machine))
    for name, (function, inputs) in cases().items():
        allowed = LARGEST[name.split(",")[0]]
        try:
            rows[name] = compare(function, inputs)
        except Exception as error:  # the others are still of interest
            rows[name] = {"error": str(error).splitlines()[0]}
        worst = max(rows[name].get(kind, np.inf) for kind in ("values", "gradients"))
        right = bool(worst <= allowed)
        wrong += [] if right else [name]
        shown = "  ".join(
            f"{kind} {value:.1e}" if isinstance(value, float) else f"{kind}: {value}"
            for kind, value in rows[name].items()
        )
        print(f"{'ok   ' if right else 'WRONG'} {name}: {shown}  (at most {allowed:g})", flush=True)
    if options.json:
        content = json.dumps({"machine": machine, "rows": rows, "wrong": wrong}, indent=1)
        write_atomically(options.json, content + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
