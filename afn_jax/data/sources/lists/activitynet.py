"""ActivityNet 1.2 and 1.3 (Heilbron et al. 2015): untrimmed videos, segments in a JSON file."""

from pathlib import Path

from afn_jax.data.sources.lists.text import read_json
from afn_jax.data.sources.lists.video_list import Entry, VideoList, find_annotations

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
    try:
        segments = [
            (video, part["label"], float(part["segment"][0]), float(part["segment"][1]))
            for video, about in database.items()
            if about["subset"] == _SUBSET[split]
            for part in about["annotations"]
        ]
        labels = {part["label"] for about in database.values() for part in about["annotations"]}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: not a file of ActivityNet ({type(error).__name__}: {error}); it must be "
            "{'database': {ID: {'subset': 'training', 'annotations': "
            "[{'segment': [1.5, 7.0], 'label': ...}]}}}"
        ) from None
    class_names = tuple(sorted(labels))
    label_of = {name: label for label, name in enumerate(class_names)}
    entries = tuple(
        Entry(f"v_{video}.mp4", label_of[label], start, end, also=(f"{video}.mp4",))
        for video, label, start, end in segments
    )
    return VideoList(class_names, entries, f"{split} segments of {path}", anywhere=True)
