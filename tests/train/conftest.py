"""Runs in this folder use the smallest network unless they request a real one."""

import pytest

from tests.small_run import build_small_network, small_config


@pytest.fixture
def small_network(monkeypatch):
    """Trains `SmallNetwork` whatever the settings name, because it compiles in a second."""
    monkeypatch.setattr("train.loop.build_model", build_small_network)


@pytest.fixture
def config(tmp_path):
    """Settings of a run of a few steps."""
    return small_config(tmp_path / "run")
