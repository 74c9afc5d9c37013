import csv

import numpy as np
import pytest

from afn_jax.data.sources.lists.csv_list import read_whole_csv
from afn_jax.predict.suggest.suggestions import OVERSAMPLE, PICTURE_HEIGHT, Suggestions, uncertainty

NAMES = ("walk", "run", "jump")
FRAMES = np.zeros((8, 4, 6, 3), np.uint8)


def _sure(share: float) -> np.ndarray:
    """Probabilities with margin uncertainty `1 - share`."""
    rest = (1 - share) / 3
    return np.array([share + rest, rest, rest], np.float32)


def _offer(suggestions, path, shares, *, step=1.0, length=1.0, features=None):
    for i, share in enumerate(shares):
        extra = () if features is None else (np.asarray(features[i], np.float32),)
        suggestions.add(path, i * step, i * step + length, _sure(share), FRAMES, *extra)


def _chosen(suggestions):
    return [(item.path, item.start) for item in suggestions.choose()]


@pytest.mark.parametrize(
    "probabilities, margin, entropy",
    [
        ([1.0, 0.0, 0.0], 0.0, 0.0),
        ([1 / 3, 1 / 3, 1 / 3], 1.0, 1.0),
        ([0.5, 0.5, 0.0], 1.0, np.log(2) / np.log(3)),
        ([0.5, 0.25, 0.25], 0.75, 1.5 * np.log(2) / np.log(3)),
    ],
)
def test_uncertainty_of_hand_computed_cases(probabilities, margin, entropy):
    probabilities = np.array(probabilities, np.float32)
    assert uncertainty(probabilities, "margin") == pytest.approx(margin, abs=1e-6)
    assert uncertainty(probabilities, "entropy") == pytest.approx(entropy, abs=1e-6)


def test_suggests_the_least_certain_windows_first():
    suggestions = Suggestions(2, NAMES)
    _offer(suggestions, "a.mp4", [0.9, 0.3, 0.8, 0.1])
    assert _chosen(suggestions) == [("a.mp4", 3.0), ("a.mp4", 1.0)]


def test_suggested_windows_do_not_overlap():
    suggestions = Suggestions(3, NAMES)
    _offer(suggestions, "a.mp4", [0.5, 0.1, 0.2, 0.6, 0.4], step=0.5)
    # The window at 0.5 s ends at 1.5 s, and that at 1.5 s has only a worse neighbor at 2.0 s.
    assert _chosen(suggestions) == [("a.mp4", 0.5), ("a.mp4", 2.0)]


def test_spreads_suggestions_over_the_videos():
    suggestions = Suggestions(3, NAMES)
    _offer(suggestions, "a.mp4", [0.01, 0.02, 0.03])
    _offer(suggestions, "b.mp4", [0.5])
    _offer(suggestions, "c.mp4", [0.6, 0.7])
    assert _chosen(suggestions) == [("a.mp4", 0.0), ("b.mp4", 0.0), ("c.mp4", 0.0)]


def test_takes_more_of_a_video_if_the_others_are_too_short():
    suggestions = Suggestions(4, NAMES)
    _offer(suggestions, "a.mp4", [0.1, 0.2, 0.3])
    _offer(suggestions, "b.mp4", [0.5])
    assert [path for path, _ in _chosen(suggestions)].count("a.mp4") == 3


def test_suggests_all_windows_if_there_are_fewer():
    suggestions = Suggestions(20, NAMES)
    _offer(suggestions, "a.mp4", [0.1, 0.2])
    assert len(suggestions.choose()) == 2
    assert Suggestions(20, NAMES).choose() == ()


def test_features_prefer_a_different_window_to_a_copy():
    shares, features = [0.1, 0.11, 0.3], [[1, 0], [2, 0], [0, 1]]
    with_features, without = Suggestions(2, NAMES), Suggestions(2, NAMES)
    _offer(with_features, "a.mp4", shares, features=features)
    _offer(without, "a.mp4", shares)
    assert _chosen(with_features) == [("a.mp4", 0.0), ("a.mp4", 2.0)]
    assert _chosen(without) == [("a.mp4", 0.0), ("a.mp4", 1.0)]


def test_whole_videos_are_compared_by_their_mean():
    suggestions = Suggestions(1, NAMES, whole_videos=True)
    _offer(suggestions, "one-bad-window.mp4", [0.0, 1.0, 1.0])  # mean 2/3
    _offer(suggestions, "unsure.mp4", [0.5, 0.5])
    (item,) = suggestions.choose()
    assert (item.path, item.start, item.end) == ("unsure.mp4", None, None)
    np.testing.assert_allclose(item.probabilities, _sure(0.5), atol=1e-6)


