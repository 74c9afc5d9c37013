"""Squares of the confusion matrix: positions, counts, opacity and tooltips."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from afn_jax.viz import confusion_matrix


def squares(svg):
    """Returns (tooltip, rectangle, number or None) for each square."""
    groups = ElementTree.fromstring(svg).iter("g")
    return [
        (group.find("title").text, group.find("rect"), getattr(group.find("text"), "text", None))
        for group in groups
    ]


def opacity(rectangle):
    return float(re.search(r"fill-opacity:([\d.]+)", rectangle.get("style"))[1])


def test_rows_are_true_and_columns_predicted():
    found = squares(confusion_matrix(np.array([[7, 3], [0, 0]]), ["run", "walk"]))
    assert [number for *_, number in found] == ["7", "3", "0", "0"]
    tip, rectangle, _ = found[1]
    assert tip == "run predicted as walk: 3 of 10"
    assert float(rectangle.get("x")) > float(found[0][1].get("x"))
    assert rectangle.get("y") == found[0][1].get("y")
    assert float(found[2][1].get("y")) > float(rectangle.get("y"))


def test_opacity_is_the_share_of_the_row_and_hue_separates_correct_from_wrong():
    found = squares(confusion_matrix(np.array([[6, 2], [500, 500]]), ["a", "b"]))
    shades = [opacity(rectangle) for _, rectangle, _ in found]
    assert shades == pytest.approx([0.76, 0.28, 0.52, 0.52], abs=0.01)  # 0.04 + 0.96 * share
    hues = [rectangle.get("style").split(";")[0] for _, rectangle, _ in found]
    assert hues[0] == hues[3] != hues[1] == hues[2]


def test_many_classes_show_squares_without_numbers():
    counts = np.diag(np.arange(101))
    counts[3, 70] = 1
    svg = confusion_matrix(counts, [f"class {index}" for index in range(101)])
    found = squares(svg)
    assert len(found) == 101  # 100 on the diagonal (class 0 has no clips) and one error
    assert all(number is None for *_, number in found)
    assert "class 3 predicted as class 70: 1 of 4" in {tip for tip, *_ in found}
    assert float(ElementTree.fromstring(svg).get("width")) < 1100


def test_long_names_are_cut_but_complete_in_the_tooltip():
    name = "a very long name <of> a class & more"
    root = ElementTree.fromstring(confusion_matrix(np.array([[1]]), [name]))
    label = next(text for text in root.iter("text") if text.find("title") is not None)
    assert label.find("title").text == name
    assert label.find("title").tail == "a very long name <of> a c…"


@pytest.mark.parametrize("counts", [np.zeros((2, 3)), np.zeros(2), np.zeros((3, 3))])
def test_rejects_wrong_shapes(counts):
    with pytest.raises(ValueError, match=r"confusion: got shape .* but 2 class names need .*2, 2"):
        confusion_matrix(counts, ["a", "b"])


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, np.inf])
def test_rejects_values_that_are_not_counts(value):
    with pytest.raises(ValueError, match="confusion: got values that are not counts"):
        confusion_matrix(np.array([[value]]), ["a"])


def test_rejects_empty_class_names():
    with pytest.raises(ValueError, match="class_names: got none"):
        confusion_matrix(np.zeros((0, 0)), [])
