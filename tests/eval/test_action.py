"""Tests the evaluation of runs against computations on one video at a time."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from afn_jax.data.config import DataConfig
from afn_jax.data.sources import create_source
from afn_jax.data.transforms.views import Views
from afn_jax.types import Prediction
from eval import action
from eval.action import ActionConfig, evaluate, result_line, run_action, summarize
from eval.report_clips import clip_section
from eval.scores import load_scores
from tests.counted_videos import Counted
from tests.small_run import build_small_network, small_config
from train import config_file
from train.checkpoint import CheckpointError
from train.config import ObjectiveConfig
from train.loop import train

NUM_VIDEOS = 10  # not a multiple of any batch size below except 1


def small_run(folder, monkeypatch, **objective):
    """Trains a run of the smallest network."""
    monkeypatch.setattr("train.program.build_model", build_small_network)
    monkeypatch.setattr("eval.predict.build_model", build_small_network)
    config = small_config(folder, steps=2, objective=ObjectiveConfig(**objective))
    train(config)
    return config


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """Returns (settings, predict) of a joint run, which the tests of this file share."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        config = small_run(tmp_path_factory.mktemp("runs") / "joint", monkeypatch)
        predict, step = action.load_predict(action.Path(config.run_dir), config, 8)
        assert step == 2
        yield config, predict


def one_at_a_time(predict, config):
    """Computes (scores, labels, epe, zero_flow_epe) from one video at a time."""
    source = create_source(config.data, "test", config.seed)
    scores, labels, errors, zero_errors = [], [], [], []
    for i in range(len(source)):
        clip = source[i].clip(np.arange(config.data.num_frames))
        prediction = predict(clip.frames[None])
        logits = np.asarray(prediction.logits[0], np.float64)
        scores.append(np.exp(logits) / np.exp(logits).sum())
        labels.append(source[i].label)
        flow = prediction.flows[0][0]
        flow = 2 * np.asarray(jax.image.resize(flow, (len(flow), 16, 16, 2), "bilinear"))
        mask = clip.flow_mask if clip.flow_mask is not None else np.ones(flow.shape[:-1], bool)
        errors.append(np.linalg.norm(flow - clip.flows, axis=-1)[mask])
        zero_errors.append(np.linalg.norm(clip.flows, axis=-1)[mask])
    means = [np.concatenate(pixels).mean() for pixels in (errors, zero_errors)]
    return np.stack(scores), np.array(labels), *means


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 7, 32])
def test_every_video_counts_once_for_any_batch_size(joint, batch_size):
    config, predict = joint
    source = create_source(config.data, "test", config.seed)
    result = evaluate(predict, source, config.data, Views(), batch_size)
    scores, labels, epe, zero_flow_epe = one_at_a_time(predict, config)
    np.testing.assert_array_equal(result.videos, np.arange(NUM_VIDEOS))
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_allclose(result.probabilities, scores, atol=1e-6)
    assert result.epe == pytest.approx(epe, rel=1e-5)
    assert result.zero_flow_epe == pytest.approx(zero_flow_epe, rel=1e-5)
    summary = summarize(result, 8, "probabilities")
    assert summary["top1"] == pytest.approx((scores.argmax(-1) == labels).mean())
    five = np.argsort(-scores, -1)[:, :5]
    assert summary["top5"] == pytest.approx((five == labels[:, None]).any(-1).mean())
    assert summary["chance"] == 1 / 8


