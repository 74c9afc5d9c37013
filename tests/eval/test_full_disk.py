"""An evaluation whose results do not fit on the disk."""

import io

import pytest
from rich.console import Console

from eval.action import ActionConfig, run_action
from tests.full_disk import fill, free, small_disk
from tests.small_run import build_small_network, small_config
from train.loop import train

RESULTS = ("scores.npz", "report.html", "eval.json")


def results(folder):
    """The bytes of the results that exist."""
    return {name: (folder / name).read_bytes() for name in RESULTS if (folder / name).exists()}


@pytest.mark.slow
def test_results_are_old_or_new_and_the_same_command_completes_them(tmp_path, monkeypatch):
    monkeypatch.setattr("train.program.build_model", build_small_network)
    monkeypatch.setattr("eval.predict.build_model", build_small_network)
    console = Console(file=io.StringIO())
    with small_disk(tmp_path / "disk") as disk:
        run = disk / "run"
        train(small_config(run, steps=2), console)
        run_action(ActionConfig((str(run),)), console)
        right = results(run)
        assert len(right) == 3
        for name in RESULTS:
            (run / name).unlink()
        sizes = [len(right[name]) for name in RESULTS]
        # Each of the results in turn is the first that does not fit.
        for number, name in enumerate(RESULTS):
            pages = sum(-(-size // 4096) for size in sizes[:number])
            fill(disk, leave=4096 * pages)
            with pytest.raises(OSError, match=f"No space left.*{name}"):
                run_action(ActionConfig((str(run),)), console)
            found = results(run)
            assert found == {key: right[key] for key in RESULTS[:number]}
            free(disk)
            for key in found:
                (run / key).unlink()
        run_action(ActionConfig((str(run),)), console)
        assert results(run) == right
        assert not list(run.glob(".*"))
