"""Placing arrays of a former run: each one is placed, excused, or an error."""

import numpy as np
import pytest

from train.graft import graft


def tree(**layers):
    """Makes one array per layer, filled with its number; "__" in a name separates levels."""
    params = {}
    for number, (name, shape) in enumerate(layers.items()):
        *parents, leaf = name.split("__")
        place = params
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = {"kernel": np.full(shape, number + 1.0, np.float32)}
    return {"params": params, "batch_stats": {}}


def test_a_former_network_becomes_a_subtree():
    former = tree(conv1=(2,), decoder__conv=(3,))
    new = tree(temporal__fc=(4,), motionnet__conv1=(2,), motionnet__decoder__conv=(3,))
    result, report = graft(new, former, at="motionnet")
    params = result["params"]
    np.testing.assert_array_equal(params["motionnet"]["conv1"]["kernel"], [1, 1])
    np.testing.assert_array_equal(params["motionnet"]["decoder"]["conv"]["kernel"], [2, 2, 2])
    np.testing.assert_array_equal(params["temporal"]["fc"]["kernel"], [1, 1, 1, 1])
    assert report.fresh == ("temporal/fc/kernel",) and report.unused == ()
    assert str(report) == "2 arrays loaded\n  fresh here: temporal/fc (kernel)"


def test_a_subtree_becomes_a_network():
    _, report = graft(tree(b__x=(2,)), tree(a__x=(2,), y=(3,)), part="a", at="b")
    assert report.loaded == ("b/x/kernel",) and report.unused == ("y/kernel",)
    _, report = graft(tree(x=(2,)), tree(a__x=(2,), ab__x=(3,)), part="a")
    assert report.loaded == ("x/kernel",) and report.unused == ("ab/x/kernel",)


def test_rejects_differences_on_either_side_unless_excused():
    new, former = (
        tree(encoder=(2,), classifier=(5,)),
        tree(encoder=(2,), classifier=(4,), flow=(1,)),
    )
    with pytest.raises(ValueError) as error:
        graft(new, former)
    assert "classifier/kernel has shape (5,) in this network, (4,) in the run" in str(error.value)
    assert "flow/kernel is only in the run" in str(error.value)
    with pytest.raises(ValueError, match="flow/kernel is only in the run"):
        graft(new, former, skip=("^classifier/",))
    with pytest.raises(ValueError, match="head/kernel is only in this network"):
        graft(tree(encoder=(2,), head=(1,)), tree(encoder=(2,)))
    _, report = graft(new, former, skip=("^classifier/", "^flow/"))
    assert report.loaded == ("encoder/kernel",)
    assert report.fresh == ("classifier/kernel",)
    assert report.unused == ("classifier/kernel", "flow/kernel")


def test_rejects_parts_and_expressions_that_fit_nothing():
    both = tree(a=(2,))
    for choice, message in (
        ({"skip": ("(",)}, "init.run_skip: got"),
        ({"skip": (".*",), "at": "b"}, "no array is in both"),
        ({"part": "b"}, "only in this network"),
    ):
        with pytest.raises(ValueError, match=message):
            graft(both, both, **choice)
