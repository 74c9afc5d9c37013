"""Tests the probes with prediction functions whose results are known."""

import json

import numpy as np
import pytest
from rich.console import Console

from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.synthetic_motion import CLASS_NAMES, SyntheticVideo
from afn_jax.metrics import Mean
from eval.action import ActionConfig, run_action
from eval.flow import FlowConfig, flow_folder
from eval.probe import ProbeConfig, flow_against_accuracy, gains_over, probe_line, run_probe
from eval.probes import (
    class_gains,
    frame_order,
    future_errors,
    occlusion_map,
    rank_correlation,
    reordered,
    spread,
)
from eval.scores import Scores, load_scores
from tests.small_run import build_small_network, small_config
from train.config import ObjectiveConfig
from train.loop import train


@pytest.mark.parametrize(
    "kind, expected",
    [("as it is", [0, 1, 2, 3, 4]), ("frozen", [2] * 5), ("reversed", [4, 3, 2, 1, 0])],
)
def test_frame_orders(kind, expected):
    assert frame_order(kind, 5, np.random.default_rng(0)).tolist() == expected


@pytest.mark.parametrize("num_frames", [3, 4, 8])
def test_shuffled_order_is_neither_forward_nor_reversed(num_frames):
    for seed in range(50):
        order = frame_order("shuffled", num_frames, np.random.default_rng(seed)).tolist()
        assert sorted(order) == list(range(num_frames))
        assert order not in (list(range(num_frames)), list(range(num_frames))[::-1])


def test_shuffling_does_not_depend_on_the_batch():
    clips = np.arange(24).reshape(3, 8, 1, 1, 1)
    whole = reordered(clips, "shuffled", [7, 8, 9])
    np.testing.assert_array_equal(whole[1:2], reordered(clips[1:2], "shuffled", [8]))


def test_occlusion_map_finds_the_only_relevant_pixel():
    """Confidence falls from .8 to .2, by 0.75 of it, when pixel (5, 9) is hidden."""
    clip = np.zeros((2, 8, 12, 3), np.uint8)
    clip[:, 5, 9] = 200

    def predict(clips):
        lit = (clips[:, :, 5, 9, 0] > 0).all(1)
        return np.stack([np.where(lit, 0.2, 0.8), np.where(lit, 0.8, 0.2)], -1)

    found = occlusion_map(predict, clip, 1, square=4, stride=4)
    expected = np.zeros((2, 3))
    expected[1, 2] = 0.75  # rows 4 to 7, columns 8 to 11
    np.testing.assert_allclose(found, expected)
    picture = spread(found, (8, 12), 4)
    np.testing.assert_allclose(picture[4:, 8:], 0.75)
    assert picture[:4].max() == picture[:, :8].max() == 0


def test_squares_reach_the_borders_for_any_stride():
    clip = np.zeros((1, 7, 10, 3), np.uint8)
    hidden = np.zeros((7, 10), bool)
    clip[:] = 1

    def predict(clips):
        hidden[:] |= (clips == 0).any((0, 1, 4))
        return np.ones((len(clips), 1))

    assert occlusion_map(predict, clip, 0, square=3, stride=3).shape == (3, 4)
    assert hidden.all()


def test_rejects_squares_out_of_bounds():
    clip = np.zeros((1, 8, 9, 3), np.uint8)
    with pytest.raises(ValueError, match="square: got 9, but it must be at most 8"):
        occlusion_map(lambda x: None, clip, 0, square=9, stride=1)
    for name in ("square", "stride"):
        with pytest.raises(ValueError, match=f"{name}: got -1, but it must be at least 0"):
            run_probe(ProbeConfig("runs/a", **{name: -1}))


def test_class_gains():
    labels = np.array([0, 0, 0, 0, 2, 2])
    first = np.array([True, False, False, False, True, True])
    second = np.array([True, True, True, False, False, True])
    np.testing.assert_allclose(class_gains(first, second, labels, 3), [0.5, np.nan, -0.5])


def test_future_errors():
    """Flow (1, 0) then (3, 0), true future flow (3, 4); the second pixel is masked."""
    flows = np.zeros((1, 2, 1, 2, 2), np.float32)
    flows[:, 0, ..., 0], flows[:, 1, ..., 0] = 1, 3
    targets = np.zeros_like(flows)
    targets[:, 1] = (3, 4)
    targets[..., 1, :] = 1e9
    mask = np.array([True, False]) & np.ones((1, 2, 1, 2), bool)
    found = future_errors(flows, targets, mask)
    assert found == {
        "between": Mean(1.0, 1),
        "future": Mean(4.0, 1),
        "persistence": Mean(pytest.approx(np.hypot(2, 4)), 1),
        "zero": Mean(5.0, 1),
    }