def test_writes_results_scores_and_report(joint):
    config, predict = joint
    run_dir = action.Path(config.run_dir)
    (values,) = run_action(ActionConfig(run=(config.run_dir,), batch_size=4, examples=3))
    assert json.loads((run_dir / "eval.json").read_text()) == values
    scores, labels, epe, _ = one_at_a_time(predict, config)
    confusion = np.zeros((8, 8), int)
    np.add.at(confusion, (labels, scores.argmax(-1)), 1)
    np.testing.assert_array_equal(values["confusion"], confusion)
    expected = np.diagonal(confusion) / np.maximum(confusion.sum(1), 1)
    np.testing.assert_allclose(values["per_class"], expected, atol=1e-6)
    assert (values["num_videos"], values["clips_per_video"], values["step"]) == (NUM_VIDEOS, 1, 2)
    assert values["epe"] == pytest.approx(epe, rel=1e-5)
    low, high = values["top1_interval"]
    assert 0 <= low <= values["top1"] <= high <= 1 and low < high
    cached = load_scores(run_dir)
    np.testing.assert_allclose(cached.probabilities, scores, atol=1e-6)
    np.testing.assert_array_equal(cached.labels, labels)
    source = create_source(config.data, "test", config.seed)
    assert cached.names == tuple(source[i].name for i in range(NUM_VIDEOS))
    assert (cached.class_names, cached.step, cached.protocol) == (source.class_names, 2, "clips")
    page = (run_dir / "report.html").read_text()
    assert page.rstrip().endswith("</html>") and values["class_names"][0] in page
    assert f"python -m eval action --run {run_dir}" in page
    for text in (f"{values['epe']:.3f}"[:4], "10 test videos"):
        assert text in page
    (again,) = run_action(ActionConfig(run=(config.run_dir,), batch_size=7, examples=0))
    assert again["confusion"] == values["confusion"]
    assert again["epe"] == pytest.approx(values["epe"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective, present, absent",
    [
        ({"flow": "none"}, {"top1", "top5", "chance"}, {"epe", "zero_flow_epe"}),
        ({"action": False}, {"epe", "zero_flow_epe"}, {"top1", "top5", "chance"}),
    ],
)
def test_runs_of_action_or_flow_alone(tmp_path, monkeypatch, objective, present, absent):
    config = small_run(tmp_path / "run", monkeypatch, **objective)
    classifies = objective.get("action", True)
    (values,) = run_action(ActionConfig(run=(config.run_dir,), examples=2))
    assert (tmp_path / "run" / "scores.npz").exists() == classifies
    assert present <= values.keys() and not absent & values.keys()
    assert values["num_videos"] == NUM_VIDEOS
    assert np.sum(values["confusion"]) == (NUM_VIDEOS if classifies else 0)
    assert (tmp_path / "run" / "report.html").exists()
    assert result_line(values).startswith("top1=" if classifies else "epe=")


# ---------------------------------------------------------------- With known scores


class FakeVideo(Counted):
    size = (8, 8)
    num_classes = 3


class FakeSource(list):
    class_names = ("a", "b", "c")
    skipped = ()


DATA = DataConfig(num_frames=2, size=(8, 8), teacher="none", num_threads=1, prefetch=1)
# LOGITS[v] are the logits of a clip whose first frame is filled with v.
LOGITS = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)


def fake_predict(frames):
    return Prediction(logits=LOGITS[frames[:, 0, 0, 0, 0]], flows=())


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_averages_logits_and_probabilities_over_clips(batch_size):
    source = FakeSource(FakeVideo(number, num_frames=6) for number in range(4))
    result = evaluate(fake_predict, source, DATA, Views(3), batch_size)
    # Three evenly spaced clips of 2 frames in a video of 6 start at frames 0, 2 and 4.
    expected = [softmax(LOGITS[10 * v + np.array([0, 2, 4])]).mean(0) for v in range(4)]
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-6)
    means = [LOGITS[10 * v + np.array([0, 2, 4])].mean(0) for v in range(4)]
    np.testing.assert_allclose(result.logits, means, rtol=1e-5)
    np.testing.assert_array_equal(result.views, [3, 3, 3, 3])
    np.testing.assert_array_equal(result.labels, [0, 1, 2, 0])
    assert result.epe is None and result.zero_flow_epe is None


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_lists_damaged_videos_without_counting_them(batch_size):
    source = FakeSource(FakeVideo(v, num_frames=6, damaged=v in (0, 3)) for v in range(5))
    result = evaluate(fake_predict, source, DATA, Views(2), batch_size)
    np.testing.assert_array_equal(result.videos, [1, 2, 4])
    np.testing.assert_array_equal(result.labels, [1, 2, 1])
    assert {(item.path, item.reason) for item in result.damaged} == {
        ("video0", "video0 is cut off"),
        ("video3", "video3 is cut off"),
    }
    expected = [softmax(LOGITS[10 * v + np.array([0, 4])]).mean(0) for v in (1, 2, 4)]
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-6)
    shown = action.example_clips(fake_predict, source, DATA, 2)
    assert [example.name for example in shown] == ["video1", "video2"]


