"""Color wheel as the legend of flow images."""

import functools

import jax
import numpy as np

from afn_jax.ops.flow_color import flow_to_rgb
from afn_jax.viz.png import png_data_uri

# One program: operation by operation, compiling takes seconds.
_colors = jax.jit(functools.partial(flow_to_rgb, max_magnitude=1.0))


def flow_wheel(diameter: int = 128) -> np.ndarray:
    """Renders a disc whose color at each point is that of the flow from the center to that point.

    Args:
        diameter: in pixels.

    Returns:
        `[diameter, diameter, 4]` uint8 RGBA, transparent outside the disc; rim fully saturated.
    """
    axis = (np.arange(diameter) - (diameter - 1) / 2) / (diameter / 2)
    flow = np.stack(np.meshgrid(axis, axis), -1).astype(np.float32)  # (x, y) = (right, down)
    distance = np.linalg.norm(flow, axis=-1)
    colors = np.asarray(_colors(flow))
    edge = np.clip((1 - distance) * diameter / 2 + 0.5, 0, 1)  # one px of soft edge
    alpha = np.rint(edge * 255).astype(np.uint8)
    return np.concatenate([colors, alpha[..., None]], -1)


def flow_legend(diameter: int = 128) -> str:
    """Returns the wheel, labeled right, down, left and up, as an `<svg>` element."""
    width, height, middle = diameter + 96, diameter + 44, diameter / 2
    left, top = 48, 22
    labels = [
        (left + diameter + 6, top + middle + 4, "start", "right"),
        (left + middle, top + diameter + 15, "middle", "down"),
        (left - 6, top + middle + 4, "end", "left"),
        (left + middle, top - 7, "middle", "up"),
    ]
    texts = "".join(
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'
        for x, y, anchor, text in labels
    )
    return (
        f'<svg class="flow-legend" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="Flow colors: the direction from the center '
        'of the wheel is the direction of motion" font-size="12" fill="currentColor">'
        f'<image x="{left}" y="{top}" width="{diameter}" height="{diameter}" '
        f'href="{png_data_uri(flow_wheel(2 * diameter))}"/>{texts}</svg>'
    )
