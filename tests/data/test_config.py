"""Settings of data that follow the machine."""

import dataclasses
import os

import pytest

from afn_jax.data.config import DataConfig, reading_threads


@pytest.mark.parametrize(
    ("cores", "given", "workers", "expected"),
    [
        (2, None, 0, 2),
        (12, None, 0, 12),
        (96, None, 0, 16),
        (96, None, 12, 8),
        (4, None, 8, 1),
        (96, 3, 0, 3),
        (96, 0, 4, 0),
    ],
)
def test_reading_threads_follow_the_cores(monkeypatch, cores, given, workers, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    config = dataclasses.replace(DataConfig(), num_threads=given, num_workers=workers)
    assert reading_threads(config) == expected
