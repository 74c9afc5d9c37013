"""Plots and images: flow, error maps, curves, confusion matrices. NumPy in, uint8 or SVG out."""

from afn_jax.viz.class_colors import UNKNOWN, class_colors, css_color
from afn_jax.viz.clip_figure import (
    error_pictures,
    fit,
    flow_pictures,
    flow_scale,
    heat_colors,
    heat_colours,
    mean_endpoint_error,
)
from afn_jax.viz.confusion_matrix import check_confusion, confusion_matrix
from afn_jax.viz.curves import Series, line_chart, moving_average
from afn_jax.viz.flow_legend import flow_legend, flow_wheel
from afn_jax.viz.png import png_data_uri

__all__ = [
    "UNKNOWN",
    "Series",
    "check_confusion",
    "class_colors",
    "confusion_matrix",
    "css_color",
    "error_pictures",
    "fit",
    "flow_legend",
    "flow_pictures",
    "flow_scale",
    "flow_wheel",
    "heat_colors",
    "heat_colours",
    "line_chart",
    "mean_endpoint_error",
    "moving_average",
    "png_data_uri",
]
