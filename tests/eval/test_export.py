"""Exports of runs: the same predictions, the card, and what users do wrong."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

from afn_jax.export import load
from eval.predict import load_predict
from eval.run_network import load_run
from tests.small_run import build_small_network, small_config
from train.checkpoint import load_config
from train.loop import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("export") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.program.build_model", build_small_network)
        train(small_config(run_dir, steps=1, max_devices=1))
    return run_dir


@pytest.fixture
def run_dir(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("eval.predict.build_model", build_small_network)
    monkeypatch.setattr("eval.__main__.COMPILATION_CACHE", "")
    return shutil.copytree(trained, tmp_path / "run")


def test_exports_a_run(run_dir, run_main):
    evaluation = {"top1": 0.5, "epe": 1.25, "step": 1, "report": "a", "class_names": []}
    (run_dir / "eval.json").write_text(json.dumps(evaluation))
    code, out, err = run_main("eval", "export", "--run", run_dir, "--license", "CC-BY-4.0")
    assert (code, err) == (0, "")
    path = run_dir / "run.afn"
    assert f"wrote {path}: actionflownet, step 1, 4 frames of 16x16 -> 8 classes and flow" in (
        " ".join(out.split())
    )
    exported = load(path, flow=True, features=True)
    card = exported.card
    assert card.class_names[0] == "translate_left" and len(card.class_names) == 8
    assert (card.num_frames, card.stride, card.num_segments) == (4, 1, 1)
    assert (card.size, card.short_side, card.step) == ((16, 16), 128, 1)
    assert card.flow_starts == (0, 1, 2, 3) and card.feature_size == 8
    assert card.metrics == {"top1": 0.5, "epe": 1.25, "step": 1.0}
    assert card.license == "CC-BY-4.0" and card.versions["data"] == "synthetic-motion"

    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    from_folder = load_run(run_dir, flow=True, features=True)
    expected, outputs = from_folder(frames), exported(frames)
    for value, other in zip(jax.tree.leaves(outputs), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(value, other, atol=1e-6)
    predict, _ = load_predict(run_dir, load_config(run_dir), 8)
    np.testing.assert_allclose(predict(frames).logits, outputs.logits, atol=1e-6)
    np.testing.assert_allclose(predict(frames).flows[0], outputs.flows[0], atol=1e-6)
    assert from_folder.card.platforms == ("cpu",) and from_folder.name == str(run_dir)


def test_numbers_the_classes_of_runs_that_did_not_record_them(run_dir, run_main):
    shutil.rmtree(run_dir / "data")
    for record in run_dir.glob("checkpoints/*/record"):
        shutil.rmtree(record)
    assert load_run(run_dir).card.class_names[1] == "translate_right"  # generated: still known
    config = json.loads((run_dir / "config.json").read_text())
    config["data"] |= {"source": "video-folder", "root": "gone"}
    (run_dir / "config.json").write_text(json.dumps(config))
    code, out, err = run_main("eval", "export", "--run", run_dir)
    assert code == 0, err
    assert "did not record class names: its 8 classes are numbered" in " ".join(out.split())
    assert load(run_dir / "run.afn").card.class_names[7] == "class 7"


def test_says_if_the_evaluation_is_of_another_step(run_dir, run_main):
    (run_dir / "eval.json").write_text('{"top1": 0.5, "step": 3}')
    code, out, _ = run_main("eval", "export", "--run", run_dir)
    assert code == 0 and "eval.json is of step 3, and the newest checkpoint of step 1" in (
        " ".join(out.split())
    )


def test_mistakes_end_with_a_message(run_dir, tmp_path, run_main):
    for arguments, message in (
        (["--run", tmp_path], "is not a run folder"),
        (["--run", run_dir, "--out", tmp_path / "a.zip"], "out: got .*must end in .afn"),
        (["--run", run_dir, "--out", tmp_path / "gone" / "a.afn"], "gone does not exist"),
    ):
        code, _, err = run_main("eval", "export", *arguments)
        assert code == 1 and "error: " in err and "Traceback" not in err
        assert re.search(message, " ".join(err.split())), err