def test_rejects_a_dataset_without_readable_videos(joint, tmp_path, monkeypatch):
    config, _ = joint
    source = FakeSource(FakeVideo(v, num_frames=6, damaged=True) for v in range(3))
    result = evaluate(fake_predict, source, DATA, Views(), 2)
    assert result.logits is None and len(result.labels) == 0 and len(result.damaged) == 3
    assert summarize(result, 3, "logits") == {}
    monkeypatch.setattr("eval.action.create_source", lambda *arguments: source)
    monkeypatch.setattr("eval.action.load_predict", lambda *arguments: (fake_predict, 2))
    monkeypatch.setattr(
        "eval.action.load_config", lambda run_dir: dataclasses.replace(config, data=DATA)
    )
    with pytest.raises(ValueError, match="none of the 3 test videos can be decoded.*cut off"):
        run_action(ActionConfig(run=(str(tmp_path),)))


def test_five_classes_or_fewer_have_no_top5():
    source = FakeSource(FakeVideo(v, num_frames=2) for v in range(3))
    summary = summarize(evaluate(fake_predict, source, DATA, Views(), 2), 3, "logits")
    assert set(summary) == {"top1", "chance"}


# ---------------------------------------------------------------- Several runs


@pytest.fixture
def splits(joint, tmp_path, monkeypatch):
    """Returns two run folders, tested on videos 0 to 5 and 3 to 8; the second is always wrong."""
    config, _ = joint
    folders = []
    for split in (0, 3):
        folder = tmp_path / f"split{split}"
        folder.mkdir()
        settings = dataclasses.replace(config, run_dir=str(folder), seed=split, data=DATA)
        config_file.save(settings, folder / "config.json")
        folders.append(str(folder))
    logits = np.eye(3, dtype=np.float32)

    def load(run_dir, settings, num_classes):
        shift = int(settings.seed == 3)
        return lambda frames: Prediction(
            logits=logits[(frames[:, 0, 0, 0, 0] // 10 + shift) % 3], flows=()
        ), 2

    def source(data, split, seed):
        return FakeSource(FakeVideo(seed + v, num_frames=6) for v in range(6))

    monkeypatch.setattr("eval.action.create_source", source)
    monkeypatch.setattr("eval.action.load_predict", load)
    return folders


def test_averages_over_splits(splits):
    *each, mean = run_action(ActionConfig(run=tuple(splits), examples=0))
    assert [values["top1"] for values in each] == [1, 0]
    assert (mean["runs"], mean["top1"], mean["chance"]) == (2, 0.5, pytest.approx(1 / 3))
    low, high = mean["top1_interval"]
    assert low <= 0.5 <= high
    assert result_line(mean).startswith("runs=2 top1=0.5 chance=0.3333 low=")
    assert json.loads((action.Path(splits[1]) / "eval.json").read_text()) == each[1]


def test_rejects_runs_that_cannot_be_averaged(splits, monkeypatch):
    with pytest.raises(ValueError, match="is given more than once"):
        run_action(ActionConfig(run=(splits[0], splits[0] + "/")))
    with pytest.raises(ValueError, match="run: got none"):
        run_action(ActionConfig(run=()))
    with pytest.raises(ValueError, match="is not a run folder"):
        run_action(ActionConfig(run=(splits[0], splits[0] + "s")))
    source = action.create_source

    def different_classes(data, split, seed):
        found = source(data, split, seed)
        found.class_names = ("a", "b", str(seed))
        return found

    monkeypatch.setattr("eval.action.create_source", different_classes)
    with pytest.raises(ValueError, match="the runs have different class lists"):
        run_action(ActionConfig(run=tuple(splits), examples=0))


# ---------------------------------------------------------------- Mistakes


def test_rejects_a_folder_without_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match="is not a run folder: it has no config.json"):
            run_action(ActionConfig(run=(str(path),)))


def test_rejects_a_run_without_checkpoint(joint, tmp_path):
    config, _ = joint
    text = (action.Path(config.run_dir) / "config.json").read_text()
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="has no checkpoint yet. Run the command"):
        run_action(ActionConfig(run=(str(tmp_path),)))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("asked", [False, True])
