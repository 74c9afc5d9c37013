"""Keeps the windows of a video that may be suggested, so that they need not be computed again."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np

from afn_jax.atomic import complete_or_absent
from afn_jax.predict.suggest.suggestions import Suggestion

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95]


def save_windows(path: Path, windows: Sequence[Suggestion], kind: Mapping[str, Any]) -> None:
    """Writes the windows of one video.

    Args:
        path: an `.npz` file.
        windows: from `Suggestions.take_video`.
        kind: `Suggestions.kind`.

    Raises:
        OSError: the disk is full.
    """
    pictures = [_jpeg(picture) for window in windows for picture in window.pictures]
    arrays = {
        "kind": np.array(json.dumps(dict(kind))),
        "times": np.array([_times(window) for window in windows], np.float64).reshape(-1, 2),
        "uncertainty": np.array([window.uncertainty for window in windows], np.float64),
        "counts": np.array([len(window.pictures) for window in windows], np.int64),
        "sizes": np.array([len(picture) for picture in pictures], np.int64),
        "pictures": np.concatenate([np.zeros(0, np.uint8), *pictures]),
    }
    if windows:
        arrays["probabilities"] = np.stack([window.probabilities for window in windows])
        if all(window.features is not None for window in windows):
            arrays["features"] = np.stack([window.features for window in windows])
    with complete_or_absent(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **arrays)


def load_windows(path: Path, video: str, kind: Mapping[str, Any]) -> list[Suggestion] | None:
    """Reads what `save_windows` wrote.

    Args:
        path: the file.
        video: the path of the video.
        kind: of the suggestions wanted.

    Returns:
        The windows, or None if the file is missing or damaged, or the windows are of other options
        or too few.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = json.loads(str(arrays["kind"]))
            if found["count"] < kind["count"] or found | {"count": 0} != {**kind, "count": 0}:
                return None
            ends = np.cumsum(arrays["sizes"])[:-1]
            parts = np.split(arrays["pictures"], ends) if len(arrays["sizes"]) else []
            pictures = iter([_picture(part) for part in parts])
            features = arrays["features"] if "features" in arrays else None
            windows = []
            for i, (start, end) in enumerate(arrays["times"].tolist()):
                whole = np.isnan(start)
                windows.append(
                    Suggestion(
                        video,
                        None if whole else start,
                        None if whole else end,
                        arrays["probabilities"][i],
                        float(arrays["uncertainty"][i]),
                        tuple(next(pictures) for _ in range(arrays["counts"][i])),
                        None if features is None else features[i],
                    )
                )
            return windows
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError, BadZipFile, cv2.error):
        return None


def _times(window: Suggestion) -> tuple[float, float]:
    return (np.nan, np.nan) if window.start is None else (window.start, window.end)


def _jpeg(picture: np.ndarray) -> np.ndarray:
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _QUALITY)[1].reshape(-1)


def _picture(data: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
