"""One video: its outputs against values computed by hand and by plain loops."""

import csv
import json

import av
import numpy as np
import pytest

from afn_jax.data.files.video import index_video, read_frames
from afn_jax.data.source import VideoReadError
from afn_jax.data.sources.lists.csv_list import read_csv, read_whole_csv
from afn_jax.data.transforms.crops import CenterCrop
from afn_jax.data.transforms.sampling import uniform_segment_starts
from afn_jax.predict.engine import predict_video
from afn_jax.predict.segments import Threshold, find_segments
from afn_jax.predict.settings import Settings
from tests.data.videos import encode, moving_picture, write_video
from tests.predict.stand_ins import brightness_network, lights

PLAIN = Settings(film=False)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Dark, then bright from 0.8 to 2 s, then dark until 2.8 s, at 25 Hz."""
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    return encode(path, "libx264", lights(*[20] * 20, *[240] * 30, *[20] * 20))


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_tables_and_segments(video, tmp_path):
    network = brightness_network()
    result = predict_video(str(video), "a", tmp_path, network, PLAIN)
    table = rows(tmp_path / "a.csv")
    assert [row["start"] for row in table[:3]] == ["0.0000", "0.0800", "0.1600"]
    assert table[-1]["end"] == "2.8000"
    assert (table[0]["class1"], table[15]["class1"]) == ("dark", "bright")
    assert float(table[15]["p1"]) == pytest.approx(240 / 255, abs=0.02)
    assert [network.card.class_names[s.label] for s in result.segments] == [
        "dark",
        "bright",
        "dark",
    ]
    middle = result.segments[1]
    assert (middle.start, middle.end) == (pytest.approx(0.8), pytest.approx(2.0))
    assert [label for label, _ in result.top] == [0, 1]
    assert result.num_frames == 70 and result.duration == pytest.approx(2.8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.jpg", "a.segments.csv"]
    assert len(result.thumbnails) == 6 and result.thumbnails[3].mean() > 200


def test_segments_are_a_list_that_training_reads(video, tmp_path):
    predict_video(str(video), "a", tmp_path, brightness_network(), PLAIN, shown="a.mp4")
    content = (tmp_path / "a.segments.csv").read_text()
    assert content.splitlines()[0] == "path,label,start,end"
    listed = tmp_path / "train.csv"
    listed.write_text(content)
    (tmp_path / "test.csv").write_text(content)
    entries = read_csv(video.parent, "train", tmp_path, 1).entries
    assert [(e.path, e.start, e.end) for e in entries] == [
        ("a.mp4", 0.0, 0.8),
        ("a.mp4", 0.8, 2.0),
        ("a.mp4", 2.0, 2.8),
    ]


def test_names_of_any_bytes_survive_the_list_of_segments(video, tmp_path):
    names = ("d\udce4rk", "bright")  # a folder of classes may have any name too
    network = brightness_network(class_names=names)
    shown = "caf\udce9, \udcff.avi"
    predict_video(str(video), "a", tmp_path, network, PLAIN, shown=shown)
    found = read_whole_csv(tmp_path, tmp_path / "a.segments.csv")
    assert [entry.path for entry in found.entries] == [shown] * 3
    assert set(found.class_names) == set(names)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_last_window_counts_where_windows_are_far_apart(tmp_path, batch_size):
    """Windows of 4 frames start at 0, 25 and 50; the last one has the frames 66 to 69."""
    path = encode(tmp_path / "a.mp4", "libx264", lights(*[20] * 64, *[240] * 6))
    settings = Settings(film=False, every=1.0, batch_size=batch_size)
    predict_video(str(path), "a", tmp_path, brightness_network(), settings)
    table = rows(tmp_path / "a.csv")
    assert [(row["start"], row["end"], row["class1"]) for row in table] == [
        ("0.0000", "1.0000", "dark"),
        ("1.0000", "2.0000", "dark"),
        ("2.0000", "2.6400", "dark"),
        ("2.6400", "2.8000", "bright"),
    ]
    assert float(table[3]["p1"]) == pytest.approx(240 / 255, abs=0.02)


def test_the_last_window_counts_in_the_last_step(tmp_path):
    """Windows start at 0 and 25; none fits at 50, and the last one has the frames 48 to 51."""
    path = encode(tmp_path / "a.mp4", "libx264", lights(*[20] * 48, *[240] * 4))
    settings = Settings(film=False, every=1.0)
    predict_video(str(path), "a", tmp_path, brightness_network(), settings)
    found = [(row["start"], row["class1"]) for row in rows(tmp_path / "a.csv")]
    assert found == [("0.0000", "dark"), ("1.0000", "dark"), ("2.0000", "bright")]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("every", [None, 0.25])
def test_agrees_with_a_plain_loop(tmp_path, batch_size, every):
    """Reads all frames at once, and averages the windows per frame."""
    path = encode(tmp_path / "a.mp4", "libx264", moving_picture(37), options={"bf": "2"})
    network = brightness_network(num_frames=6, stride=2)
    settings = Settings(film=False, every=every, batch_size=batch_size, threshold=0.4, low=0.35)
    result = predict_video(str(path), "a", tmp_path, network, settings)
    index = index_video(path)
    frames = read_frames(path, index, np.arange(37), short_side=16)
    span = 11
    starts = (
        range(0, 37, 5)
        if every is None
        else np.searchsorted(index.times + 1e-3, np.arange(0, index.times[-1] + 0.25, 0.25))
    )
    starts = [int(s) for s in starts if s < 37]
    firsts = [s for s in starts if s + span <= 37]
    firsts += [26] if firsts[-1] + span < 37 else []
    left = (frames.shape[2] - 24) // 2 if frames.shape[2] > 24 else 0
    windows = np.stack([frames[s : s + span : 2] for s in firsts])
    top = (16 - round(24 * 16 / 24)) // 2
    assert (left, top) == (0, 0) and frames.shape[1:3] == (16, 21)
    seen = CenterCrop((16, 24)).draw(16, 21).frames(windows)
    logits = network.function(seen).logits.astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = []
    for start, after in zip(starts, [*starts[1:], 37], strict=True):
        middle = (start + after - 1) // 2
        covering = [
            row for first, row in zip(firsts, p, strict=True) if first <= middle < first + span
        ]
        expected.append(np.mean(covering, axis=0))
    table = rows(tmp_path / "a.csv")
    assert [float(row["start"]) for row in table] == pytest.approx([s / 25 for s in starts])
    found = [
        [float(row[f"p{1 + (row['class1'] != name)}"]) for name in ("dark", "bright")]
        for row in table
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    ends = [*[s / 25 for s in starts[1:]], 37 / 25]
    reference = find_segments(
        [s / 25 for s in starts], ends, np.array(expected), Threshold(0.4, 0.35)
    )
    assert len(result.segments) == len(reference) > 0
    for one, two in zip(result.segments, reference, strict=True):
        assert (one.label, one.start, one.end) == (
            two.label,
            pytest.approx(two.start),
            pytest.approx(two.end),
        )
    assert set(network.batches) == {batch_size}


def test_a_short_video_is_repeated_and_that_is_told(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", lights(20, 20, 240))
    network = brightness_network(num_frames=16)
    result = predict_video(str(path), "a", tmp_path, network, PLAIN)
    assert "it has 3 frames, fewer than the 16 of a window" in result.notes[0]
    assert result.num_frames == 3
    assert float(rows(tmp_path / "a.csv")[0]["end"]) == 0.12


def test_features(video, tmp_path):
    settings = Settings(film=False, features=True)
    predict_video(str(video), "a", tmp_path, brightness_network(), settings)
    with np.load(tmp_path / "a.features.npz") as found:
        assert found["features"].shape == (34, 3)
        assert found["features"].dtype == np.float32
        np.testing.assert_allclose(found["times"], np.arange(34) * 0.08, atol=1e-9)
        np.testing.assert_allclose(found["ends"] - found["times"], 0.16, atol=1e-9)
        assert found["features"][12].mean() == pytest.approx(240 / 255, abs=0.02)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_flow_is_that_of_the_crop_in_pixels_of_the_video(video, tmp_path):
    """Frames 16 x 21, of which a network with 8 x 8 px sees the middle 16 x 16."""
    network = brightness_network(size=(8, 8), flow_starts=(0, 1, 2))
    settings = Settings(film=False, flow="npz")
    result = predict_video(str(video), "a", tmp_path, network, settings)
    assert result.files["flow"] == "a.flow.npz"
    with np.load(tmp_path / "a.flow.npz") as found:
        flow = found["flow"]
        assert flow.shape[1:] == (16, 21, 2)
        # Windows start at 0, 2, 4, ...: their flows are 1, 2 and 3 px of 8 x 8.
        assert flow[:6, 8, 8, 0].tolist() == [2.0, 4.0, 2.0, 4.0, 2.0, 4.0]
        known = ~np.isnan(flow[0, ..., 0])
        assert known[:, 2:18].all() and not known[:, :2].any() and not known[:, 18:].any()
        assert found["frames"][:3].tolist() == [0, 1, 2]
        np.testing.assert_allclose(found["times"][:3], [0, 0.04, 0.08])
    assert any("21 x 16, in its columns 2 to 17 and rows 0 to 15" in n for n in result.notes)


@pytest.mark.parametrize("place", ["none", "beside", "over"])
def test_film_has_every_frame_once_at_its_time(tmp_path, place):
    path = encode(tmp_path / "a.mp4", "libx264", lights(*[20] * 9, *[240] * 12))
    starts = () if place == "none" else (0, 1, 2)
    network = brightness_network(flow_starts=starts)
    settings = Settings(film_height=32, film_flow=place)
    result = predict_video(str(path), "b", tmp_path, network, settings)
    assert result.files["film"] == "b.mp4"
    with av.open(str(tmp_path / "b.mp4")) as film:
        times = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(21) / 25, atol=2e-3)


def test_many_frames_that_wait_for_their_label_wait_as_jpeg(tmp_path, monkeypatch):
    """The same film but for the compression, in both orders of colors."""
    colors = np.zeros((40, 48, 64, 3), np.uint8)
    colors[:, :, :32, 0], colors[:, :, 32:, 2] = 200, 200
    path = encode(tmp_path / "a.mp4", "libx264", colors)
    films = []
    for name, most in (("plain", 200), ("jpeg", 1)):
        monkeypatch.setattr("afn_jax.predict.outputs.sinks._MOST_WAITING", most)
        settings = Settings(film_height=48, batch_size=8)
        predict_video(str(path), name, tmp_path, brightness_network(), settings)
        with av.open(str(tmp_path / f"{name}.mp4")) as film:
            films.append(np.stack([f.to_ndarray(format="rgb24") for f in film.decode(video=0)]))
    assert films[0].shape == films[1].shape and len(films[0]) == 40
    difference = np.abs(films[0].astype(int) - films[1])
    assert difference.mean() < 2


def test_a_window_of_several_parts(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", lights(*[20] * 25, *[240] * 25))
    seen = []
    network = brightness_network(num_segments=2)
    for window in (None, 2.0, 0.08):
        result = predict_video(
            str(path),
            "a",
            tmp_path,
            network,
            Settings(film=False, window=window),
            on_window=lambda path, result, frames: seen.append(result.window.indices.tolist()),
        )
        short = [note for note in result.notes if "a window of 0.08 s is shorter" in note]
        assert len(short) == (window == 0.08)
        if window == 2.0:
            starts = uniform_segment_starts(50, 2, 2, 1, 1)[0]
            assert seen == [[starts[0], starts[0] + 1, starts[1], starts[1] + 1]]
        else:
            assert seen[:2] == [[0, 1, 2, 3], [2, 3, 4, 5]]
        seen.clear()


@pytest.mark.parametrize(
    ("num_frames", "window", "note"),
    [
        (
            1,
            None,
            "it has 1 frame, fewer than the 4 of a window, so it is repeated, as in training",
        ),
        (
            3,
            1e9,
            "it has 3 frames, fewer than the 4 of a window, so they are repeated, as in train",
        ),
        (6, 1e9, "it is shorter than --window 1e+09, so its one window covers all of it (0.2 s)"),
    ],
)
def test_notes_on_short_videos(tmp_path, num_frames, window, note):
    write_video(tmp_path / "a.mp4", num_frames=num_frames)
    network = brightness_network(num_segments=2)
    settings = Settings(film=False, window=window)
    result = predict_video(str(tmp_path / "a.mp4"), "a", tmp_path, network, settings)
    assert [note in given for given in result.notes] == [True]


def test_a_network_without_classes_writes_flow_and_film(video, tmp_path):
    network = brightness_network(class_names=(), feature_size=0, flow_starts=(0, 1, 2))
    settings = Settings(flow="flo", film_flow="over", film_height=48)
    result = predict_video(str(video), "a", tmp_path, network, settings)
    assert len(list((tmp_path / "a.flow_flo").glob("*.flo"))) == 69
    assert set(result.files) == {"film", "flow", "thumbnails"}
    assert result.segments == () and result.top == ()
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 70


def test_an_error_leaves_nothing(tmp_path, video):
    network = brightness_network()
    function = network.function

    def fail(frames):
        if len(network.batches) > 5:
            raise RuntimeError("stop")
        return function(frames)

    network.function = fail
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RuntimeError, match="stop"):
        predict_video(str(video), "a", out, network, Settings(features=True, film_height=32))
    assert list(out.iterdir()) == []


def test_a_file_that_is_no_video_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"text" * 100)
    with pytest.raises(VideoReadError, match="a.mp4"):
        predict_video(str(tmp_path / "a.mp4"), "a", tmp_path, brightness_network(), PLAIN)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_progress_and_windows_are_told(video, tmp_path):
    told, seen = [], []
    predict_video(
        str(video),
        "a",
        tmp_path,
        brightness_network(),
        PLAIN,
        progress=lambda done, of: told.append((done, of)),
        on_window=lambda path, result, frames: seen.append((path, result.window.first, frames)),
    )
    assert told[0] == (0.0, pytest.approx(2.8)) and told[-1][0] == pytest.approx(64 / 25)
    assert [first for _, first, _ in seen[:3]] == [0, 2, 4]
    assert seen[0][2].shape == (4, 16, 24, 3)
    json.dumps(told)
