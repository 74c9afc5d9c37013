"""ActivityNet 1.2 and 1.3 (Heilbron et al. 2015): untrimmed videos, segments in a JSON file."""

import math
from pathlib import Path
from typing import Any

from afn_jax.data.sources.lists.text import read_json
from afn_jax.data.sources.lists.video_list import Entry, VideoList, find_annotations

_WHAT_IS_RIGHT = (
    "must be {'database': {ID: {'subset': 'training', 'annotations': [{'segment': [1.5, 7.0], "
    "'label': ...}]}}}"
)
_SUBSET = {"train": "training", "test": "validation"}  # labels of "testing" are not public


def read_activitynet(
    root: Path, split: str, annotations: Path | None, list_number: int
) -> VideoList:
    """Reads `activity_net.v1-2.min.json`: one entry for each annotated segment.

    Classes are sorted by name. Segments that are wrong in the file (the end before the start) are
    kept; they are skipped as empty when their video is opened.

    Args:
        root: the folder of the videos `v_{id}.mp4`.
        split: "train" or "test"; the validation subset serves as the test split.
        annotations: the JSON file or its folder; None: searched for in and beside `root`.
        list_number: unused; there is one split.

    Raises:
        ValueError: the file is missing or belongs to another dataset.
    """
    files = find_annotations(
        root,
        annotations,
        folders=("annotations",),
        patterns=["activity_net*.json"],
        what="the file activity_net.v1-2.min.json (or v1-3)",
    )
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise ValueError(f"data.annotations: found {names}; give one of these files")
    path = files[0]
    content = read_json(path)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise ValueError(f"{path}: not a file of ActivityNet: it {_WHAT_IS_RIGHT}")
    segments, labels = [], set()
    for video, about in database.items():
        parts = _segments(path, video, about)
        labels |= {label for label, _, _ in parts}
        if about["subset"] == _SUBSET[split]:
            segments += [(video, *part) for part in parts]
    class_names = tuple(sorted(labels))
    label_of = {name: label for label, name in enumerate(class_names)}
    entries = tuple(
        Entry(f"v_{video}.mp4", label_of[label], start, end, also=(f"{video}.mp4",))
        for video, label, start, end in segments
    )
    return VideoList(class_names, entries, f"{split} segments of {path}", anywhere=True)


def _segments(path: Path, video: str, about: Any) -> list[tuple[str, float, float]]:
    """Returns (label, start, end) of each segment of one video."""
    try:
        if not isinstance(about["subset"], str):
            raise TypeError(f"the subset is {about['subset']!r}")
        parts = []
        for part in about["annotations"]:
            label, (start, end) = part["label"], map(float, part["segment"])
            if not isinstance(label, str) or not label.strip():
                raise TypeError(f"the label is {label!r}")
            if not (math.isfinite(start) and math.isfinite(end)):
                raise ValueError(f"the segment is {part['segment']}")
            parts.append((label, start, end))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: not a file of ActivityNet: at the video {video!r}: {type(error).__name__}: "
            f"{error}; the file {_WHAT_IS_RIGHT}"
        ) from None
    return parts
