"""Line charts, read back from their SVG and compared with the plotted numbers."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from afn_jax.viz import Series, line_chart, moving_average
from afn_jax.viz.curves import round_ticks, tick_text

LABELS = {"title": "Loss", "x_label": "step", "y_label": "nats"}


def paths(svg):
    """Returns the points `[N, 2]` of each line in the plot, and the styles of the lines."""
    root = ElementTree.fromstring(svg)
    inner = root.find("svg")
    points = [
        np.array([point.split() for point in re.split("[ML]", path.get("d"))[1:]], float)
        for path in inner.iter("path")
    ]
    return points, [path.get("style") for path in inner.iter("path")]


def test_moving_average_matches_a_loop():
    values = np.random.default_rng(0).normal(size=20)
    values[[3, 4, 11]] = np.nan
    result = moving_average(values, 5)
    for index in range(20):
        near = values[max(0, index - 2) : index + 3]
        assert result[index] == pytest.approx(np.nanmean(near))


def test_moving_average_of_nans_is_nan():
    assert np.isnan(moving_average(np.full(4, np.nan), 3)).all()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (3, 17, [5, 10, 15]),
        (-0.02, 0.03, [-0.02, -0.01, 0, 0.01, 0.02, 0.03]),
    ],
)
def test_ticks_are_round(low, high, expected):
    np.testing.assert_allclose(round_ticks(low, high), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1 + 0.2, "0.3"), (5000, "5000"), (20000, "20k"), (1.5e6, "1.5M"), (-0.0, "0"), (2e9, "2G")],
)
def test_tick_text(value, text):
    assert tick_text(value).removeprefix("-") == text


def test_points_are_linear_in_the_numbers():
    x, y = [0, 10, 20, 40], [1.0, 3.0, 2.0, 4.0]
    (points,), _ = paths(line_chart([Series("a", x, y)], **LABELS))
    # Pixels are a linear function of the numbers, and y points down in SVG.
    across = np.polyfit(x, points[:, 0], 1)
    np.testing.assert_allclose(np.polyval(across, x), points[:, 0], atol=0.1)
    up = np.polyfit(y, points[:, 1], 1)
    np.testing.assert_allclose(np.polyval(up, y), points[:, 1], atol=0.1)
    assert across[0] > 0 > up[0]


def test_axis_starts_at_zero_if_nothing_is_negative():
    root = ElementTree.fromstring(line_chart([Series("a", [0, 1], [3.0, 4.0])], **LABELS))
    assert "0" in {text.text for text in root.iter("text") if text.get("text-anchor") == "end"}


def test_logarithmic_axis_skips_zero():
    x, y = [0, 1, 2, 3], [0.01, 1.0, 0.0, 100.0]
    (points,), _ = paths(line_chart([Series("a", x, y)], log_y=True, **LABELS))
    assert len(points) == 3  # zero has no logarithm
    assert points[0, 1] - points[1, 1] == pytest.approx(points[1, 1] - points[2, 1], abs=0.2)


def test_smooth_line_is_drawn_over_its_faint_raw_values():
    y = np.random.default_rng(0).normal(size=100) + 5
    points, styles = paths(line_chart([Series("a", range(100), y, smooth=True)], **LABELS))
    assert "stroke-opacity" in styles[0] and "stroke-opacity" not in styles[1]
    assert np.abs(np.diff(points[1][:, 1])).mean() < 0.6 * np.abs(np.diff(points[0][:, 1])).mean()


def test_reference_is_dashed():
    _, styles = paths(line_chart([Series("chance", [0, 1], [2, 2], reference=True)], **LABELS))
    assert "stroke-dasharray" in styles[0]


def test_values_that_are_not_finite_leave_a_gap_and_are_counted():
    svg = line_chart([Series("a", range(6), [1, 2, np.nan, 3, np.inf, 4])], **LABELS)
    assert "not finite, not drawn: 2" in svg
    assert re.search("nan|inf", svg.replace("not finite", "")) is None
    assert paths(svg)[0][0].shape == (4, 2)
    path = next(ElementTree.fromstring(svg).find("svg").iter("path")).get("d")
    assert path.count("M") == 3


@pytest.mark.parametrize("y", [[np.nan], [2.0], [0.0], [-3.0]])
@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("smooth", [False, True])
def test_draws_a_single_value(y, log_y, smooth):
    svg = line_chart([Series("a", [5], y, smooth=smooth)], log_y=log_y, **LABELS)
    assert re.search("nan|inf", svg.replace("not finite", "")) is None
    drawn = np.isfinite(y[0]) and (y[0] > 0 or not log_y)
    assert ("<circle" in svg) == drawn


def test_labels_are_escaped():
    svg = line_chart([Series("<b>&", [0], [1])], title="<i>", x_label="<u>", y_label='"&')
    texts = {text.text for text in ElementTree.fromstring(svg).iter("text")}
    assert {"<b>&", "<i>", "<u>", '"&'} <= texts


def test_rejects_empty_series():
    with pytest.raises(ValueError, match="series: got none, but a chart needs at least one"):
        line_chart([], **LABELS)


def test_rejects_x_and_y_of_different_lengths():
    with pytest.raises(ValueError, match="series 'a': got 2 x and 1 y values"):
        line_chart([Series("a", [0, 1], [1])], **LABELS)
