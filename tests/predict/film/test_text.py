"""Texts on frames: characters that can be drawn, and widths that fit."""

import cv2
import pytest

from afn_jax.predict.film.text import clock, drawable_name, shortened, text_width
from tests.predict.film.decoded_film import gray


@pytest.mark.parametrize(
    "name, ascii_only, everything",
    [
        ("hand shake", "hand shake", "hand shake"),
        ("naïve Größe", "naive Grosse", "naïve Größe"),
        ("走る", "class 7", "走る"),
        ("走る 2", "class 7", "走る 2"),
        ("مشي", "class 7", "class 7"),
        ("a\nb\tc", "a b c", "a b c"),
        ("", "class 7", "class 7"),
        ("caf\udce9", "caf", "caf"),
        ("\U0001f600", "class 7", "class 7"),
        ("dive \U0001f600", "dive", "dive"),
    ],
)
def test_names_that_opencv_cannot_draw(name, ascii_only, everything):
    assert drawable_name(name, 7, unicode=False) == ascii_only
    assert drawable_name(name, 7, unicode=True) == everything
    picture = gray(20, 90)
    cv2.putText(picture, drawable_name(name, 7), (0, 15), 0, 0.5, (0, 0, 0))
    assert (picture < 50).any()


def test_texts_fit():
    for width in (0, 10, 60, 200):
        assert text_width(shortened("a long name of a class", 12, width), 12) <= width
    assert shortened("walk", 12, 100) == "walk"
    assert shortened("a long name of a class", 12, 90).endswith("...")


def test_clock():
    times = (0, 0.3, 2.8, 59.99, 61, 3599.99, 3600.04)
    words = ["00:00.0", "00:00.3", "00:02.8", "00:59.9", "01:01.0", "59:59.9", "1:00:00.0"]
    assert [clock(time) for time in times] == words
