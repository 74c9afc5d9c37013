"""The flow wheel and its legend: colors, shape and labels."""

from xml.etree import ElementTree

import numpy as np
import pytest

from afn_jax.viz import flow_legend, flow_wheel

# Fully saturated hues of the published wheel (Baker et al., IJCV 2011).
POINTS = {
    "right": ((16, 31), (255, 0, 0)),
    "down": ((31, 16), (255, 230, 0)),
    "left": ((16, 0), (0, 230, 255)),
    "up": ((0, 16), (80, 0, 255)),
}


@pytest.mark.parametrize("direction", POINTS)
def test_hue_of_each_direction(direction):
    (row, column), color = POINTS[direction]
    pixel = flow_wheel(33)[row + (direction == "down"), column + (direction == "right")]
    # The outermost pixel is not fully saturated and not exactly on the axis.
    assert np.abs(pixel[:3].astype(int) - color).max() < 50


def test_only_the_disc_is_opaque_and_its_center_is_white():
    wheel = flow_wheel(32)
    assert wheel.shape == (32, 32, 4)
    assert wheel[0, 0, 3] == 0 and wheel[16, 16, 3] == 255
    assert wheel[15:17, 15:17, :3].min() > 230
    assert (wheel[..., 3] > 127).mean() == pytest.approx(np.pi / 4, abs=0.02)


def test_legend_places_the_names_of_the_directions():
    root = ElementTree.fromstring(flow_legend(64))
    where = {text.text: (float(text.get("x")), float(text.get("y"))) for text in root.iter("text")}
    assert set(where) == {"right", "down", "left", "up"}
    assert where["left"][0] < where["up"][0] < where["right"][0]
    assert where["up"][1] < where["left"][1] < where["down"][1]
