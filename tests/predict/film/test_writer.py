"""Annotated videos, decoded again."""

import numpy as np
import pytest

from afn_jax.predict.film.layout import layout, shown_size
from afn_jax.predict.film.mp4 import Mp4Writer
from afn_jax.predict.film.timeline import Timeline
from afn_jax.predict.film.writer import FilmWriter
from afn_jax.viz.class_colors import class_colors
from tests.predict.film.decoded_film import close, decoded, gray

NAMES = ("walk", "run", "wave")
TIMES = (0.0, 0.04, 0.1, 0.35, 0.36, 1.0, 1.9)  # a frame rate that varies


def film(path, pictures, times, probabilities=None, flows=None, **settings):
    """Writes a film and returns it decoded."""
    probabilities = [None] * len(times) if probabilities is None else probabilities
    flows = [None] * len(times) if flows is None else flows
    height, width = pictures[0].shape[:2]
    with FilmWriter(path, height=height, width=width, **settings) as writer:
        for frame in zip(pictures, times, probabilities, flows, strict=True):
            writer.add(*frame)
    return decoded(path)


def test_times_label_and_strip(tmp_path):
    labels = [0, 0, 1, 1, 1, None, 2]
    probabilities = [np.full(3, np.nan) if k is None else 0.1 + 0.7 * np.eye(3)[k] for k in labels]
    pictures = [gray(96, 128, 100 + 10 * i) for i in range(7)]
    times, frames = film(
        tmp_path / "a.mp4", pictures, TIMES, probabilities, class_names=NAMES, duration=2.0
    )
    np.testing.assert_allclose(times, TIMES, atol=1e-4)
    place = layout((96, 128), beside=False, labeled=True, legend_rows=1)
    assert place.picture.height == 288  # enlarged three times, to at least 240
    assert frames.shape[1] % 2 == 0 and frames.shape[2] == place.width == 384
    for index, picture in enumerate(pictures):
        above = frames[index, : place.label.y - 2, : place.picture.width]
        assert close(above, picture[0, 0]).mean() > 0.99
    bar = place.label.of(frames[3])
    assert close(bar[4, 4], 0.42 * pictures[3][0, 0])  # the picture shines through
    assert (bar.min(-1) > 200).sum() > 30  # white letters
    # 80 % of the width have the color of the class.
    assert close(bar[-2, : int(0.79 * 384)], class_colors(3)[1]).all()
    assert not close(bar[-2, int(0.82 * 384) :], class_colors(3)[1]).any()

    strip = place.strip.of(frames[-1])[place.strip.height // 2]
    seconds = (np.arange(place.strip.width) + 0.5) / place.strip.width * 2.0
    for start, end, color in [
        (0.0, 0.04, class_colors(3)[0]),
        (0.04, 0.36, class_colors(3)[1]),
        (0.36, 1.0, (128, 128, 128)),
        (1.0, 1.88, class_colors(3)[2]),
    ]:
        # What is between two frames is drawn with the second one.
        inside = (seconds > start + 0.02) & (seconds < end - 0.02)
        assert close(strip[inside], color).all()
    assert close(strip[seconds > 1.95], (58, 62, 71)).all()  # still to come
    assert (strip[np.abs(seconds - 1.9) < 0.02].min(-1) > 180).any()  # the playhead


def test_strip_of_unknown_duration_shows_the_last_minute(tmp_path):
    times = [0.0, 30.0, 50.0, 100.0]
    _, frames = film(
        tmp_path / "a.mp4", [gray(240, 320)] * 4, times, np.eye(3)[[0, 1, 2, 2]], class_names=NAMES
    )
    place = layout((240, 320), beside=False, labeled=True, legend_rows=1)
    middle, width = place.strip.height // 2, place.strip.width
    early, late = (place.strip.of(frames[i])[middle] for i in (2, 3))
    assert close(early[2 : int(0.45 * width)], class_colors(3)[0]).all()
    assert close(early[int(0.55 * width) : int(0.8 * width)], class_colors(3)[1]).all()
    assert close(early[int(0.9 * width) :], (58, 62, 71)).all()
    # From 40 s to 100 s: 10 s of the second class, then the third.
    assert close(late[2 : int(0.15 * width)], class_colors(3)[1]).all()
    assert close(late[int(0.2 * width) : int(0.95 * width)], class_colors(3)[2]).all()


def test_hours_move_the_legend_without_remains():
    place = layout((96, 128), beside=False, labeled=True, legend_rows=1)
    drawn = []
    for first in (0.0, 3600.0):
        image = np.zeros((place.height, place.width, 3), np.uint8)
        timeline = Timeline(place, NAMES, duration=4000.0)
        for time in (first, 3700.0):
            timeline.draw(image, time, 0)
        drawn.append(place.legend.of(image))
    assert np.array_equal(*drawn)


def test_flow_beside_and_over(tmp_path):
    flow = np.zeros((10, 20, 2), np.float32)
    flow[:, 10:, 0] = 4.0  # the right half moves right: red
    flow[0, 0] = np.nan
    for place in ("beside", "over"):
        path = tmp_path / f"{place}.mp4"
        pictures = [gray(241, 333)] * 2
        _, frames = film(path, pictures, [0, 1], flows=[flow, None], flow=place)
        arranged = layout((241, 333), beside=place == "beside", labeled=False, legend_rows=1)
        panel = (arranged.flow or arranged.picture).of(frames[0])
        red, blue = panel[200, 300].astype(int)[[0, 2]]
        assert red - blue > 120
        assert close(panel[200, 50], (255,) * 3 if place == "beside" else (120,) * 3)
        without = (arranged.flow or arranged.picture).of(frames[1])
        assert close(without[200, 300], (40, 43, 50) if place == "beside" else (120,) * 3)


@pytest.mark.parametrize("size", [(1, 1), (240, 1), (1, 300), (97, 131), (2, 5)])
def test_any_size_gives_even_sides(tmp_path, size):
    flow = np.ones((3, 3, 2))
    times, frames = film(
        tmp_path / "a.mp4",
        [gray(*size)] * 2,
        [0.0, 0.0],  # equal times: the second is shown a moment later
        [np.array([0.5, np.nan, 0.2]), None],
        [flow, flow],
        class_names=("long " * 100, "走る", ""),
        flow="beside",
        duration=0.0,
    )
    assert len(frames) == 2 and times[1] > times[0]
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0 and frames.shape[2] >= 320


def test_sizes_of_pictures():
    assert shown_size(96, 128) == (288, 384)
    assert shown_size(480, 640) == (480, 640)
    assert shown_size(2160, 3840) == (1080, 1920)
    assert shown_size(1, 400) == (3, 1200)
    assert shown_size(1, 10_000) == (1, 1920)


def test_more_classes_than_colors_and_rows(tmp_path):
    names = tuple(f"class number {i}" for i in range(101))
    times = np.arange(101) / 25
    _, frames = film(
        tmp_path / "a.mp4",
        [gray(96, 96)] * 101,
        times,
        np.eye(101),
        class_names=names,
        duration=4.04,
    )
    place = layout((96, 96), beside=False, labeled=True, legend_rows=2)
    assert frames.shape == (101, place.height, place.width, 3)
    # The last row of the legend is full, and nothing is drawn on its border.
    legend = frames[-1, place.strip.y + place.strip.height + 8 :]
    assert (legend[-place.row :].max(-1) > 150).any()
    assert close(legend[:, -place.legend.x // 2 :], (24, 26, 31)).all()


def test_an_error_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    for add, message in [
        (lambda film: film.add(gray(5, 6), 0.0), "picture: got uint8 of shape .5, 6, 3."),
        (lambda film: film.add(gray(96, 96), np.nan), "time: got nan"),
        (lambda film: film.add(gray(96, 96), 0.0, np.ones(4)), "probabilities: got shape .4,."),
        (lambda film: film.add(gray(96, 96), 0.0, None, np.ones((4, 4))), "flow: got shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            with FilmWriter(path, height=96, width=96, class_names=NAMES, flow="over") as film:
                film.add(gray(96, 96), 0.0)
                add(film)
        assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with FilmWriter(path, height=96, width=96):
        pass  # no frames
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="no/a.mp4"):
        FilmWriter(tmp_path / "no" / "a.mp4", height=96, width=96)


def test_rejects_bad_settings(tmp_path):
    for settings, message in [
        ({"height": 0, "width": 3}, "size: got 0 x 3"),
        ({"height": 3, "width": 3, "flow": "under"}, "flow: got 'under'; allowed: none, beside"),
        ({"height": 3, "width": 3, "max_magnitude": 0}, "max_magnitude: got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            FilmWriter(tmp_path / "a.mp4", **settings)
    with pytest.raises(ValueError, match="both sides must be even"):
        Mp4Writer(tmp_path / "a.mp4", height=3, width=4)


def test_mpeg_4_where_h264_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("afn_jax.predict.film.mp4._codec", lambda height, width: "mpeg4")
    times, frames = film(tmp_path / "a.mp4", [gray(96, 96, 90)] * 7, TIMES)
    np.testing.assert_allclose(times, TIMES, atol=1e-4)
    assert close(frames[:, 50, 160], (90, 90, 90)).all()


def test_the_index_stands_before_the_pictures(tmp_path):
    """Browsers show a video before all of it is loaded."""
    film(tmp_path / "a.mp4", [gray(96, 96)], [0.0])
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
