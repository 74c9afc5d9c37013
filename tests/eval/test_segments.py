"""`python -m eval segments` with networks in NumPy, on embedded videos and on video files."""

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console

from afn_jax.data.sources.synthetic_motion import CLASS_NAMES
from afn_jax.data.sources.synthetic_untrimmed import SyntheticUntrimmed
from afn_jax.export.network import Outputs
from afn_jax.metrics.segments import Interval
from afn_jax.predict.engine import predict_video
from afn_jax.predict.segments import Segment, Threshold
from afn_jax.predict.settings import Settings
from afn_jax.predict.timeline import Step
from eval import segments as module
from eval.segments import SegmentsConfig, run_segments, segments_line
from eval.timelines import Timelines, predicted_segments, read_timelines, window_segments
from tests.data.videos import encode
from tests.export.fake_network import FakeNetwork, make_card
from tests.predict.stand_ins import brightness_network, lights

QUIET = Console(quiet=True)


def _timelines(labels_and_scores, true=()):
    """Windows of one second each, of two classes."""
    rows = [(1 - p, p) if label else (p, 1 - p) for label, p in labels_and_scores]
    steps = tuple(Step(float(i), i + 1.0, np.array(row), i, i) for i, row in enumerate(rows))
    return Timelines("a", tuple(true), steps, steps, np.arange(len(rows)) + 0.5, len(rows))


def test_windows_on_their_own_join_equal_neighbors():
    timelines = _timelines([(0, 0.9), (0, 0.7), (1, 0.6), (1, 0.8), (0, 0.95)])
    assert [dataclasses.astuple(s) for s in window_segments(timelines, None)] == [
        (0, 0.0, 2.0, pytest.approx(0.8)),
        (1, 2.0, 4.0, pytest.approx(0.7)),
        (0, 4.0, 5.0, pytest.approx(0.95)),
    ]
    # A window below the threshold interrupts; the background class is left out.
    above = window_segments(timelines, None, 0.75)
    assert [(s.label, s.start, s.end) for s in above] == [(0, 0, 1), (1, 3, 4), (0, 4, 5)]
    assert [s.label for s in window_segments(timelines, 0)] == [1]


def test_segments_of_predict_leave_out_the_background():
    timelines = _timelines([(0, 0.9), (1, 0.9), (0, 0.9)])
    found = predicted_segments(timelines, [Threshold()] * 2, background=0)
    assert found == [Segment(1, 1.0, 2.0, pytest.approx(0.9))]


def test_thresholds_are_those_of_the_highest_f1():
    # A second of class 1 at .85, and noise at .6, which is nothing.
    true = [Interval(1, 1.0, 2.0)]
    videos = [_timelines([(1, 0.6), (1, 0.85), (1, 0.6)], true)]
    chosen = module.choose_threshold(videos, None)
    found = predicted_segments(videos[0], [chosen] * 2, None)
    assert [(s.label, s.start, s.end) for s in found] == [(1, 1.0, 2.0)]
    assert 0.6 < module.choose_cut(videos, None) <= 0.85


def test_certainty_in_actions_and_in_pauses():
    rows = [(1, 0.9), (1, 0.8), (0, 0.7), (1, 0.6)]
    found = module.certainty([_timelines(rows, [Interval(1, 0.0, 3.0)])])
    assert found == {"actions": [0.75, 0.8, 0.85], "pauses": [0.6, 0.6, 0.6]}


def test_steps_and_segments_are_those_of_predict(tmp_path):
    network, settings = brightness_network(), Settings(film=False)
    path = encode(tmp_path / "a.mp4", "libx264", lights(*[20] * 21, *[240] * 30, *[120] * 6))
    result = predict_video(str(path), "a", tmp_path, network, settings)
    with module.open_frames(str(path), short_side=network.card.short_side) as frames:
        pairs = ((frame.time, frame.image) for frame in frames)
        timelines = read_timelines(pairs, network, settings, fps=25.0, name="a", true=())
    thresholds = settings.thresholds_of(network.card.class_names)
    found = predicted_segments(timelines, thresholds, None)
    assert sorted(found, key=lambda s: (s.start, s.label)) == list(result.segments)
    assert timelines.duration == pytest.approx(result.duration)
    # The windows lie side by side; the last one ends with the video.
    ends = [window.end for window in timelines.windows]
    assert [window.start for window in timelines.windows] == pytest.approx([0, *ends[:-1]])
    assert ends[-1] == pytest.approx(57 / 25)


def _motion_network(classes=CLASS_NAMES, answer=2):
    """Always sure of one class."""

    def function(frames):
        logits = np.zeros((len(frames), len(classes)), np.float32)
        logits[:, answer] = 5
        return Outputs(logits=logits)

    return FakeNetwork(make_card(class_names=tuple(classes), size=(16, 16)), function)


def _run(monkeypatch, tmp_path, network, **options):
    monkeypatch.setattr(module, "load_run", lambda run: network)
    return run_segments(SegmentsConfig(run=str(tmp_path), **options), QUIET)


