"""The memory benchmark: its figures on memory of known size, and a short run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability_memory import Sample, memory_of, slope

ROOT = Path(__file__).resolve().parent.parent.parent

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_counts_memory_that_is_in_use():
    before = memory_of("self")
    kept = np.ones(64 << 17)  # 64 MiB
    after = memory_of("self")
    assert kept.sum() > 0
    for old, new in zip(before, after, strict=True):
        assert new - old == pytest.approx(64, abs=8)


def test_the_slope_is_that_of_the_second_half():
    samples = [Sample(1000 * i, 500 if i <= 10 else 100 + 2 * i, 10, 0, 0) for i in range(1, 21)]
    assert slope(samples) == pytest.approx(2)


@linux
@pytest.mark.slow
def test_prints_a_table():
    """In a process of its own: earlier tests may have left children in this one."""
    command = [sys.executable, "-m", "benchmarks.reliability_memory", "--clips", "400"]
    done = subprocess.run(
        [*command, "--workers", "0", "1"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("threads of the main process, 400 clips (MiB)")
    rows = [[float(x) for x in line.split()] for line in lines if line[:8].strip().isdigit()]
    assert [row[0] for row in rows] == 2 * list(range(20, 401, 20))
    assert all(row[2] == 0 for row in rows[:20]) and all(row[2] > 20 for row in rows[20:])
    assert sum(line.startswith("slope over the second half: ") for line in lines) == 2
