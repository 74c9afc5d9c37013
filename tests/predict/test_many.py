"""Many videos: what is skipped, resumed, refused and interrupted."""

import csv
import errno
import json
import os
import threading

import pytest

from afn_jax.predict import many
from afn_jax.predict.many import predict_many
from afn_jax.predict.outputs.records import load_result
from afn_jax.predict.settings import Settings
from tests.data.videos import write_video
from tests.full_disk import fill, free, small_disk
from tests.predict.stand_ins import Silent, brightness_network

PLAIN = Settings(film=False)


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    for name in ("a.mp4", "b.mp4", "sub/a.mp4"):
        write_video(folder / name, num_frames=12)
    return folder


def predict(videos, out, settings=PLAIN, network=None, **options):
    network, reporter = network or brightness_network(), Silent()
    outcome = predict_many(
        network, [str(videos)], out, settings, command="afn-jax ...", reporter=reporter, **options
    )
    return outcome, network, reporter


def test_every_video_gets_its_files(videos, tmp_path):
    outcome, _, reporter = predict(videos, tmp_path / "out")
    assert (outcome.done, outcome.before, outcome.exit_code) == (3, 0, 0)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    stems = ("a", "sub-a") if "a.json" in files else ("videos-a", "sub-a")
    for stem in (*stems, "b"):
        for ending in (".csv", ".json", ".segments.csv", ".jpg"):
            assert stem + ending in files
    assert "index.html" in files and "skipped.csv" not in files
    assert not [name for name in files if name.startswith(".")]
    assert len(reporter.outcomes) == 3
    line = dict(part.split("=") for part in outcome.line().split())
    assert (line["videos"], line["skipped"]) == ("3", "0")


def test_the_record_holds_the_result(videos, tmp_path):
    outcome, network, _ = predict(videos / "b.mp4", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "b.json").read_text())
    assert record["card"]["class_names"] == ["dark", "bright"]
    assert record["settings"]["threshold"] == 0.5
    assert record["num_frames"] == 12 and record["top"][0]["class"] == "dark"
    result = load_result(tmp_path / "out", "b")
    assert result.source == str(videos / "b.mp4")
    assert result.files["json"] == "b.json"
    assert len(result.thumbnails) == 6 and result.thumbnails[0].shape == (16, 24, 3)
    assert result.strip.tolist() == [0] * len(result.strip)
    assert outcome.segments == len(result.segments) == 1


def test_the_same_command_predicts_nothing_again(videos, tmp_path):
    predict(videos, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.csv")}
    outcome, network, _ = predict(videos, tmp_path / "out")
    assert (outcome.done, outcome.before, network.batches) == (3, 3, [])
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.csv")}


@pytest.mark.parametrize("change", ["video", "output"])
def test_a_video_is_predicted_again_if_it_or_an_output_changed(videos, tmp_path, change):
    predict(videos, tmp_path / "out")
    if change == "video":
        write_video(videos / "b.mp4", num_frames=20)
    else:
        (tmp_path / "out" / "b.csv").unlink()
    outcome, _, _ = predict(videos, tmp_path / "out")
    assert (outcome.done, outcome.before) == (3, 2)


def test_another_network_or_other_settings_are_refused(videos, tmp_path):
    out = tmp_path / "out"
    predict(videos, out)
    with pytest.raises(ValueError, match="out: .*settings: --threshold 0.5 .now 0.7.*--overw"):
        predict(videos, out, Settings(film=False, threshold=0.7))
    other = brightness_network(step=200)
    with pytest.raises(ValueError, match="outputs of another network, fake.afn.*--overwrite"):
        predict(videos, out, network=other)
    outcome, _, _ = predict(videos, out, network=other, overwrite=True)
    assert (outcome.done, outcome.before) == (3, 0)
    assert json.loads((out / "b.json").read_text())["card"]["step"] == 200


def test_broken_files_are_skipped_and_listed(videos, tmp_path):
    for k in range(3):
        (videos / f"broken{k}.mp4").write_bytes(bytes(1000))
    outcome, _, reporter = predict(videos, tmp_path / "out")
    assert (outcome.done, len(outcome.skipped), outcome.exit_code) == (3, 3, 0)
    with open(tmp_path / "out" / "skipped.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [os.path.basename(row["path"]) for row in rows] == [f"broken{k}.mp4" for k in range(3)]
    assert all(row["reason"] for row in rows)
    assert sum("skipped: " in outcome for _, outcome in reporter.outcomes) == 3


def test_all_broken_is_exit_code_1(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(bytes(1000))
    outcome, _, _ = predict(tmp_path / "broken.mp4", tmp_path / "out")
    assert (outcome.done, outcome.exit_code) == (0, 1)


def test_earlier_outputs_of_a_video_that_becomes_broken_are_not_on_the_page(videos, tmp_path):
    predict(videos, tmp_path / "out")
    (videos / "b.mp4").write_bytes(bytes(1000))
    outcome, _, _ = predict(videos, tmp_path / "out")
    assert (outcome.done, len(outcome.skipped)) == (2, 1)
    assert outcome.skipped[0].reason.endswith("; its earlier outputs stay, b.*")
    assert "Predictions for 2 videos" in outcome.index.read_text()


def interrupted_network(calls):
    network = brightness_network()
    function = network.function

    def interrupt(frames):
        if len(network.batches) > calls:
            raise KeyboardInterrupt
        return function(frames)

    network.function = interrupt
    return network


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(videos, tmp_path):
    out = tmp_path / "out"
    network = interrupted_network(8)  # in the second video
    outcome, _, _ = predict(videos, out, network=network)
    assert (outcome.done, outcome.interrupted, outcome.exit_code) == (1, True, 130)
    assert (out / "index.html").exists()
    assert len(list(out.glob("*.json"))) == 2  # one video and predict.json
    assert not list(out.glob(".*part*"))
    assert threading.active_count() < 10
    outcome, _, _ = predict(videos, out)
    assert (outcome.done, outcome.before, outcome.exit_code) == (3, 1, 0)


def test_outputs_after_an_interruption_are_those_without(videos, tmp_path):
    predict(videos, tmp_path / "one", network=interrupted_network(8))
    predict(videos, tmp_path / "one")
    predict(videos, tmp_path / "two")
    for path in (tmp_path / "two").glob("*.csv"):
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()


def test_wrong_output_folders_are_refused_before_any_work(videos, tmp_path):
    network = brightness_network()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out: .*file is a file"):
        predict(videos, tmp_path / "file", network=network)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "predict.json").write_text("{")
    with pytest.raises(ValueError, match="predict.json is damaged"):
        predict(videos, tmp_path / "odd", network=network)
    assert network.batches == []


def test_a_folder_that_cannot_be_written_names_the_option(videos, tmp_path, monkeypatch):
    """Also if its disk is full, as read-only ones often are."""
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, 2**20))

    def read_only(path, *mode):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("afn_jax.predict.outputs.folder.open", read_only, raising=False)
    with pytest.raises(
        ValueError, match="out: .*a cannot be written .Read-only file system.; give"
    ):
        predict(videos, tmp_path / "a")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="out: .*cannot be written .Not a directory.; give"):
        predict(videos, tmp_path / "file" / "a")


