"""Colors of classes."""

import numpy as np

from afn_jax.viz import UNKNOWN, class_colors, css_color

# Machado, Oliveira and Fernandes 2009, severity 1.0: protanopia, deuteranopia, tritanopia; for
# linear RGB.
DEFICIENCIES = np.array(
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]],
    ]
)  # fmt: skip


def linear(colors):
    colors = np.asarray(colors) / 255
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Maps linear RGB to CIE L*a*b*, in which distances are those that are seen."""
    xyz = np.clip(rgb, 0, 1) @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    x, y, z = np.moveaxis(np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856)), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def test_the_first_seven_differ_for_every_color_vision():
    colors = linear(np.concatenate([class_colors(7), [UNKNOWN]]))
    for matrix in (np.eye(3), *DEFICIENCIES):
        seen = lab(colors @ matrix.T)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 1e3 * np.eye(8)
        assert apart.min() > 9  # 2.3 is just noticeable


def test_colors_are_stable_and_differ():
    assert class_colors(0).shape == (0, 3)
    many = class_colors(49)
    np.testing.assert_array_equal(many[:5], class_colors(5))
    assert len(np.unique(many, axis=0)) == 49
    assert class_colors(200).dtype == np.uint8
    assert css_color(many[0]) == "#e69f00"
