"""Images of one clip: its frames, its flow, and the errors of the flow.

Everything is NumPy: flows are `[T, H, W, 2]`, (x, y) = (right, down) in pixels; images are
`[T, h, w, 3]` uint8 RGB, enlarged or reduced by an integer factor to a readable size.
"""

import numpy as np

from afn_jax.ops.flow_color import flow_to_rgb

MIN_HEIGHT, MAX_HEIGHT = 64, 128  # px of a picture on the page
STILL = 0.5  # px: full saturation never means less than this, or noise would look like motion
# From no error to the largest, dark to light: readable in grayscale too.
HEAT = np.array([(14, 12, 34), (84, 20, 104), (186, 48, 86), (244, 128, 44), (252, 244, 176)])
HATCH_DARK, HATCH_LIGHT, HATCH_PERIOD = 142, 170, 6


def fit(
    pictures: np.ndarray, *, min_height: int = MIN_HEIGHT, max_height: int = MAX_HEIGHT
) -> np.ndarray:
    """Enlarges small pictures (each pixel a square block), reduces large ones (mean of blocks).

    Args:
        pictures: `[T, H, W, C]`, any real type.
        min_height: pictures below this height are enlarged to at least this height.
        max_height: pictures above this height are reduced to at most this height.

    Returns:
        `[T, h, w, C]` of the same type, with h = H * k or ceil(H / k) for an integer k.
    """
    height, width = pictures.shape[1:3]
    if height < min_height:
        factor = -(-min_height // height)
        return pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    factor = -(-height // max_height)
    if factor <= 1:
        return pictures
    spare = ((0, 0), (0, -height % factor), (0, -width % factor), (0, 0))
    padded = np.pad(pictures, spare, mode="edge")
    time, height, width, channels = padded.shape
    blocks = padded.reshape(time, height // factor, factor, width // factor, factor, channels)
    mean = blocks.mean((2, 4))
    if np.issubdtype(pictures.dtype, np.integer):
        mean = np.rint(mean)
    return mean.astype(pictures.dtype)


def flow_scale(
    flow: np.ndarray | None, target: np.ndarray | None, mask: np.ndarray | None = None
) -> float:
    """Computes the magnitude, in pixels, that is shown at full saturation for a clip.

    It is the largest true motion if that is known, otherwise the 99th percentile of the predicted
    motion (so that a few outliers do not make the rest pale), and at least `STILL`.

    Args:
        flow: predicted, `[T, H, W, 2]`, or None.
        target: true, `[T, H, W, 2]`, or None.
        mask: `[T, H, W]`, True where `target` is valid; None = everywhere.
    """
    if target is not None:
        speed = np.linalg.norm(target, axis=-1)
        speed = speed[_valid(target, mask)]
        percentile = 100
    elif flow is not None:
        speed = np.linalg.norm(flow, axis=-1)
        speed = speed[np.isfinite(speed)]
        percentile = 99
    else:
        return STILL
    return max(STILL, float(np.percentile(speed, percentile))) if speed.size else STILL


def flow_pictures(
    flow: np.ndarray, *, max_magnitude: float, mask: np.ndarray | None = None, **size: int
) -> np.ndarray:
    """Renders flow with the standard color wheel, hatched where it is unknown.

    Args:
        flow: `[T, H, W, 2]`; values that are not finite are hatched.
        max_magnitude: magnitude in pixels shown at full saturation.
        mask: `[T, H, W]`; pixels that are False are hatched. None: no others are.
        **size: `min_height` and `max_height` of `fit`.

    Returns:
        `[T, h, w, 3]` uint8.
    """
    valid = _valid(flow, mask)
    known = np.where(valid[..., None], flow, 0).astype(np.float32)
    colors = np.asarray(flow_to_rgb(known, max_magnitude=float(max_magnitude)))
    return _fit_known(colors, valid, **size)


def error_pictures(
    flow: np.ndarray,
    target: np.ndarray,
    *,
    max_error: float,
    mask: np.ndarray | None = None,
    **size: int,
) -> np.ndarray:
    """Renders the endpoint error as a heat map, from dark (0) to light (`max_error` px or more).

    Args:
        flow: predicted, `[T, H, W, 2]`.
        target: true, `[T, H, W, 2]`.
        max_error: error in pixels shown in the lightest color.
        mask: `[T, H, W]`; pixels that are False are hatched. None: all finite targets are shown.
        **size: `min_height` and `max_height` of `fit`.

    Returns:
        `[T, h, w, 3]` uint8.
    """
    error = np.linalg.norm(np.asarray(flow, np.float32) - target, axis=-1)
    valid = _valid(target, mask)
    error = np.where(np.isnan(error), np.inf, error)  # a NaN prediction has infinite error
    heat = heat_colors(np.where(valid, error, 0) / max_error)
    return _fit_known(heat, valid, **size)


def mean_endpoint_error(
    flow: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Computes the mean endpoint error of each flow field.

    Args:
        flow: predicted, `[T, H, W, 2]`; values that are not finite have infinite error.
        target: true, `[T, H, W, 2]`; values that are not finite are ignored.
        mask: `[T, H, W]`, True where `target` is valid; None: everywhere.

    Returns:
        `[T]` px, NaN at times without a valid pixel.
    """
    valid = _valid(target, mask)
    error = np.linalg.norm(
        np.asarray(flow, np.float64) - np.where(valid[..., None], target, 0), axis=-1
    )
    error = np.where(np.isnan(error), np.inf, error)
    error = np.where(valid, error, 0)
    count = valid.sum((1, 2))
    return np.where(count > 0, error.sum((1, 2)) / np.maximum(count, 1), np.nan)


def heat_colors(values: np.ndarray) -> np.ndarray:
    """Maps `values` `[...]` to RGB `[..., 3]` uint8: dark at 0, light at 1 and above."""
    stops = np.linspace(0, 1, len(HEAT))
    values = np.clip(values, 0, 1)
    channels = [np.interp(values, stops, HEAT[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


heat_colours = heat_colors  # the former name, kept for one release


def _valid(flow: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    finite = np.isfinite(flow).all(-1)
    return finite if mask is None else finite & np.asarray(mask, bool)


def _fit_known(pictures: np.ndarray, valid: np.ndarray, **size: int) -> np.ndarray:
    """Resizes images like `fit`, using only the pixels where `valid` `[T, H, W]` is True.

    Blocks without a valid pixel are hatched with gray diagonal stripes.
    """
    share = fit(valid[..., None].astype(np.float32), **size)
    shown = fit(np.where(valid[..., None], pictures, 0).astype(np.float32), **size)
    pictures = np.rint(shown / np.where(share > 0, share, 1)).astype(np.uint8)
    height, width = pictures.shape[1:3]
    diagonal = np.arange(height)[:, None] + np.arange(width)
    stripe = np.where(diagonal % HATCH_PERIOD < HATCH_PERIOD // 3, HATCH_LIGHT, HATCH_DARK)
    return np.where(share > 0, pictures, stripe[..., None].astype(np.uint8))
