"""Measures memory and time of the representation flow layer by `remat` and iterations.

    python benchmarks/flow_layer_memory.py

Prints the table of `docs/flow-layer.md`: the memory that XLA allocates for the gradient with
respect to inputs and learned parameters, and the time of that gradient divided by that of the
forward pass (medians of interleaved runs).
"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from afn_jax.ops import initial_params, representation_flow  # noqa: E402
from benchmarks.timing import interleaved  # noqa: E402

NUM_MAPS, SIDE, CHANNELS = 60, 28, 32
LEARNED = ("tau", "lam", "theta", "divergence")


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    shape = (NUM_MAPS, SIDE, SIDE, CHANNELS)
    random = np.random.default_rng(0)
    first = jnp.asarray(255 * random.random(shape), jnp.float32)
    second = first + 10 * jnp.asarray(random.standard_normal(shape), jnp.float32)
    params = initial_params()
    learned = {name: getattr(params, name) for name in LEARNED}
    print(f"{NUM_MAPS} maps of {SIDE} x {SIDE} x {CHANNELS}, {jax.default_backend()}")
    print("| iterations | `remat` | temporary memory | time / forward |\n|---|---|---|---|")
    arguments = (first, second, learned)
    for iterations in (5, 10, 20, 50):

        def flow(first, second, learned, remat="none", iterations=iterations):
            changed = dataclasses.replace(params, **learned)
            return representation_flow(
                first, second, changed, num_iterations=iterations, remat=remat
            )

        def loss(first, second, learned, remat, flow=flow):
            return jnp.sum(jnp.sin(flow(first, second, learned, remat)))

        functions, memory = {}, {}
        forward = jax.jit(flow).lower(*arguments).compile()
        functions["forward"] = lambda forward=forward: jax.block_until_ready(forward(*arguments))
        for remat in ("none", "iteration", "all"):
            gradient = jax.jit(jax.grad(loss, (0, 1, 2)), static_argnums=3)
            compiled = gradient.lower(*arguments, remat).compile()
            memory[remat] = compiled.memory_analysis().temp_size_in_bytes
            functions[remat] = lambda c=compiled: jax.block_until_ready(c(*arguments))
        times = interleaved(functions, rounds=5)
        for remat, size in memory.items():
            ratio = times[remat] / times["forward"]
            print(f'| {iterations} | `"{remat}"` | {size / 2**20:.0f} MiB | {ratio:.1f} |')


if __name__ == "__main__":
    main()
