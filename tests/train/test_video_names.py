"""The comparison of names of videos, with values written by hand."""

import pytest

from train.video_names import name_key


@pytest.mark.parametrize(
    "first, second, same",
    [
        ("Run/a.avi", "run/a.avi", True),
        ("Jump up/a.avi", "jump_up/a.avi", True),
        ("Caf\u00e9/\u00e9.avi", "Cafe\u0301/e\u0301.avi", True),
        ("x/Run/a.avi#t=1,2", "X/run/a.avi#t=1,2", True),
        ("Run/a.avi#class=Run", "run/a.avi#class=run", True),
        ("Run/a.avi", "Run/A.avi", False),
        ("Run/a b.avi", "Run/a_b.avi", False),
        ("x/Run/a.avi#t=1,2", "x/Run/a.avi#t=1,3", False),
        ("run\udcff/a.avi", "run/a.avi", False),
    ],
)
def test_the_spelling_of_folders_does_not_matter(first, second, same):
    key = name_key([first], [second])
    assert (key(first) == key(second)) == same


def test_folders_that_differ_in_spelling_alone_stay_apart():
    key = name_key(["Run/1.avi", "run/2.avi"], ["Run/3.avi"])
    assert key("Run/1.avi") != key("run/1.avi")
