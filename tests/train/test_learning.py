"""Each family learns the action and its flow from synthetic clips in a few steps.

A single frame does not show the class, so accuracy above chance comes from motion.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.config import default_run_dir
from train.recipes import RECIPES
from train.writers import read_metrics

ROOT = Path(__file__).resolve().parents[2]
# Settings that make the other tests compile quickly and run slowly.
FOR_TESTS = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")
TEST_CLIPS = 256
# Chance is .125; of 256 clips, three standard deviations above it are .187.
CLEARLY_ABOVE_CHANCE = 0.19


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "recipe, stages",
    [
        ("actionflownet", {"flow-2f": 250, "joint-2f": 350}),
        ("hidden-two-stream", {"motionnet": 450, "temporal-a": 260}),
        ("uf-tsn", {"flow": 200, "warm-up": 150}),
        ("representation-flow", {"mini-kinetics": 150}),
        ("odabasi", {"": 250}),
    ],
)
def test_stages_beat_zero_flow_and_chance(recipe, stages, tmp_path):
    """Runs the stages one after another with the user's command."""
    environment = {k: v for k, v in os.environ.items() if k not in FOR_TESTS}
    environment |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    results = []
    for stage, steps in stages.items():
        command = [sys.executable, "-m", "train", recipe, "--scale", "toy"]
        command += ["--stage", stage] if stage else []
        command += ["--steps", str(steps), "--test-every", str(steps)]
        command += ["--data.test-videos", str(TEST_CLIPS)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        rows = read_metrics(tmp_path / default_run_dir(RECIPES[recipe][stage]["toy"]))
        results.append([row for row in rows if row["split"] == "test"][-1])
    flows = [result for result in results if "epe" in result]
    assert flows or recipe == "representation-flow"  # whose flow has no target
    assert all(result["epe"] < result["zero_flow_epe"] for result in flows)
    assert results[-1]["top1"] > CLEARLY_ABOVE_CHANCE
