"""The probes, on predict functions whose answers are known by hand."""

import json

import numpy as np
import pytest
from rich.console import Console

from afn_jax.data.sources.synthetic_motion import CLASS_NAMES
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
def test_shuffled_is_neither_the_clip_nor_its_reverse(num_frames):
    for seed in range(50):
        order = frame_order("shuffled", num_frames, np.random.default_rng(seed)).tolist()
        assert sorted(order) == list(range(num_frames))
        assert order not in (list(range(num_frames)), list(range(num_frames))[::-1])


def test_a_shuffle_belongs_to_its_clip_and_not_to_the_batch():
    clips = np.arange(24).reshape(3, 8, 1, 1, 1)
    whole = reordered(clips, "shuffled", [7, 8, 9])
    np.testing.assert_array_equal(whole[1:2], reordered(clips[1:2], "shuffled", [8]))


def test_unknown_order_is_refused():
    with pytest.raises(ValueError, match="kind: got 'sorted', allowed are as it is"):
        frame_order("sorted", 3, np.random.default_rng(0))


def test_the_occlusion_map_finds_the_only_pixel_that_counts():
    """Confidence .8 while pixel (5, 9) is lit, .2 without it: 0.75 of the confidence is lost."""
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


def test_squares_reach_the_borders_where_the_stride_does_not_divide():
    clip = np.zeros((1, 7, 10, 3), np.uint8)
    hidden = np.zeros((7, 10), bool)
    clip[:] = 1

    def predict(clips):
        hidden[:] |= (clips == 0).any((0, 1, 4))
        return np.ones((len(clips), 1))

    assert occlusion_map(predict, clip, 0, square=3, stride=3).shape == (3, 4)
    assert hidden.all()


@pytest.mark.parametrize(
    "square, stride, name", [(0, 1, "square"), (9, 1, "square"), (2, 0, "stride")]
)
def test_squares_that_do_not_fit_are_refused(square, stride, name):
    clip = np.zeros((1, 8, 9, 3), np.uint8)
    with pytest.raises(ValueError, match=f"^{name}: got"):
        occlusion_map(lambda x: None, clip, 0, square=square, stride=stride)


def test_class_gains():
    labels = np.array([0, 0, 0, 0, 2, 2])
    first = np.array([True, False, False, False, True, True])
    second = np.array([True, True, True, False, False, True])
    np.testing.assert_allclose(class_gains(first, second, labels, 3), [0.5, np.nan, -0.5])


def test_future_errors_by_hand():
    """Flow (1, 0), then (2, 0), and truth (3, 4) ahead; the masked pixel has nonsense."""
    flows = np.zeros((1, 2, 1, 2, 2), np.float32)
    flows[:, 0, ..., 0], flows[:, 1, ..., 0] = 1, 3
    targets = np.zeros_like(flows)
    targets[:, 1] = (3, 4)
    targets[..., 1, :] = 1e9
    mask = np.array([True, False]) & np.ones((1, 2, 1, 2), bool)
    found = future_errors(flows, targets, mask)
    assert found == {
        "between": (1.0, 1),
        "future": (4.0, 1),
        "persistence": (pytest.approx(np.hypot(2, 4)), 1),
        "zero": (5.0, 1),
    }
    with pytest.raises(ValueError, match="flows: got shape"):
        future_errors(flows[:, :1], targets[:, :1], mask[:, :1])


def test_rank_correlation_compares_ranks_and_ties_share_theirs():
    assert rank_correlation([1, 2, 50], [3, 2, 1]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5 / 4, variances 4.5 / 4 and 5 / 4.
    assert rank_correlation([0, 1, 1, 2], [0, 1, 2, 3]) == pytest.approx(np.sqrt(4.5 / 5))


def test_rank_correlation_of_constant_values_is_nan():
    assert np.isnan(rank_correlation([1, 1], [1, 2]))
    assert np.isnan(rank_correlation([1], [1]))


def test_the_command_probes_a_run(tmp_path, monkeypatch):
    for module in ("train.loop", "eval.predict"):
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
    # Four flows a clip, the last one ahead; almost all pixels are trusted.
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
    for heading in ("Motion or appearance?", "Where it looks", "Future flow", "Gains by class"):
        assert f"<h2>{heading}" in page


def test_what_a_network_cannot_answer_is_left_out(tmp_path, monkeypatch):
    for module in ("train.loop", "eval.predict"):
        monkeypatch.setattr(f"{module}.build_model", build_small_network)
    config = small_config(tmp_path / "flow", steps=1, objective=ObjectiveConfig(action=False))
    train(config)
    console = Console(record=True, width=200)
    values = run_probe(ProbeConfig(config.run_dir, examples=1), console)
    assert set(values) == {"step", "future", "report"}
    assert "motion: left out, it does not classify" in console.export_text()
    with pytest.raises(ValueError, match="eval.json. Run `python -m eval action --run"):
        run_probe(ProbeConfig(config.run_dir, runs=(config.run_dir,)))
    with pytest.raises(ValueError, match="flow_dataset: got 'sintel' without runs"):
        run_probe(ProbeConfig(config.run_dir, flow_dataset="sintel"))
    assert set(run_probe(ProbeConfig(config.run_dir, examples=0), console)) == set(values)


def evaluated(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "eval.json").write_text(json.dumps(values))
    return str(folder)


def test_flow_against_accuracy_takes_the_flow_where_it_was_measured(tmp_path):
    """ActionFlowNet's Table 3: the error is of Sintel, and classifiers of fixed flow have none."""
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
    with pytest.raises(ValueError, match="has no endpoint error: .*--flow-dataset sintel"):
        flow_against_accuracy((runs[0], on_tvl1))
    with pytest.raises(ValueError, match="flow.json. Run `python -m eval flow --dataset kitti2015"):
        flow_against_accuracy((runs[0],), "kitti2015")
    with pytest.raises(ValueError, match="has no accuracy; it does not classify"):
        flow_against_accuracy((evaluated(tmp_path / "d", epe=1.0),))


def test_what_is_not_measured_alike_or_old_is_told(tmp_path):
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
    told = console.export_text()
    assert told.count("belongs to step 10, but the newest checkpoint is of step 20;") == 2
    assert "the accuracy of the runs is not measured alike" in told
    assert "the endpoint error of the runs is not measured alike" in told
    assert "7 pairs of kitti2015" in told


def test_runs_on_other_datasets_are_told(tmp_path):
    def told(**other):
        runs = [
            evaluated(tmp_path / name, top1=0.5, epe=1.0, dataset=dataset, size=size)
            for name, dataset, size in (
                ("a", "ucf101", [224, 224]),
                ("b", other.get("dataset", "ucf101"), other.get("size", [224, 224])),
            )
        ]
        console = Console(record=True, width=500)
        flow_against_accuracy(tuple(runs), "", console)
        return console.export_text().count("is not measured alike")

    assert told() == 0
    assert told(dataset="hmdb51") == told(size=[112, 112]) == 2


def test_gains_are_of_what_the_protocol_averages(tmp_path):
    """Logits prefer the right class, probabilities the other; only the former count in `uf-tsn`."""
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
    assert "gains are between two protocols, clips of" in console.export_text()
