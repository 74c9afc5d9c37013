"""Tests `python -m eval flow`: its numbers, the frames that a network receives, and messages."""

import dataclasses
import json

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from afn_jax.data.config import DataConfig
from afn_jax.data.files.flow import write_flow
from afn_jax.data.shards.frame_codec import FrameFormat
from afn_jax.data.shards.manifest import PreparedDataset, claim_folder
from afn_jax.models.contract import VideoNetwork
from afn_jax.tvl1_teacher import TVL1Teacher
from afn_jax.types import Prediction
from eval import flow_methods
from eval.__main__ import main
from eval.flow import FlowConfig, flow_line, run_flow
from eval.flow_methods import RunMethod, create_method, resize_frames
from eval.flow_pairs import place
from tests.eval.kitti import SIZE, make_kitti
from tests.small_run import small_config
from train import config_file
from train.config import InitConfig, ObjectiveConfig, TrainConfig

QUIET = Console(quiet=True)


def evaluated(root, out, **options):
    settings = {"dataset": "kitti2015", "root": str(root), "method": "zero", "out": str(out)}
    return run_flow(FlowConfig(**settings | options), QUIET)


# ---------------------------------------------------------------- Numbers


def test_zero_flow_matches_direct_computation(tmp_path):
    truths = make_kitti(tmp_path)
    values = evaluated(tmp_path, tmp_path / "out")
    speeds = [np.linalg.norm(flow, axis=-1) for flow, _, _ in truths]
    everywhere = np.concatenate([s[known] for s, (_, known, _) in zip(speeds, truths, strict=True)])
    visible = np.concatenate([s[v] for s, (_, _, v) in zip(speeds, truths, strict=True)])
    each = [s[known].mean() for s, (_, known, _) in zip(speeds, truths, strict=True)]
    assert values["epe"] == pytest.approx(everywhere.mean(), rel=1e-5)
    assert values["zero_flow_epe"] == pytest.approx(everywhere.mean(), rel=1e-5)
    assert values["epe_per_pair"] == pytest.approx(np.mean(each), rel=1e-5)
    for name, limit in (("px1", 1), ("px3", 3), ("px5", 5), ("fl_all", 3)):
        assert values[name] == pytest.approx((everywhere > limit).mean(), rel=1e-5)
    groups = values["groups"]
    slow, fast = everywhere < 10, everywhere >= 40
    for name, chosen in (("s0_10", slow), ("s40", fast), ("s10_40", ~slow & ~fast)):
        assert groups[name]["epe"] == pytest.approx(everywhere[chosen].mean(), rel=1e-5)
        assert groups[name]["share"] == pytest.approx(chosen.mean())
    assert groups["visible"]["epe"] == pytest.approx(visible.mean(), rel=1e-5)
    assert groups["visible"]["share"] + groups["occluded"]["share"] == pytest.approx(1)
    assert json.loads((tmp_path / "out/flow.json").read_text()) == values
    assert [pair[1] for pair in values["pairs"]] == pytest.approx(sorted(each)[::-1], rel=1e-5)
    page = (tmp_path / "out/flow.html").read_text()
    assert page.count('<article class="clip">') == 3 and page.count("<img") == 15
    line = dict(word.split("=") for word in flow_line(values).split())
    assert line["pairs"] == "3" and float(line["epe"]) == pytest.approx(values["epe"], rel=1e-3)
    assert float(line["epe_occluded"]) == pytest.approx(groups["occluded"]["epe"], rel=1e-3)


def test_dis_has_its_known_errors_on_middlebury(shared_data, tmp_path):
    """The errors were measured by others on the same files, and rounded to these digits."""
    root = shared_data / "flow_middlebury"
    values = evaluated(root, tmp_path, dataset="middlebury", method="dis", examples=0)
    found = {name.split("/")[1]: epe for name, epe, _ in values["pairs"]}
    known = {
        "Dimetrodon": 0.15,
        "Grove2": 0.32,
        "RubberWhale": 0.22,
        "Urban2": 0.65,
        "Urban3": 1.99,
        "Venus": 0.39,
    }
    # Image readers round gray values differently, by up to one level.
    assert found == pytest.approx(known, rel=0.05)
    assert values["epe"] < 0.2 * values["zero_flow_epe"]