def test_embedded_videos(monkeypatch, tmp_path):
    values = _run(monkeypatch, tmp_path, _motion_network(), videos=2, validation_videos=1, seed=3)
    kept = json.loads((tmp_path / "segments.json").read_text())
    assert kept == values and kept["num_videos"] == 2
    videos = list(SyntheticUntrimmed(2, size=(16, 16), seed=3, split="test"))
    assert kept["seconds"] == pytest.approx(sum(video.duration for video in videos))
    # All of the time is class 2: right where class 2 is.
    share = [e - s for video in videos for label, s, e in video.segments if label == 2]
    numbers = kept["methods"]["windows"]
    assert numbers["segments"] == 2
    assert numbers["true_segments"] == sum(len(video.segments) for video in videos)
    assert numbers["frame_accuracy"] == pytest.approx(sum(share) / kept["seconds"], abs=0.01)
    line = segments_line(values)
    assert "windows_f1_50=" in line and line.endswith(f"report={tmp_path / 'segments.html'}")
    page = (tmp_path / "segments.html").read_text()
    assert "untrimmed-test-3-1" in page and "windows above" in page and page.count("<svg") == 10


def test_another_folder(monkeypatch, tmp_path):
    options = {"videos": 1, "validation_videos": 1, "threshold": 0.5}
    out = tmp_path / "new" / "results"
    values = _run(monkeypatch, tmp_path, _motion_network(), out=str(out), **options)
    assert values["report"] == str(out / "segments.html")
    assert sorted(p.name for p in out.iterdir()) == ["segments.html", "segments.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    file = out / "segments.json"
    with pytest.raises(ValueError, match="out: .*segments.json is a file; give a folder"):
        _run(monkeypatch, tmp_path, _motion_network(), out=str(file), **options)


def test_a_class_of_pauses_is_not_a_segment(monkeypatch, tmp_path):
    network = _motion_network((*CLASS_NAMES, "none"), answer=8)
    values = _run(monkeypatch, tmp_path, network, videos=1, validation_videos=1)
    assert values["background"] == "none"
    assert {numbers["segments"] for numbers in values["methods"].values()} == {0}


def test_own_videos(monkeypatch, tmp_path):
    encode(tmp_path / "a.mp4", "libx264", lights(*[20] * 20, *[240] * 30, *[20] * 20))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    listed = tmp_path / "list.csv"
    listed.write_text(
        "path,label,start,end\na.mp4,dark,0,0.8\na.mp4,bright,0.8,2\na.mp4,dark,2,2.8\n"
        "broken.mp4,dark,0,1\ncut.avi,dark,0,1\n"
    )
    whole = encode(tmp_path / "cut.avi", "mpeg4", lights(*range(0, 250, 4), height=96, width=128))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    options = {"data_root": str(tmp_path), "annotations": str(listed)}
    values = _run(monkeypatch, tmp_path, brightness_network(), **options)
    assert [numbers["true_segments"] for numbers in values["methods"].values()] == [4] * 4
    assert values["num_videos"] == 2 and values["thresholds"] == "defaults"
    ((path, reason),) = values["skipped"]
    assert path == "broken.mp4" and reason
    # The names do not collide with those of the embedded videos.
    assert values["report"] == str(tmp_path / f"segments-{tmp_path.name}.html")
    page = (tmp_path / f"segments-{tmp_path.name}.html").read_text()
    assert f"2 videos of {tmp_path}" in page
    assert "cut.avi: it ends after" in page and "<h2>Notes</h2>" in page
    assert (tmp_path / f"segments-{tmp_path.name}.json").exists()
    assert not (tmp_path / "segments.json").exists()

    listed.write_text("path,label,start,end\na.mp4,dark,0.8,0.9\na.mp4,bright,,\n")
    message = (
        r"list\.csv: a\.mp4: 'bright' from 0 s to its end and 'dark' from 0\.8 s to 0\.9 s over"
    )
    with pytest.raises(ValueError, match=message):
        _run(monkeypatch, tmp_path, brightness_network(), **options)

    listed.write_text("path,label,start,end\na.mp4,birght,0,1\n")
    with pytest.raises(ValueError, match="does not have the class 'birght'.*bright"):
        _run(monkeypatch, tmp_path, brightness_network(), **options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"data_root": "x"}, "data_root and annotations belong together"),
        ({"videos": 0}, "videos"),
        ({"threshold": 0.5, "low": 0.7}, "low: got 0.7"),
        ({}, "classes dark, bright.*--annotations"),
    ],
)
def test_rejects_wrong_settings(monkeypatch, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        _run(monkeypatch, tmp_path, brightness_network(), **options)


def test_rejects_a_network_without_classes(monkeypatch, tmp_path):
    network = FakeNetwork(make_card(class_names=()))
    with pytest.raises(ValueError, match="does not classify"):
        _run(monkeypatch, tmp_path, network)
