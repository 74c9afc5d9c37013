"""Runs on videos whose names are not UTF-8, such as those of an old archive in Latin-1."""

import io
import json
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from afn_jax.any_bytes import print_any_name
from afn_jax.data.check.__main__ import main as check
from afn_jax.data.prepare.__main__ import main as prepare
from eval.__main__ import main as evaluate
from eval.probe import ProbeConfig, run_probe
from tests.class_folders import folder_config, train_on, write_class, write_classes
from tests.small_run import build_small_network
from train.config import ObjectiveConfig
from train.loop import train

LATIN1 = "caf\udce9"  # the byte E9, as Python reads it from the disk


@pytest.fixture
def root(tmp_path, monkeypatch):
    for module in ("train.program", "eval.predict"):
        monkeypatch.setattr(f"{module}.build_model", build_small_network)
    root = write_classes(tmp_path / "videos", "jump", "cafe")
    try:
        (root / "cafe").rename(root / LATIN1)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    for name in ("jump", LATIN1):
        for path in list((root / name).iterdir()):
            path.rename(path.with_name(f"\udcff{path.name}"))
    (root / "jump" / "damaged\udcff.avi").write_bytes(b"not a video")
    return root


def strict_output(monkeypatch):
    """Collects the bytes that commands print from now on, in UTF-8 as in most terminals."""
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "utf-8", write_through=True))
    return printed


@pytest.mark.slow
def test_a_run_is_trained_evaluated_and_fused(tmp_path, root, monkeypatch):
    printed = strict_output(monkeypatch)
    print_any_name()
    config = folder_config(tmp_path / "run", root, steps=2)
    train(config, Console(file=sys.stdout, width=200))
    train(replace(config, steps=3), Console(file=sys.stdout, width=200))
    # Evaluated on videos without one, so that a message names it.
    (root / LATIN1 / "\udcff0.avi").unlink()
    (root / LATIN1 / "\udcff1.avi").unlink()
    command = ["eval", "action", "--run", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", command)
    assert evaluate() == 0
    monkeypatch.setattr(sys, "argv", ["eval", "fuse", "--scores", str(tmp_path / "run")])
    assert evaluate() == 0
    output = printed.getvalue().decode()
    assert "top1=" in output and r"damaged\udcff.avi" in output
    values = json.loads((tmp_path / "run" / "eval.json").read_text())
    assert values["class_names"] == [LATIN1, "jump"]
    assert r"caf\udce9" in (tmp_path / "run" / "report.html").read_bytes().decode()


@pytest.mark.slow
def test_a_run_is_probed(tmp_path, root, monkeypatch):
    strict_output(monkeypatch)
    print_any_name()
    train_on(tmp_path / "run", root, steps=1, objective=ObjectiveConfig(flow="endpoint"))
    run_probe(ProbeConfig(str(tmp_path / "run")), Console(file=sys.stdout, width=200))
    assert r"\udcff" in (tmp_path / "run" / "probe.html").read_bytes().decode()


def test_a_dataset_is_checked_and_prepared(tmp_path, root, monkeypatch):
    printed = strict_output(monkeypatch)
    assert check([str(root)]) in (0, 1)
    assert rb"damaged\udcff.avi" in printed.getvalue()
    write_class(root / "run")
    data = ["--data", "video-folder", "--data.root", str(root), "--data.index-cache", "none"]
    data += ["--data.num-frames", "2"]
    assert prepare([str(tmp_path / "shards"), *data, "--workers", "1"]) == 0
    assert prepare([str(tmp_path / "shards"), *data, "--workers", "1"]) == 0