def test_keeps_few_windows_of_many_videos():
    rng = np.random.default_rng(0)
    suggestions, best = Suggestions(3, NAMES), []
    for video in range(40):
        shares = rng.uniform(0, 1, 30)
        _offer(suggestions, f"{video:02}.mp4", shares)
        best.append((shares.min(), f"{video:02}.mp4", float(shares.argmin())))
        assert len(suggestions._pool) + len(suggestions._current) <= 4 * OVERSAMPLE * 3
    assert _chosen(suggestions) == [(path, start) for _, path, start in sorted(best)[:3]]


def test_a_window_without_finite_probabilities_is_ignored():
    suggestions = Suggestions(1, NAMES)
    suggestions.add("a.mp4", 0, 1, np.array([np.nan, 0, 0]), FRAMES)
    assert suggestions.choose() == ()


def test_keeps_copies_of_small_pictures():
    frames = np.full((3, 480, 640, 3), 7, np.uint8)
    suggestions = Suggestions(1, NAMES)
    suggestions.add("a.mp4", 0, 1, _sure(0.5), frames)
    frames[:] = 0
    (item,) = suggestions.choose()
    assert [picture.shape for picture in item.pictures] == [(PICTURE_HEIGHT, 160, 3)] * 3
    assert item.pictures[0].min() == 7


def test_pictures_of_a_whole_video_are_spread_over_it():
    suggestions = Suggestions(1, NAMES, whole_videos=True)
    for i in range(40):
        frames = np.full((3, 8, 8, 3), i, np.uint8)
        suggestions.add("a.mp4", i, i + 1, _sure(0.9 if i else 0.1), frames)
    (item,) = suggestions.choose()
    levels = [int(picture.mean()) for picture in item.pictures]
    assert len(levels) == 6 and levels == sorted(levels)
    assert levels[0] < 8 and levels[-1] > 30


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"count": 0}, "suggest: got 0.*1 or more"),
        ({"by": "margn"}, "suggest_by.*margn.*margin"),
        ({"class_names": ("walk",)}, "1 classes.*two or more"),
    ],
)
def test_rejects_wrong_settings(arguments, message):
    arguments = {"count": 3, "class_names": NAMES} | arguments
    with pytest.raises(ValueError, match=message):
        Suggestions(arguments.pop("count"), arguments.pop("class_names"), **arguments)


def test_names_of_any_bytes_survive_the_table(tmp_path):
    name = str(tmp_path / "caf\udce9.avi")
    suggestions = Suggestions(1, ("walk", "run"))
    suggestions.add(name, 0, 1, np.array([0.6, 0.4]), np.zeros((4, 8, 8, 3), np.uint8))
    table = tmp_path / "suggest.csv"
    suggestions.write(table, tmp_path / "suggest.html")
    filled = table.read_text(encoding="utf-8").replace(".avi,,", ".avi,walk,")
    table.write_text(filled, encoding="utf-8")
    (entry,) = read_whole_csv(tmp_path, table).entries
    assert str(tmp_path / entry.path) == name


def test_writes_a_table_and_a_page(tmp_path):
    suggestions = Suggestions(2, ("pour <tea>", "cut, slice"))
    frames = np.full((4, 8, 8, 3), (250, 5, 5), np.uint8)
    suggestions.add("/videos/a & b.mp4", 1, 2.5, np.array([0.6, 0.4]), frames)
    suggestions.add("c.mp4", 0, 1, np.array([0.1, 0.9]), frames)
    table, page = tmp_path / "suggest-2.csv", tmp_path / "suggest-2.html"
    suggestions.write(table, page)
    assert "<code>suggest-2.csv</code>" in page.read_text()
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert rows[0] == {
        "path": "/videos/a & b.mp4",
        "label": "",
        "start": "1.000",
        "end": "2.500",
        "guess": "pour <tea>",
        "probability": "0.600",
    }
    assert rows[1]["path"].startswith("/") and rows[1]["guess"] == "cut, slice"
    text = page.read_text(encoding="utf-8")
    assert "a &amp; b.mp4" in text and "pour &lt;tea&gt; 60 %" in text and "1.00 to 2.50 s" in text
    assert text.count("data:image/jpeg;base64,") == 8