def test_lists_damaged_pairs_without_counting_them(tmp_path):
    make_kitti(tmp_path)
    whole = evaluated(tmp_path, tmp_path / "a", most=2)
    assert [name[-9:] for name, _, _ in sorted(whole["pairs"])] == ["000000_10", "000002_10"]
    (tmp_path / "training/image_2/000001_11.png").write_bytes(b"x")
    (tmp_path / "training/image_2/000000_11.png").unlink()
    values = evaluated(tmp_path, tmp_path / "b")
    assert values["num_pairs"] == 1 and len(values["skipped"]) == 2
    assert "000001_11.png" in (tmp_path / "b/flow.html").read_text()
    (tmp_path / "training/image_2/000002_10.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="none of the 2 pairs in .* can be used"):
        evaluated(tmp_path, tmp_path / "c")


def test_leaves_out_and_counts_pairs_without_a_valid_pixel(tmp_path):
    truths = make_kitti(tmp_path)
    nothing = np.zeros(SIZE, bool)
    for name in ("flow_occ", "flow_noc"):
        write_flow(tmp_path / f"training/{name}/000001_10.png", truths[1][0], nothing)
    values = evaluated(tmp_path, tmp_path / "out")
    errors = [np.linalg.norm(flow, axis=-1)[known] for flow, known, _ in truths[::2]]
    assert values["epe"] == pytest.approx(np.concatenate(errors).mean(), rel=1e-5)
    means = [error.mean() for error in errors]
    assert values["epe_per_pair"] == pytest.approx(np.mean(means), rel=1e-5)
    assert values["num_pairs"] == 2 and len(values["pairs"]) == 2
    ((name, reason),) = values["skipped"]
    assert name.endswith("000001_10") and "known for none of its pixels" in reason
    assert "Left out: 1 of 3 pairs without a pixel of known flow." in values["notes"]
    for pair in (0, 2):
        path = tmp_path / f"training/flow_occ/{pair:06d}_10.png"
        write_flow(path, truths[pair][0], nothing)
    with pytest.raises(ValueError, match="none of the 3 pairs .* known for none of its pixels"):
        evaluated(tmp_path, tmp_path / "out")


# ---------------------------------------------------------------- Networks


@pytest.mark.parametrize("num_frames", [2, 3, 5, 8])
@pytest.mark.parametrize("available", [2, 3, 6, 9])
@pytest.mark.parametrize("first_only", [False, True])
def test_clip_contains_the_pair_and_its_neighbors(num_frames, available, first_only):
    positions = range(1 if first_only else num_frames - 1)
    for index in range(available - 1):
        indices, position, repeated = place(index, available, num_frames, positions)
        assert position in positions and len(indices) == num_frames
        assert tuple(indices[position : position + 2]) == (index, index + 1)
        assert set(np.diff(indices)) <= ({0, 1} if repeated else {1})
        assert 0 <= indices[0] and indices[-1] < available
        fits = index + num_frames <= available if first_only else num_frames <= available
        assert repeated != fits
    if not first_only and available > 2 * num_frames:
        assert position == len(positions) // 2


class Constant(VideoNetwork):
    """Flow (3, -2) px for the first pair and (1, 1) more per pair, at a quarter of the size."""

    num_classes: int = 7
    num_flows: int = 1
    flat: bool = False
    classify: bool = False

    def flow_starts(self, num_frames):
        every = self.num_flows >= num_frames - 1
        return tuple(range(0, num_frames, 1 if every else num_frames // self.num_flows))

    @nn.compact
    def __call__(self, frames, *, train):
        batch, _, height, width = frames.shape[:4]
        if self.flat:
            nn.Dense(1, name="flat")(frames.reshape(batch, -1))
        flow = np.array([3.0, -2.0]) + np.arange(self.num_flows)[:, None, None, None]
        shape = (batch, self.num_flows, height // 4, width // 4, 2)
        flows = (
            (jnp.broadcast_to(jnp.asarray(flow, jnp.float32)[None], shape),)
            if self.num_flows
            else ()
        )
        return Prediction(jnp.zeros((batch, self.num_classes)) if self.classify else None, flows)


def use_network(monkeypatch, folder, model, num_frames, size=(64, 64), **objective):
    """Makes a run folder of `model`; returns the list of the frames that the network receives."""
    config = small_config(folder, objective=ObjectiveConfig(**({"action": False} | objective)))
    data = dataclasses.replace(config.data, num_frames=num_frames, size=size)
    config = dataclasses.replace(config, data=data)
    shown = []

    def load_predict(run_dir, settings, num_classes):
        frames = jnp.zeros((1, num_frames, *size, 3))
        variables = model.init(jax.random.key(0), frames, train=False)

        def predict(frames):
            shown.append(frames)
            return model.apply(variables, jnp.asarray(frames, jnp.float32), train=False)

        return predict, 5

    monkeypatch.setattr(flow_methods, "load_config", lambda run_dir: config)
    monkeypatch.setattr(flow_methods, "build_model", lambda *args, **options: model)
    monkeypatch.setattr(flow_methods, "load_predict", load_predict)
    return shown


@pytest.mark.parametrize("flat, network_size", [(False, (128, 128)), (True, (64, 64))])
def test_flow_is_in_pixels_of_the_original_frames(tmp_path, monkeypatch, flat, network_size):
    truths = make_kitti(tmp_path, count=1)
    shown = use_network(monkeypatch, tmp_path, Constant(flat=flat), 2)
    values = evaluated(tmp_path, tmp_path / "out", method="run", run=str(tmp_path))
    frames = [
        cv2.imread(f"{tmp_path}/training/image_2/000000_{n}.png")[..., ::-1] for n in (10, 11)
    ]
    np.testing.assert_array_equal(shown[0][0], resize_frames(np.stack(frames), network_size))
    assert shown[0].shape == (1, 2, *network_size, 3)
    # One px of the flow map is 4 px of the resized frames.
    mine = np.array([3 * 4 * SIZE[1] / network_size[1], -2 * 4 * SIZE[0] / network_size[0]])
    error = np.linalg.norm(truths[0][0] - mine, axis=-1)[truths[0][1]].mean()
    assert values["epe"] == pytest.approx(error, rel=1e-5)
    text = f"70 x 100 were resized to {network_size[0]} x {network_size[1]}"
    assert text in " ".join(values["notes"]) and values["repeated_pairs"] == 0


@pytest.mark.parametrize(
    "num_frames, num_flows, available, expected, position",
    [
        (4, 4, range(8, 14), [9, 10, 11, 12], 1),  # the last flow is the future flow
        (4, 3, range(8, 14), [9, 10, 11, 12], 1),
        (4, 4, (10, 11), [10, 10, 11, 11], 1),
        (6, 2, range(8, 17), [10, 11, 12, 13, 14, 15], 0),  # triplets: only the first flow is used
        (6, 2, (10, 11), [10, 11, 11, 11, 11, 11], 0),
    ],
)
def test_frames_that_a_network_of_many_frames_receives(
    tmp_path, monkeypatch, num_frames, num_flows, available, expected, position
):
    truths = make_kitti(tmp_path, frames=available, count=1)
    shown = use_network(monkeypatch, tmp_path, Constant(num_flows=num_flows), num_frames)
    values = evaluated(tmp_path, tmp_path / "out", method="run", run=str(tmp_path), examples=0)
    paths = (f"{tmp_path}/training/image_2/000000_{n:02d}.png" for n in expected)
    frames = np.stack([cv2.imread(path)[..., ::-1] for path in paths])
    np.testing.assert_array_equal(shown[0][0], resize_frames(frames, (128, 128)))
    mine = (np.array([3, -2]) + position) * 4 * np.array(SIZE[::-1]) / 128
    error = np.linalg.norm(truths[0][0] - mine, axis=-1)[truths[0][1]].mean()
    assert values["epe"] == pytest.approx(error, rel=1e-5)
    repeated = len(available) == 2
    assert values["repeated_pairs"] == repeated
    assert ("frames were repeated" in " ".join(values["notes"])) == repeated


def test_evaluates_runs_on_held_out_scenes(tmp_path, monkeypatch):
    make_kitti(tmp_path, count=10)
    counts = {}
    for source in ("kitti2015", "kitti2012"):
        use_network(monkeypatch, tmp_path, Constant(), 2)
        config = flow_methods.load_config(tmp_path)
        data = dataclasses.replace(config.data, source=source)
        config = dataclasses.replace(config, data=data)
        monkeypatch.setattr(flow_methods, "load_config", lambda run_dir, config=config: config)
        options = dict(method="run", run=str(tmp_path), examples=0)
        for split in ("default", "all"):
            values = evaluated(tmp_path, tmp_path / "out", split=split, **options)
            counts[source, split] = values["num_pairs"], " ".join(values["notes"])
    assert [number for number, _ in counts.values()] == [2, 10, 10, 10]
    assert (
        "Split test of kitti2015: the run was not trained on" in counts["kitti2015", "default"][1]
    )
    assert "Split all of kitti2015: the run was trained on some" in counts["kitti2015", "all"][1]
    assert "Split" not in counts["kitti2012", "default"][1]


def test_finds_training_datasets_behind_shards_and_former_stages(tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    claim_folder(shards, PreparedDataset(("a",), FrameFormat(), None, {}, {"source": "sintel"}))

    def settings(source, root="", run=""):
        return TrainConfig(data=DataConfig(source=source, root=root), init=InitConfig(run=run))

    former = tmp_path / "former"
    former.mkdir()
    config_file.save(settings("shards", str(shards)), former / "config.json")
    assert flow_methods._sources(settings("kitti2015", run=str(former))) == ("kitti2015", "sintel")
    assert flow_methods._sources(settings("ucf101", run="gone")) == ("ucf101",)
    assert flow_methods._sources(settings("shards", "gone")) == ("shards",)


def test_number_of_classes_comes_from_the_dataset(tmp_path, monkeypatch):
    use_network(monkeypatch, tmp_path, Constant(classify=True), 2)
    numbers = []

    def build_model(config, classes, **_):
        numbers.append(classes)
        return Constant(classify=True)

    monkeypatch.setattr(flow_methods, "build_model", build_model)
    RunMethod(tmp_path)
    assert numbers[-1] == 8  # classes of synthetic motion


# ---------------------------------------------------------------- Mistakes


@pytest.mark.parametrize(
    "num_flows, num_frames, message", [(0, 2, "predicts no flow"), (1, 1, "have one frame")]
)
def test_rejects_runs_without_flow_between_frames(
    tmp_path, monkeypatch, num_flows, num_frames, message
):
    use_network(
        monkeypatch, tmp_path, Constant(num_flows=num_flows), num_frames, flow="none", action=True
    )
    with pytest.raises(ValueError, match=message):
        RunMethod(tmp_path)


def test_rejects_invalid_methods_numbers_and_options(tmp_path):
    with pytest.raises(ValueError, match=r"run: got none; add --run DIR or --method \(tvl1"):
        create_method("run", "")
    with pytest.raises(ValueError, match="got 'dis' and --run runs/a; leave one of them out"):
        create_method("dis", "runs/a")
    assert isinstance(create_method("tvl1", "").estimate, TVL1Teacher)
    with pytest.raises(ValueError, match="most: got -1, but it must be at least 0"):
        evaluated(tmp_path, tmp_path, most=-1)
    for options, message in (
        ({"render": "final"}, "pass: got 'final', but kitti2015 has no such option"),
        ({"count_invalid": True}, "count-invalid: got True, but kitti2015"),
        ({"annotations": "x.txt"}, "annotations: got 'x.txt', but kitti2015"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluated(tmp_path, tmp_path, **options)


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("eval.__main__.COMPILATION_CACHE", "")
    make_kitti(tmp_path, count=1)
    command = f"eval flow --dataset kitti2015 --root {tmp_path} --method dis --out {tmp_path}/out"
    monkeypatch.setattr("sys.argv", command.split())
    assert main() == 0
    assert capsys.readouterr().out.startswith("epe=")
    monkeypatch.setattr("sys.argv", command.replace("kitti2015", "sintel").split())
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1 and "training/flow" in capsys.readouterr().err