def test_flow_is_estimated_only_if_asked(joint, monkeypatch, asked):
    config, _ = joint
    teachers = []
    reader = action.ClipReader

    def spy(source, data, starts):
        teachers.append(data.teacher)
        return reader(source, data, starts)

    monkeypatch.setattr(action, "ClipReader", spy)
    run_action(ActionConfig(run=(config.run_dir,), examples=0, estimate_flow=asked))
    assert teachers == [config.data.teacher if asked else "none"] and config.data.teacher != "none"
    page = (action.Path(config.run_dir) / "report.html").read_text()
    assert ("--estimate-flow" in page) == asked


@pytest.mark.parametrize("name, value", [("clips", -1), ("batch_size", 0), ("examples", -1)])
def test_rejects_numbers_out_of_bounds(joint, name, value):
    config, _ = joint
    with pytest.raises(ValueError, match=f"{name}: got {value}, but it must be at least"):
        run_action(ActionConfig(run=(config.run_dir,), **{name: value}))


def test_compares_flows_at_the_frames_where_they_start(joint):
    """A network may have two flows for a clip of four frames, starting at frames 0 and 2."""
    config, predict = joint

    def sparse(frames):
        prediction = predict(frames)
        return prediction.replace(flows=tuple(flow[:, [0, 2]] for flow in prediction.flows))

    source = create_source(config.data, "test", config.seed)
    result = evaluate(sparse, source, config.data, Views(), 4, starts=(0, 2))
    errors = []
    for i in range(len(source)):
        clip = source[i].clip(np.arange(config.data.num_frames))
        flow = np.asarray(sparse(clip.frames[None]).flows[0][0])
        flow = 2 * np.asarray(jax.image.resize(flow, (2, 16, 16, 2), "bilinear"))
        mask = np.ones((4, 16, 16), bool) if clip.flow_mask is None else clip.flow_mask
        errors.append(np.linalg.norm(flow - clip.flows[[0, 2]], axis=-1)[mask[[0, 2]]])
    assert result.epe == pytest.approx(np.concatenate(errors).mean(), rel=1e-5)
    (example,) = action.example_clips(sparse, source, config.data, 1, starts=(0, 2))
    assert len(example.frames) == len(example.flow) == len(example.target) == 2
    assert example.times == (0, 2) and "future" not in clip_section(example, source.class_names)
    assert '<th scope="col">2</th>' in clip_section(example, source.class_names)

    def first_only(frames):
        return Prediction(logits=None, flows=(sparse(frames).flows[0][:, :1],))

    (example,) = action.example_clips(first_only, source, config.data, 1, starts=(0,))
    assert len(example.frames) == len(example.flow) == len(example.target) == 1
    (without,) = action.example_clips(sparse, source, config.data, 1, starts=())
    assert without.flow is None and len(without.frames) == 4
