"""THUMOS14 (Idrees et al. 2017), temporal annotations: 20 classes in untrimmed videos."""

import re
from pathlib import Path

from afn_jax.data.sources.lists.text import read_lines
from afn_jax.data.sources.lists.video_list import Entry, VideoList, find_annotations

_SUFFIX = {"train": "_val", "test": "_test"}
_LINE = re.compile(r"(video_(?:validation|test)_\d+)[\s,;]+(\d+(?:\.\d*)?)[\s,;]+(\d+(?:\.\d*)?)")
_AMBIGUOUS = "Ambiguous"  # segments whose class is uncertain


def read_thumos14(root: Path, split: str, annotations: Path | None, list_number: int) -> VideoList:
    """Reads `{Class}_val.txt` and `{Class}_test.txt`: one entry for each annotated segment.

    As is usual, the validation videos are the training split; the training videos of THUMOS14 are
    trimmed UCF101 videos. Classes are sorted by name. Each segment of CliffDiving is also one of
    Diving; both are kept.

    Args:
        root: a folder above all `video_validation_*.mp4` and `video_test_*.mp4`.
        split: "train" or "test".
        annotations: a folder above all annotation files; None: searched for in and beside `root`.
        list_number: not used: there is one split.

    Raises:
        ValueError: files are missing or are those of another dataset.
    """
    files = find_annotations(
        root,
        annotations,
        folders=("annotations", "annotation"),
        patterns=["**/*_val.txt", "**/*_test.txt"],
        what="a folder above the unpacked TH14_Temporal_annotations_validation.zip and "
        "TH14_Temporal_annotations_test.zip",
    )
    named = [(path.stem.rpartition("_")[0], path) for path in files]
    class_names = tuple(sorted({name for name, _ in named} - {_AMBIGUOUS}))
    entries = []
    for name, path in named:
        if name == _AMBIGUOUS or not path.stem.endswith(_SUFFIX[split]):
            continue
        for number, line in read_lines(path):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(
                    f"{path}, line {number}: got {line!r}; a line of THUMOS14 is a video and two "
                    "times in seconds, such as 'video_validation_0000051  67.5 75.9'"
                )
            video, start, end = match.groups()
            entry = Entry(f"{video}.mp4", class_names.index(name), float(start), float(end))
            entries.append(entry)
    if not entries:
        raise ValueError(
            f"data.annotations: no *{_SUFFIX[split]}.txt among {len(files)} files in "
            f"{str(files[0].parent)!r}; give a folder above the annotations of both splits"
        )
    origin = f"{split} segments of {str(files[0].parent)!r}"
    return VideoList(class_names, tuple(entries), origin, anywhere=True)
