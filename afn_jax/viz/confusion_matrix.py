"""Confusion matrix as SVG text: rows are true classes, columns are predicted classes."""

import html
from collections.abc import Sequence

import numpy as np

from afn_jax.viz.curves import text_width

MOST_NUMBERS = 25  # with more classes the cells are too small for their counts
LONGEST_NAME = 26  # characters


def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Draws counts as squares that are more opaque the larger their share of the true class.

    Correct predictions (the diagonal) are blue, wrong ones orange. With up to 25 classes, each
    square shows its count; with more, the count appears in a tooltip.

    Args:
        confusion: `[classes, classes]` counts, [true, predicted].
        class_names: one per class.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: if `confusion` is not a square matrix of counts with one row per class.
    """
    counts = check_confusion(confusion, class_names)
    num_classes = len(class_names)
    numbers = num_classes <= MOST_NUMBERS
    cell = max(8.0, min(46.0, 720 / num_classes))
    font_size = max(7.0, min(12.0, cell * 0.85))
    names = [html.escape(_shorten(name)) for name in class_names]
    widest = max(text_width(_shorten(name), font_size) for name in class_names)
    left, top = widest + 34, widest + 34
    side = cell * num_classes
    faintest = 0.04 if numbers else 0.2  # without numbers, a single clip must still be visible
    # The maximum avoids division by zero for classes without clips.
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)

    parts = [
        f'<svg class="confusion" viewBox="0 0 {left + side + 2:.0f} {top + side + 2:.0f}" '
        f'width="{left + side + 2:.0f}" height="{top + side + 2:.0f}" role="img" '
        f'aria-label="Confusion matrix of {num_classes} classes" font-size="{font_size:.1f}" '
        'fill="currentColor">'
        f'<text x="{left + side / 2:.0f}" y="12" text-anchor="middle" font-size="12">predicted'
        "</text>"
        f'<text transform="translate(12 {top + side / 2:.0f}) rotate(-90)" text-anchor="middle" '
        'font-size="12">true</text>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{side:.1f}" height="{side:.1f}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.3"/>'
    ]
    for index, (name, whole) in enumerate(zip(names, class_names, strict=True)):
        middle = cell * (index + 0.5)
        tip = f"<title>{html.escape(whole)}</title>"
        parts.append(
            f'<text x="{left - 7:.1f}" y="{top + middle + font_size * 0.35:.1f}" '
            f'text-anchor="end">{tip}{name}</text>'
            f'<text transform="translate({left + middle + font_size * 0.35:.1f} {top - 7:.1f}) '
            f'rotate(-90)">{tip}{name}</text>'
        )
    for row, column in np.ndindex(counts.shape):
        count = counts[row, column]
        if count == 0 and not numbers:
            continue
        x, y = left + cell * column, top + cell * row
        opacity = faintest + (1 - faintest) * share[row, column]
        hue = "var(--series-1, #2563c9)" if row == column else "var(--series-2, #d9622b)"
        true, predicted = class_names[row], class_names[column]
        tip = f"{true} predicted as {predicted}: {count} of {counts[row].sum()}"
        parts.append(
            f'<g><title>{html.escape(tip)}</title><rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" '
            f'width="{cell - 1:.1f}" height="{cell - 1:.1f}" '
            f'style="fill:{hue};fill-opacity:{opacity:.2f}"/>'
        )
        if numbers:
            look = ' fill="#fff"' if share[row, column] > 0.55 else ""
            look = look or (' fill-opacity="0.35"' if count == 0 else "")
            size = min(13.0, cell * 0.42, (cell - 4) / (0.58 * len(str(count))))
            parts.append(
                f'<text x="{x + cell / 2:.1f}" y="{y + cell / 2 + size * 0.35:.1f}" '
                f'text-anchor="middle" font-size="{size:.1f}"{look}>{count}</text>'
            )
        parts.append("</g>")
    return "".join(parts) + "</svg>"


def check_confusion(confusion: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Returns `confusion` as `[classes, classes]` int64.

    Raises:
        ValueError: if the shape is wrong or values are not counts.
    """
    confusion = np.asarray(confusion)
    num_classes = len(class_names)
    if num_classes == 0:
        raise ValueError("class_names: got none, but a confusion matrix needs at least one class.")
    if confusion.shape != (num_classes, num_classes):
        raise ValueError(
            f"confusion: got shape {confusion.shape}, but {num_classes} class names need "
            f"[true, predicted] of shape {(num_classes, num_classes)}."
        )
    counts = np.nan_to_num(confusion, nan=-1, posinf=-1, neginf=-1).astype(np.int64)
    if not np.array_equal(counts, confusion) or (counts < 0).any():
        raise ValueError(
            "confusion: got values that are not counts, but each must be a non-negative integer; "
            "pass counts, not fractions."
        )
    return counts


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
