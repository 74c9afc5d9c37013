"""The training curves of a report, from the rows of `metrics.jsonl`."""

from collections.abc import Sequence

import numpy as np

from afn_jax.viz import Series, line_chart

# Entries of a training row that are not terms of the loss.
NOT_LOSS = {"step", "epoch", "epe", "zero_flow_epe", "top1", "top5", "accuracy", "seconds", "time"}
NOT_LOSS_ENDINGS = ("_per_second", "_rate", "_norm", "_seconds", "_accuracy", "_epe", "_count")
LOG_RATIO = 30.0  # guessed: loss terms with a larger ratio get a logarithmic axis


def history_charts(history: Sequence[dict], *, num_classes: int) -> list[str]:
    """Draws charts of the loss terms, accuracy, endpoint error and speed, as far as recorded.

    Args:
        history: rows with `step`, `split` and numbers; other entries are ignored. If a step occurs
            twice, because the run was stopped and resumed, the last row counts.
        num_classes: number of classes, for the accuracy of chance.

    Returns:
        `<svg>` elements; none for an empty history.
    """
    splits = list(dict.fromkeys(row.get("split", "train") for row in history))
    splits.sort(key=lambda split: split != "train")  # train first, the others in order
    charts = [
        _loss_chart(history),
        _accuracy_chart(history, splits, num_classes),
        _endpoint_error_chart(history, splits),
        _speed_chart(history),
    ]
    return [chart for chart in charts if chart]


def _loss_chart(history) -> str:
    names = dict.fromkeys(
        name
        for row in history
        if row.get("split", "train") == "train"
        for name, value in row.items()
        if _is_number(value) and name not in NOT_LOSS and not name.endswith(NOT_LOSS_ENDINGS)
    )
    lines = [_series(history, "train", name, name.replace("_", " ")) for name in names]
    lines = [line for line in lines if line]
    if not lines:
        return ""
    return line_chart(
        lines,
        title="Loss and its terms (train)",
        x_label="step",
        y_label="loss",
        log_y=_far_apart(lines),
    )


def _accuracy_chart(history, splits, num_classes) -> str:
    lines = [_series(history, split, "top1", split, scale=100) for split in splits]
    lines = [line for line in lines if line]
    if not lines:
        return ""
    chance = 100 / num_classes
    lines.append(_constant(lines, chance, f"chance ({chance:.3g} %)"))
    return line_chart(
        lines, title="Top-1 accuracy", x_label="step", y_label="%", y_range=(0.0, 100.0)
    )


def _endpoint_error_chart(history, splits) -> str:
    lines = [_series(history, split, "epe", split) for split in splits]
    lines = [line for line in lines if line]
    if not lines:
        return ""
    zero = [_series(history, split, "zero_flow_epe", split) for split in reversed(splits)]
    zero = [np.asarray(line.y)[np.isfinite(line.y)] for line in zero if line]
    zero = [values.mean() for values in zero if values.size]
    if zero:
        # It depends only on the clips, so the mean over the run is the best estimate.
        lines.append(_constant(lines, zero[0], f"zero flow ({zero[0]:.3g} px)"))
    return line_chart(lines, title="Endpoint error of the flow", x_label="step", y_label="px")


def _speed_chart(history) -> str:
    line = _series(history, "train", "clips_per_second", "train")
    if not line:
        return ""
    return line_chart([line], title="Speed", x_label="step", y_label="clips per second")


def _series(history, split: str, name: str, label: str, scale: float = 1.0) -> Series | None:
    values = {
        row["step"]: float(row[name]) * scale
        for row in history
        if row.get("split", "train") == split and _is_number(row.get(name))
    }
    if not values:
        return None
    steps = sorted(values)
    # Training values are noisy; those of an evaluation are not smoothed.
    return Series(label, steps, [values[step] for step in steps], smooth=split == "train")


def _constant(lines: Sequence[Series], value: float, label: str) -> Series:
    ends = [min(line.x[0] for line in lines), max(line.x[-1] for line in lines)]
    return Series(label, ends, [value, value], reference=True)


def _far_apart(lines: Sequence[Series]) -> bool:
    """Whether the medians of the terms differ too much for a linear axis."""
    middles = [np.median(np.asarray(line.y)[np.isfinite(line.y)]) for line in lines]
    middles = [middle for middle in middles if not np.isnan(middle)]
    return bool(middles) and min(middles) > 0 and max(middles) > LOG_RATIO * min(middles)


def _is_number(value) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
