"""Counts parameters and FLOPs of every network; writes them to the docs and for the tests.

    python benchmarks/describe_models.py

Writes the table in `docs/models.md`, and `tests/models/parameter_trees.json` with the parameter
trees: if an entry there changes, older checkpoints of that network no longer load. Takes about two
minutes, because only shapes are computed.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from afn_jax.models import create_model, list_models  # noqa: E402

SIDES = {"jointflow3d": 56, "r3d18": 112, "r2plus1d18": 112, "c3d": 112}  # others: 224
START, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def describe(name: str) -> dict:
    """Returns size and number of frames, number and digest of the parameters, and FLOPs."""
    model = create_model(name, num_classes=101)
    side = 112 if name.startswith("repflow") else SIDES.get(name, 224)
    clip = jax.ShapeDtypeStruct((1, model.num_frames, side, side, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), clip)
    lowered = jax.jit(lambda v, x: model.apply(v, x, train=False)).lower(variables, clip)
    return {
        "side": side,
        "frames": model.num_frames,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        "digest": tree_digest(variables["params"]),
        "flops": lowered.cost_analysis()["flops"],
    }


def tree_digest(params) -> str:
    """Computes a digest of the names and shapes of all parameters."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = sorted(f"{jax.tree_util.keystr(path)} {leaf.shape}" for path, leaf in leaves)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    trees, lines = {}, ["| name | clip | parameters | GFLOP |", "|---|---|---|---|"]
    for name in list_models():
        found = describe(name)
        trees[name] = {key: found[key] for key in ("side", "parameters", "digest")}
        clip = f"{found['frames']} x {found['side']} x {found['side']}"
        flops = f"{found['flops'] / 1e9:.1f}"
        lines.append(f"| `{name}` | {clip} | {found['parameters']:,} | {flops} |")
        print(lines[-1], flush=True)
    path = ROOT / "tests" / "models" / "parameter_trees.json"
    path.write_text(json.dumps(trees, indent=1, sort_keys=True) + "\n")
    path = ROOT / "docs" / "models.md"
    before, _, rest = path.read_text().partition(START)
    after = rest.partition(END)[2]
    path.write_text(before + START + "\n".join(lines) + "\n" + END + after)


if __name__ == "__main__":
    main()
