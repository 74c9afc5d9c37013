"""Fixtures for runs of a few steps with the smallest network."""

import pytest

from tests.small_run import build_small_network, small_config


@pytest.fixture
def small_network(monkeypatch):
    """Trains `SmallNetwork`, which compiles in a second, whatever network the settings name."""
    monkeypatch.setattr("train.program.build_model", build_small_network)


@pytest.fixture
def config(tmp_path):
    """Returns the settings of a run of a few steps."""
    return small_config(tmp_path / "run")