def test_a_full_disk_is_refused_before_any_work(videos, tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, 2**20))
    network = brightness_network()
    with pytest.raises(OSError, match="No space left.*1 MiB free"):
        predict(videos, tmp_path / "out", network=network)
    assert network.batches == []


def test_a_disk_that_fills_up_keeps_what_is_done(videos, tmp_path):
    settings = Settings(film_height=32, features=True)
    with small_disk(tmp_path / "disk", 24) as disk:
        network = brightness_network()
        function = network.function

        def fill_later(frames):
            if len(network.batches) == 8:  # in the second video
                fill(disk)
            return function(frames)

        network.function = fill_later
        with pytest.raises(OSError, match="No space left"):
            predict(videos, disk / "out", settings, network)
        free(disk)
        done = [path.stem for path in (disk / "out").glob("*.json") if path.stem != "predict"]
        assert len(done) == 1
        assert not [p for p in (disk / "out").iterdir() if p.name.startswith(".")]
        outcome, _, _ = predict(videos, disk / "out", settings)
        assert (outcome.done, outcome.before) == (3, 1)


def test_two_processes_do_not_share_a_folder(videos, tmp_path):
    network = brightness_network()
    function, refused = network.function, []

    def again(frames):
        if not refused:
            with pytest.raises(ValueError, match="another afn-jax predict is writing"):
                predict(videos, tmp_path / "out")
            refused.append(True)
        return function(frames)

    network.function = again
    outcome, _, _ = predict(videos, tmp_path / "out", network=network)
    assert refused and outcome.done == 3


@pytest.mark.parametrize(
    ("card", "settings", "message"),
    [
        ({"class_names": (), "flow_starts": (0,)}, PLAIN, "does not classify.*--flow npz"),
        ({"class_names": ()}, PLAIN, "neither classes nor flow"),
        ({}, Settings(flow="npz"), "flow: .* estimates no flow.*--flow npz"),
        ({}, Settings(film_flow="over"), "film-flow: .* estimates no flow"),
        (
            {"class_names": (), "flow_starts": (0,), "feature_size": 0},
            Settings(features=True),
            "features: .*no classifier",
        ),
        ({}, Settings(window=2.0), "window: .*fixed at 4 frames.*leave --window out"),
    ],
)
def test_what_a_network_cannot_do_is_an_error_before_any_work(
    videos, tmp_path, card, settings, message
):
    network = brightness_network(**card)
    with pytest.raises(ValueError, match=message):
        predict(videos, tmp_path / "out", settings, network)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0}, "threshold: got 0"),
        ({"every": -1.0}, "every: got -1"),
        ({"low": 0.7}, "low: got 0.7.*at most the threshold 0.5"),
        ({"top": 0}, "top: got 0"),
        ({"flow": "png"}, "flow: got 'png'"),
    ],
)
def test_wrong_settings(values, message):
    with pytest.raises(ValueError, match=message):
        Settings(**values)


def test_many_results_are_read_when_needed(videos, tmp_path, monkeypatch):
    seen = []

    def write_index(path, results, skipped, class_names, about, command):
        seen.append((len(results), results[1].name, [r.name for r in results], about, command))
        path.write_text("")

    monkeypatch.setattr(many, "write_index", write_index, raising=False)
    predict(videos, tmp_path / "out")
    if seen:
        assert seen[0][0] == 3 and seen[0][1] == seen[0][2][1]
