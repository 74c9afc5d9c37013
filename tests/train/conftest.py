"""Runs in this folder use the smallest network unless they ask for a real one."""

import pytest
from small_run import build_small_network, small_config


@pytest.fixture
def small_network(monkeypatch):
    """Trains `SmallNetwork` whatever the settings name, because it compiles in a second."""
    monkeypatch.setattr("train.loop.build_model", build_small_network)


@pytest.fixture
def config(tmp_path):
    """Settings of a run of a few steps."""
    return small_config(tmp_path / "run")


@pytest.fixture
def run_main(monkeypatch, capsys):
    """`run_main("train", *arguments) -> (exit code, stdout, stderr)`, in this process."""

    def run(command, *arguments):
        module = __import__(f"{command}.__main__", fromlist=["main"])
        monkeypatch.setattr("sys.argv", [command, *map(str, arguments)])
        capsys.readouterr()
        try:
            code = module.main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
