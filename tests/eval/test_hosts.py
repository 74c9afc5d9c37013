"""Evaluation on two processes against one, and how it ends if one process fails."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from eval.action import ActionConfig, run_action
from eval.flow import FlowConfig, run_flow
from eval.probe import ProbeConfig, run_probe
from eval.scores import load_scores
from eval.segments import SegmentsConfig, run_segments
from tests.eval.kitti import make_kitti
from tests.small_run import build_small_network, small_config
from tests.train.hosts.processes import EVAL, finish, start_several
from train.loop import train

QUIET = Console(quiet=True)
SEGMENTS = {"videos": 3, "validation_videos": 2}


def assert_close(found, right):
    """Compares nested values; numbers up to the rounding of sums in another order."""
    if isinstance(right, dict):
        assert found.keys() == right.keys()
        for name in right:
            assert_close(found[name], right[name])
    elif isinstance(right, list):
        assert len(found) == len(right)
        for one, other in zip(found, right, strict=True):
            assert_close(one, other)
    else:
        assert found == (pytest.approx(right, rel=1e-4) if isinstance(right, float) else right)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_equal_one_with_the_same_devices(tmp_path, monkeypatch):
    """Each has a damaged pair in its share. The last evaluation has unequal data and fails."""
    for module in ("train.program", "eval.predict", "eval.flow_methods"):
        monkeypatch.setattr(f"{module}.build_model", build_small_network)
    run = tmp_path / "run"
    config = small_config(run)
    train(replace(config, data=replace(config.data, test_videos=9)), QUIET)
    roots = [tmp_path / name for name in ("kitti", "other-kitti")]
    for root, count in zip(roots, (5, 4), strict=True):
        make_kitti(root, count=count)
        for pair in (1, 2):  # of different processes
            path = root / f"training/image_2/{pair:06d}_10.png"
            path.write_bytes(path.read_bytes()[:100])
    runs = {
        "action": lambda: run_action(ActionConfig((str(run),)), QUIET),
        "probe": lambda: run_probe(ProbeConfig(str(run), examples=3), QUIET),
        "segments": lambda: run_segments(SegmentsConfig(str(run), **SEGMENTS), QUIET),
        "flow": lambda: run_flow(FlowConfig("kitti2015", str(roots[0]), run=str(run)), QUIET),
    }
    names = ("eval.json", "probe.json", "segments.json", "flow-kitti2015/flow.json")
    right = {}
    for name, evaluate in zip(names, runs.values(), strict=True):
        evaluate()
        right[name] = json.loads((run / name).read_text())
    scores = load_scores(run)
    for path in [run / "scores.npz", *(run / name for name in names)]:
        path.unlink()

    of_run, flow = ("--run", run), ("--then", "flow", "--dataset", "kitti2015", "--run", run)
    sizes = ("--videos", 3, "--validation-videos", 2)
    options = (
        *("action", *of_run, "--then", "probe", *of_run, "--examples", 3),
        *("--then", "segments", *of_run, *sizes, *flow, "--root", roots[0], *flow),
    )
    own = tuple({"options": ("--root", root)} for root in roots)
    (code, out, err), (other_code, other_out, other_err) = finish(
        start_several(options, program=EVAL, devices=2, own=own)
    )
    found = load_scores(run)
    for field in ("logits", "probabilities", "labels", "views", "names"):
        np.testing.assert_array_equal(getattr(found, field), getattr(scores, field), field)
    for name in names:
        assert_close(json.loads((run / name).read_text()), right[name])
    assert len(right["flow-kitti2015/flow.json"]["skipped"]) == 2
    assert [line.split("=")[0] for line in out.splitlines() if "report=" in line] == [
        *("top1", "top1", "f1_10", "epe")
    ]
    assert other_out == "" and (code, other_code) == (1, 1)
    for text in (err, other_err):
        assert "error: data: process 1 on " in text and "other test videos (4, not 5)" in text


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_process_that_cannot_start_ends_the_other_with_its_message(tmp_path):
    make_kitti(tmp_path / "kitti", count=1)
    options = ("flow", "--dataset", "kitti2015", "--method", "zero", "--out", tmp_path / "out")
    own = tuple({"options": ("--root", tmp_path / name)} for name in ("kitti", "missing"))
    started = time.monotonic()
    (code, out, err), (other_code, _, other_err) = finish(
        start_several(options, program=EVAL, own=own)
    )
    assert time.monotonic() - started < 60
    assert (code, other_code, out) == (1, 1, "")
    assert "error: process 1 on " in err and str(tmp_path / "missing") in err
    assert "error: root: " in other_err
    assert not (tmp_path / "out").exists()
