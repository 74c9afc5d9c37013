"""Something-Something V2 (Goyal et al. 2017): JSON lists, videos named by number.

Many of its classes are directions ("Pushing something from left to right"): train with
`--data.no-flip`.
"""

from pathlib import Path

from afn_jax.data.sources.lists.text import read_json
from afn_jax.data.sources.lists.video_list import Entry, VideoList, find_annotations

# Test labels are not public, so the validation videos are the test split.
_PATTERNS = {"train": "*train.json", "test": "*validation.json", "labels": "*labels.json"}


def read_something_something(
    root: Path, split: str, annotations: Path | None, list_number: int
) -> VideoList:
    """Reads the JSON files of one split and of the labels.

    They are called `something-something-v2-train.json`, `-validation.json` and `-labels.json`, or
    in newer downloads `train.json`, `validation.json` and `labels.json`.

    Args:
        root: the folder of the videos `1.webm`, `2.webm`, ...
        split: "train" or "test"; the validation videos serve as the test split.
        annotations: the folder of the JSON files; None: searched for in and beside `root`.
        list_number: unused; there is one split.

    Raises:
        ValueError: a file is missing or belongs to another dataset.
    """
    if annotations is not None and annotations.is_file():
        annotations = annotations.parent
    found = {
        part: find_annotations(
            root,
            annotations,
            folders=("labels", "annotations"),
            patterns=[_PATTERNS[part]],
            what="the folder of the JSON files train, validation and labels",
        )[0]
        for part in ("labels", split)
    }
    class_names = _class_names(found["labels"])
    label_of = {name: label for label, name in enumerate(class_names)}
    path = found[split]
    items = read_json(path)
    if not isinstance(items, list):
        raise ValueError(f"{path}: holds a {type(items).__name__}; {_WHAT_IS_RIGHT}")
    entries = []
    for number, item in enumerate(items):
        if not (
            isinstance(item, dict)
            and isinstance(item.get("template"), str)
            and isinstance(item.get("id"), str | int)
            and not isinstance(item["id"], bool)
        ):
            raise ValueError(f"{path}, item {number}: got {str(item)[:200]}; {_WHAT_IS_RIGHT}")
        name = item["template"].replace("[", "").replace("]", "")
        if name not in label_of:
            raise ValueError(
                f"{path}, item {number}: {name!r} is not in {found['labels'].name}; give the files "
                "of one version of the dataset"
            )
        entries.append(Entry(f"{item['id']}.webm", label_of[name]))
    return VideoList(class_names, tuple(entries), f"{split} videos of {path}", anywhere=True)


_WHAT_IS_RIGHT = "Something-Something has a list of {'id': ..., 'template': ...}"


def _class_names(path: Path) -> tuple[str, ...]:
    numbers = read_json(path)
    try:
        names = {int(number): name for name, number in numbers.items()}
    except (AttributeError, OverflowError, TypeError, ValueError):
        names = {}
    if sorted(names) != list(range(len(names))) or not names or len(names) != len(numbers):
        raise ValueError(
            f"{path}: must be {{'Approaching something with your camera': '0', ...}}, with the "
            "numbers 0, 1, ... once each, as in Something-Something"
        )
    return tuple(names[number] for number in range(len(names)))
