"""Reference warping and loss terms in plain NumPy, as printed in the papers."""

import math

import numpy as np


def warp(image, flow, padding="border"):
    """Warps one image, pixel by pixel and corner by corner."""
    height, width = image.shape[:2]
    warped = np.zeros(image.shape)
    for row, column in np.ndindex(height, width):
        x, y = column + float(flow[row, column, 0]), row + float(flow[row, column, 1])
        for corner_y in (math.floor(y), math.floor(y) + 1):
            for corner_x in (math.floor(x), math.floor(x) + 1):
                weight = (1 - abs(y - corner_y)) * (1 - abs(x - corner_x))
                inside = 0 <= corner_x < width and 0 <= corner_y < height
                if inside or padding == "border":
                    nearest_y = min(max(corner_y, 0), height - 1)
                    nearest_x = min(max(corner_x, 0), width - 1)
                    warped[row, column] += weight * image[nearest_y, nearest_x]
    return warped


def penalty(x, alpha, epsilon=1e-3):
    return (x**2 + epsilon**2) ** alpha


def mean_cross_entropy(logits, labels):
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.mean(np.log(probabilities[np.arange(len(labels)), labels]))


def mean_endpoint_error(flow, target, mask=None):
    errors = np.hypot(flow[..., 0] - target[..., 0], flow[..., 1] - target[..., 1])
    return np.mean(errors if mask is None else errors[mask])


def _differences(x, mask, axis):
    """Returns `[n, C]` differences of neighbors of `[..., H, W, C]` where both are valid."""
    difference = np.diff(x, axis=axis)
    if mask is None:
        return difference.reshape(-1, x.shape[-1])
    both = np.diff(mask.astype(int), axis=axis + 1) == 0
    both &= np.delete(mask, -1, axis=axis + 1)
    return difference[both]


def smoothness(flow, mask=None, alpha=0.3, epsilon=1e-3):
    """Mean penalties over pairs of neighbors, to the right and below, summed over x and y."""
    pairs = [_differences(flow, mask, axis) for axis in (-2, -3)]
    return sum(penalty(each, alpha, epsilon).mean(0).sum() for each in pairs if len(each))


def edge_aware_smoothness(flow, image, mask=None, edge_weight=1.0):
    total = 0.0
    for axis in (-2, -3):
        bend = np.abs(_differences(flow, mask, axis)).sum(-1)
        edge = np.abs(_differences(image, mask, axis)).sum(-1)
        total += np.mean(bend * np.exp(-edge_weight * edge)) if len(bend) else 0.0
    return total


def _census_code(image, row, column, reach):
    """Soft census code of a pixel: soft signs of neighbor minus center."""
    gray = 255 * image @ np.array((0.299, 0.587, 0.114) if image.shape[-1] == 3 else (1,))
    patch = gray[row - reach : row + reach + 1, column - reach : column + reach + 1]
    difference = patch - gray[row, column]
    return difference / np.sqrt(0.81 + difference**2)


def census(image1, image2, patch_size=3, mask=None):
    """Mean over the patch, then over the pixels of all pairs."""
    reach = patch_size // 2
    distances = []
    for *pair, row, column in np.ndindex(image1.shape[:-1]):
        height, width = image1.shape[-3:-1]
        inside = reach <= row < height - reach and reach <= column < width - reach
        if inside and (mask is None or mask[(*pair, row, column)]):
            codes = [_census_code(x[tuple(pair)], row, column, reach) for x in (image1, image2)]
            squared = (codes[0] - codes[1]) ** 2
            distances.append(np.mean(squared / (0.1 + squared)))
    return np.mean(distances) if distances else 0.0


def _patch_starts(size, window_size, stride, edge):
    starts = [0]
    while starts[-1] + stride + window_size <= size:
        starts.append(starts[-1] + stride)
    if edge == "partial" and starts[-1] + window_size < size:
        starts.append(starts[-1] + stride)
    return starts


def _patch_weights(window_size, window):
    if window == "uniform":
        return [1 / window_size] * window_size
    sigma = window_size / 6
    weights = [math.exp(-0.5 * ((i - window_size / 2) / sigma) ** 2) for i in range(window_size)]
    return [weight / math.fsum(weights) for weight in weights]


def _ssim_of_patch(a, b, weights, c1, c2):
    mean_a, mean_b = np.sum(weights * a), np.sum(weights * b)
    variance_a = np.sum(weights * a * a) - mean_a**2
    variance_b = np.sum(weights * b * b) - mean_b**2
    covariance = np.sum(weights * a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)


def ssim(
    image1, image2, window_size=8, stride=8, c1=1e-4, c2=1e-3, window="uniform", edge="inside"
):
    """SSIM of one pair of images, patch by patch and channel by channel."""
    height, width, channels = image1.shape
    sides = [min(window_size, n) if edge == "inside" else window_size for n in (height, width)]
    rows, columns = (
        _patch_starts(n, side, stride, edge) for n, side in zip((height, width), sides, strict=True)
    )
    similarity = np.zeros((len(rows), len(columns), channels))
    weights = np.outer(*(_patch_weights(side, window) for side in sides))
    for i, j, channel in np.ndindex(similarity.shape):
        a, b = (
            x[rows[i] : rows[i] + sides[0], columns[j] : columns[j] + sides[1], channel]
            for x in (image1, image2)
        )
        inside = weights[: a.shape[0], : a.shape[1]]
        similarity[i, j, channel] = _ssim_of_patch(a, b, inside, c1, c2)
    return similarity


def moving_texture(shift, size=20, time=2):
    """Returns `[time, size, size, 3]`: what is at p in one frame is at p + shift in the next."""
    margin = 4 * time
    texture = np.random.default_rng(0).random((size + 2 * margin, size + 2 * margin, 3))
    texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1)) / 3
    starts = [(margin - t * shift[1], margin - t * shift[0]) for t in range(time)]
    frames = [texture[top : top + size, left : left + size] for top, left in starts]
    return np.stack(frames).astype(np.float32)