def test_rank_correlation_averages_the_ranks_of_ties():
    assert rank_correlation([1, 2, 50], [3, 2, 1]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5 / 4, variances 4.5 / 4 and 5 / 4.
    assert rank_correlation([0, 1, 1, 2], [0, 1, 2, 3]) == pytest.approx(np.sqrt(4.5 / 5))


def test_rank_correlation_of_constant_values_is_nan():
    assert np.isnan(rank_correlation([1, 1], [1, 2]))
    assert np.isnan(rank_correlation([1], [1]))


@pytest.mark.slow
def test_probes_a_run(tmp_path, monkeypatch):
    for module in ("train.program", "eval.predict"):
        monkeypatch.setattr(f"{module}.build_model", build_small_network)
    first, second = (small_config(tmp_path / str(steps), steps=steps) for steps in (2, 4))
    evaluated = {}
    for config in (first, second):
        train(config)
        evaluated[config.run_dir] = run_action(ActionConfig(run=(config.run_dir,)))[0]
    values = run_probe(
        ProbeConfig(
            first.run_dir, against=second.run_dir, runs=(second.run_dir,), examples=2, square=8
        )
    )
    expected = evaluated[first.run_dir]
    assert values["motion"]["as it is"]["top1"] == pytest.approx(expected["top1"])
    errors = values["future"]
    # Each clip has four flows, of which the last is the future flow; almost all pixels are valid.
    assert (3 * errors["between"] + errors["future"]) / 4 == pytest.approx(expected["epe"], rel=0.1)
    labels = load_scores(first.run_dir).labels
    per_class = np.bincount(labels, minlength=8)[
        [CLASS_NAMES.index(n) for n in values["class_gains"]]
    ]
    gain = expected["top1"] - evaluated[second.run_dir]["top1"]
    mean_gain = np.dot(list(values["class_gains"].values()), per_class) / len(labels)
    assert mean_gain == pytest.approx(gain)
    assert {row["run"] for row in values["runs"]["rows"]} == {first.run_dir, second.run_dir}
    assert json.loads((tmp_path / "2" / "probe.json").read_text())["occlusion"]["stride"] == 4
    assert "top1_frozen=" in probe_line(values)
    page = (tmp_path / "2" / "probe.html").read_text()
    for heading in (
        "Motion or appearance?",
        "Where does it look?",
        "Future flow",
        "Gains per class",
    ):
        assert f"<h2>{heading}" in page


def test_skips_probes_that_the_network_cannot_answer(tmp_path, monkeypatch):
    for module in ("train.program", "eval.predict"):
        monkeypatch.setattr(f"{module}.build_model", build_small_network)
    config = small_config(tmp_path / "flow", steps=1, objective=ObjectiveConfig(action=False))
    train(config)
    console = Console(record=True, width=200)
    values = run_probe(ProbeConfig(config.run_dir, examples=1), console)
    assert set(values) == {"step", "future", "report"}
    assert "motion: skipped, the network does not classify" in console.export_text()
    with pytest.raises(ValueError, match="eval.json. Run `python -m eval action --run"):
        run_probe(ProbeConfig(config.run_dir, runs=(config.run_dir,)))
    with pytest.raises(ValueError, match="flow_dataset: got 'sintel' without runs"):
        run_probe(ProbeConfig(config.run_dir, flow_dataset="sintel"))
    assert set(run_probe(ProbeConfig(config.run_dir, examples=0), console)) == set(values)


def evaluated(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "eval.json").write_text(json.dumps(values))
    return str(folder)


def test_flow_against_accuracy_reads_the_flow_evaluations(tmp_path):
    """As in ActionFlowNet's Table 3, with errors on Sintel and a classifier of given flow."""
    runs = [evaluated(tmp_path / name, top1=top1) for name, top1 in (("a", 0.517), ("b", 0.696))]
    for run, epe in ((runs[0], 9.12), (runs[1], 11.84), (str(tmp_path / "tvl1"), 6.29)):
        folder = flow_folder(FlowConfig("sintel", "SINTEL", run=run))
        folder.mkdir(parents=True)
        written = {"epe": epe, "dataset": "sintel, clean pass", "num_pairs": 1041}
        (folder / "flow.json").write_text(json.dumps(written))
    on_tvl1 = evaluated(tmp_path / "c", top1=0.777, epe=1.0)
    tvl1 = f"{on_tvl1}={tmp_path / 'tvl1' / 'flow-sintel-clean'}"
    console = Console(record=True, width=500)
    found = flow_against_accuracy((runs[0], f"{runs[0]}/", runs[1], tvl1), "sintel", console)
    assert "warning" not in console.export_text(clear=False)
    assert [(row["epe"], row["top1"]) for row in found["rows"]] == [
        (9.12, 0.517),
        (11.84, 0.696),
        (6.29, 0.777),
    ]
    assert found["rank_correlation"] == pytest.approx(-0.5)  # ranks 2 3 1 against 1 2 3
    with pytest.raises(ValueError, match="flow-sintel-final has no .*--pass final"):
        flow_against_accuracy(runs, "sintel-final")
    with pytest.raises(ValueError, match="flow_dataset: got 'sintle'. Did you mean sintel"):
        flow_against_accuracy(runs, "sintle")
    with pytest.raises(ValueError, match="has no endpoint error: .*--flow-dataset DATASET"):
        flow_against_accuracy((runs[0], on_tvl1))
    with pytest.raises(ValueError, match="flow.json. Run `python -m eval flow --dataset kitti2015"):
        flow_against_accuracy((runs[0],), "kitti2015")
    with pytest.raises(ValueError, match="has no accuracy: the run does not classify"):
        flow_against_accuracy((evaluated(tmp_path / "d", epe=1.0),))


def test_warns_about_different_measurements_and_older_checkpoints(tmp_path):
    runs = [
        evaluated(tmp_path / "a", top1=0.5, epe=1.0, step=10, clips_per_video=25),
        evaluated(tmp_path / "b", top1=0.6, epe=0.9, step=10, clips_per_video=1),
        evaluated(tmp_path / "c", top1=0.7, step=10, clips_per_video=25),
    ]
    (tmp_path / "b" / "checkpoints" / "20").mkdir(parents=True)
    written = {"epe": 2.0, "dataset": "kitti2015", "num_pairs": 7, "run": runs[1], "step": 10}
    (tmp_path / "c" / "flow.json").write_text(json.dumps(written))
    console = Console(record=True, width=500)
    flow_against_accuracy((*runs[:2], f"{runs[2]}={runs[2]}"), "", console)
    printed = console.export_text()
    assert printed.count("belongs to step 10, but the newest checkpoint is of step 20;") == 2
    assert "the accuracy of the runs was measured in different ways" in printed
    assert "the endpoint error of the runs was measured in different ways" in printed
    assert "7 pairs of kitti2015" in printed


def test_warns_about_runs_on_different_datasets(tmp_path):
    def warnings(dataset="ucf101", size=(224, 224)):
        runs = [
            evaluated(tmp_path / "a", top1=0.5, epe=1.0, dataset="ucf101", size=[224, 224]),
            evaluated(tmp_path / "b", top1=0.5, epe=1.0, dataset=dataset, size=list(size)),
        ]
        console = Console(record=True, width=500)
        flow_against_accuracy(tuple(runs), "", console)
        return console.export_text().count("was measured in different ways")

    assert warnings() == 0
    assert warnings(dataset="hmdb51") == warnings(size=(112, 112)) == 2


def test_gains_use_the_scores_that_the_protocol_averages(tmp_path):
    """Logits are right and probabilities wrong; `uf-tsn` averages logits."""
    fields = dict(
        labels=np.array([0]),
        names=("v",),
        class_names=("x", "y"),
        views=np.ones(1, int),
        step=1,
    )
    good, bad = np.array([[2.0, 1.0]]), np.array([[0.1, 0.9]])
    for name, protocol, logits in (
        ("a", "uf-tsn", bad),
        ("b", "uf-tsn", good),
        ("c", "clips", bad),
    ):
        (tmp_path / name).mkdir()
        one = Scores(logits=logits, probabilities=bad, protocol=protocol, run=name, **fields)
        one.save(tmp_path / name / "scores.npz")
    console = Console(record=True, width=200)
    assert gains_over(tmp_path / "b", tmp_path / "a", console) == {"x": 1.0}
    assert "warning" not in console.export_text()
    assert gains_over(tmp_path / "b", tmp_path / "c", console) == {"x": 1.0}
    assert "the gains compare two protocols, clips of" in console.export_text()


def test_rejects_a_dataset_without_readable_videos(tmp_path, monkeypatch):
    def damaged(self, indices):
        raise VideoReadError("damaged")

    monkeypatch.setattr("eval.predict.build_model", build_small_network)
    monkeypatch.setattr("train.program.build_model", build_small_network)
    config = small_config(tmp_path / "run", steps=1)
    train(config)
    monkeypatch.setattr(SyntheticVideo, "clip", damaged)
    for examples in (0, 1):
        with pytest.raises(ValueError, match="none of the test videos of .* can be decoded"):
            run_probe(ProbeConfig(config.run_dir, examples=examples))
