"""Errors in data and settings, as users of `python -m train` see them."""

import dataclasses
import io

import av
import numpy as np
import pytest
from rich.console import Console

from tests.small_run import small_config
from train import data_checks, loop
from train.config import TrainConfig
from train.network import build_model
from train.writers import read_metrics


def write_videos(folder, names=("jump", "run"), count=3):
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            with av.open(str(folder / name / f"{number}.avi"), "w") as container:
                stream = container.add_stream("mpeg4", rate=25)
                stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
                for t in range(6):
                    image = np.full((32, 32, 3), 40 * number + 10 * t, np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                container.mux(stream.encode(None))
    return folder


def assert_refused(run_main, tmp_path, words, *arguments):
    code, _, stderr = run_main(
        *("train", "actionflownet", "--scale", "toy", "--run-dir", tmp_path / "run"),
        *("--compilation-cache", "", *arguments),
    )
    assert code == 1
    assert "error: " in stderr and "Traceback" not in stderr
    for word in words:
        assert word in stderr, stderr
    assert not (tmp_path / "run").exists()


def test_rejects_a_video_folder_without_root(run_main, tmp_path):
    assert_refused(run_main, tmp_path, ["data.root", "--data.root"], "--data", "video-folder")


@pytest.mark.parametrize(
    "names, words",
    [
        (None, ["is not a folder"]),
        ((), ["no subfolder", "holds a video"]),
        (("jump",), ["holds only one class", "'jump'"]),
    ],
)
def test_rejects_unusable_folders(run_main, tmp_path, names, words):
    root = tmp_path / "videos"
    if names is not None:
        root.mkdir()
        write_videos(root, names)
    assert_refused(run_main, tmp_path, words, "--data", "video-folder", "--data.root", root)


def test_rejects_clips_longer_than_every_video(run_main, tmp_path):
    root = write_videos(tmp_path / "videos")
    assert_refused(
        run_main,
        tmp_path,
        ["data.num_frames", "spans 9 frames", "has 6", "--data.num-frames 6"],
        *("--data", "video-folder", "--data.root", root, "--data.num-frames", 9),
    )


def test_rejects_videos_without_a_flow_target(run_main, tmp_path):
    root = write_videos(tmp_path / "videos")
    assert_refused(
        run_main,
        tmp_path,
        ["data.teacher: got 'none'", "--data.teacher dis"],
        *("--data", "video-folder", "--data.root", root, "--data.teacher", "none"),
        *("--data.num-frames", 2, "--data.index-cache", "none"),
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--model.name", "resnet18"], ["objective.flow", "--objective.flow none"]),
        (["--model.name", "resnet19", "--objective.flow", "none"], ["resnet19", "resnet18"]),
        (["--data.flip"], ["data.flip", "--data.no-flip"]),
        (["--batch-size", "0"], ["batch_size: got 0"]),
    ],
)
def test_rejects_contradicting_settings(run_main, tmp_path, arguments, words):
    assert_refused(run_main, tmp_path, words, *arguments)


def test_trains_on_own_videos(small_network, tmp_path):
    config = small_config(tmp_path / "run")
    root = write_videos(tmp_path / "videos")
    (root / "run" / "broken.avi").write_bytes(b"no video at all")
    data = dataclasses.replace(
        config.data, source="video-folder", root=str(root), short_side=20, teacher="dis"
    )
    output = io.StringIO()
    result = loop.train(
        dataclasses.replace(config, steps=2, data=data), Console(file=output, width=200)
    )
    assert result.finished and "2 classes" in output.getvalue()
    assert "broken.avi" in output.getvalue()
    assert all(row["epe"] >= 0 for row in read_metrics(result.run_dir))


def test_rejects_different_training_and_test_classes():
    class Names:
        def __init__(self, *names):
            self.class_names = names

    data_checks.check_classes(Names("a", "b"), Names("a", "b"))
    with pytest.raises(ValueError, match="'c'.*Each class needs videos in both splits"):
        data_checks.check_classes(Names("a", "b"), Names("a", "c"))


@pytest.mark.parametrize(
    "has_flow, flow, teacher", [(True, "endpoint", "none"), (False, "multiscale", "dis")]
)
def test_a_flow_target_comes_from_the_videos_or_a_teacher(tmp_path, has_flow, flow, teacher):
    config = small_config(tmp_path)

    class One:
        name = "run/1.avi"

    One.has_flow = has_flow
    objective = dataclasses.replace(config.objective, flow=flow)
    data = dataclasses.replace(config.data, teacher=teacher)
    data_checks.check_target(dataclasses.replace(config, objective=objective, data=data), [One])
    One.has_flow, data = False, dataclasses.replace(data, teacher="none")
    with pytest.raises(ValueError, match=f"'{flow}' needs a flow target and run/1.avi has"):
        data_checks.check_target(dataclasses.replace(config, objective=objective, data=data), [One])


def test_build_model_follows_the_objective():
    for objective, parts in (
        ({}, (True, True)),
        ({"flow": "none"}, (False, True)),
        ({"action": False}, (True, False)),
    ):
        config = TrainConfig()
        config = dataclasses.replace(
            config, objective=dataclasses.replace(config.objective, **objective)
        )
        model = build_model(config, 8, axis_name=None)
        assert (model.predict_flow, model.classify) == parts
