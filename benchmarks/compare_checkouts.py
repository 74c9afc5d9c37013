"""Compares the numbers of two checkouts: every stage of every recipe, at its toy scale.

    python benchmarks/compare_checkouts.py OLD_CHECKOUT NEW_CHECKOUT --work-dir DIR

Each checkout trains every stage for two steps on batches of four clips, in a separate process. The
stages of a recipe run in order, and later stages start from earlier ones. The following numbers are
compared bit for bit: the metrics of both steps on training and test clips (losses, gradient
norm, accuracy, endpoint error); every array of the checkpoint (parameters, batch statistics, and
Adam's moments, which are computed from the gradients); the logits and flows predicted for random
frames. The exit code is 1 if any number differs. Everything runs on the CPU and, unless
JAX_DISABLE_MOST_OPTIMIZATIONS=0, without most of XLA's optimizations.

A checkout that has already run in DIR is not run again.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

FILE = "numbers.npz"
SPEED = ("steps_per_second", "clips_per_second")
MISSING = "(missing on one side, or different shapes)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="checkout to compare with")
    parser.add_argument("new", type=Path, help="checkout that should produce the same numbers")
    parser.add_argument("--work-dir", type=Path, required=True, help="folder for the runs of both")
    parser.add_argument("--recipes", nargs="*", default=[], help="recipes to compare; default: all")
    options = parser.parse_args()
    for side in ("old", "new"):
        run_checkout(getattr(options, side), options.work_dir / side, options.recipes)
    return compare(options.work_dir)


def run_checkout(checkout: Path, folder: Path, recipes: list[str]) -> None:
    """Runs `run_stages` of this file with the code of a checkout, unless `folder` has results."""
    if (folder / FILE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": str(checkout.resolve()),
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "1"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    code = (
        f"import runpy; runpy.run_path({str(Path(__file__).resolve())!r})['run_stages']({recipes})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)


def run_stages(chosen: list[str]) -> None:
    """Trains the stages with the importable code, in the current folder; saves all numbers."""
    import jax
    import numpy as np

    from eval.predict import load_predict
    from train.checkpoint import load_config, load_state
    from train.loop import train
    from train.recipes import RECIPES

    numbers = {}
    for recipe, stages in RECIPES.items():
        for stage, scales in stages.items() if not chosen or recipe in chosen else ():
            print(recipe, stage, flush=True)
            run_dir = train(small(scales["toy"])).run_dir
            jax.clear_caches()
            name = f"{recipe}/{stage}"
            for line in (run_dir / "metrics.jsonl").read_text().splitlines():
                row = json.loads(line)
                where = f"{name}/metrics/{row.pop('step')}/{row.pop('split')}"
                for key, value in row.items():
                    if key not in SPEED:
                        numbers[f"{where}/{key}"] = np.float64(value)
            state = load_state(run_dir, None)
            for path, value in jax.tree_util.tree_leaves_with_path(state):
                numbers[f"{name}/state/{jax.tree_util.keystr(path)}"] = np.asarray(value)
            settings = load_config(run_dir)
            shape = (2, settings.data.num_frames, *settings.data.size, 3)
            frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            prediction = load_predict(run_dir, settings, 8)[0](frames)
            for number, leaf in enumerate(jax.tree.leaves(prediction)):
                numbers[f"{name}/prediction/{number}"] = np.asarray(leaf)
            jax.clear_caches()
    np.savez(FILE, **numbers)


def small(config):
    """Reduces the toy scale of a stage to two steps of four clips."""
    data = dataclasses.replace(config.data, train_videos=64, test_videos=8, prefetch=1)
    return dataclasses.replace(
        config,
        steps=2,
        batch_size=4,
        data=data,
        log_every=1,
        test_every=1,
        test_batches=1,
        checkpoint_every=10,
        max_devices=1,
        compilation_cache=os.environ.get("JAX_COMPILATION_CACHE_DIR", ""),
    )


def compare(work_dir: Path) -> int:
    """Prints one line per stage and kind of number, and the first arrays that differ."""
    import numpy as np

    old, new = (np.load(work_dir / side / FILE) for side in ("old", "new"))
    tally: dict[str, list[int]] = {}
    different = []
    for name in sorted(set(old.files) | set(new.files)):
        same = name in old.files and name in new.files
        same = same and old[name].dtype == new[name].dtype
        same = same and np.array_equal(old[name], new[name], equal_nan=old[name].dtype.kind == "f")
        recipe, stage, kind = name.split("/")[:3]
        counts = tally.setdefault(f"{recipe} {stage}: {kind}", [0, 0])
        counts[0] += same
        counts[1] += 1
        if not same:
            different.append(name)
    for title, (same, total) in tally.items():
        print(f"{title}: {same} of {total} bit-identical")
    for name in different[:20]:
        both = name in old.files and name in new.files and old[name].shape == new[name].shape
        print(f"different: {name}", np.abs(old[name] - new[name]).max() if both else MISSING)
    print(f"{len(different)} differences in {sum(total for _, total in tally.values())} arrays")
    return 1 if different or not tally else 0


if __name__ == "__main__":
    sys.exit(main())
