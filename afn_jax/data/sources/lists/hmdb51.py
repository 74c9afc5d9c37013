"""HMDB51 (Kuehne et al. 2011): 51 classes, three official splits of 3570 and 1530 videos."""

import re
from pathlib import Path

from afn_jax.data.sources.lists.text import read_lines
from afn_jax.data.sources.lists.video_list import Entry, VideoList, find_annotations

NUM_CLASSES = 51
_SPLIT_OF = {"0": None, "1": "train", "2": "test"}  # 0: unused, too similar to a training video

_LINE = re.compile(
    r"""(?P<quote>["']?)(?P<name>\S.*?)(?P=quote)\s*[\s,;|:]\s*(?P<use>[012])(\s+#.*)?"""
)


def read_hmdb51(root: Path, split: str, annotations: Path | None, list_number: int) -> VideoList:
    """Reads the lists of one split, `brush_hair_test_split1.txt` and so on, one file per class.

    Args:
        root: the folder of the class folders, or of the videos themselves.
        split: "train" or "test".
        annotations: the folder `testTrainMulti_7030_splits`; None: searched for in and
            beside `root`.
        list_number: 1, 2 or 3.

    Raises:
        ValueError: lists are missing or damaged.
    """
    if annotations is not None and annotations.is_file():
        raise ValueError(
            f"data.annotations: {str(annotations)!r} is a file; give its folder, "
            f"{str(annotations.parent)!r}, with a list for each of the {NUM_CLASSES} classes"
        )
    pattern = f"*_test_split{list_number}.txt"
    files = find_annotations(
        root,
        annotations,
        folders=("testTrainMulti_7030_splits", "test_train_splits", "splits", "lists"),
        patterns=[pattern],
        what="the folder testTrainMulti_7030_splits of test_train_splits.rar",
    )
    if len(files) != NUM_CLASSES:
        raise ValueError(
            f"data.annotations: {len(files)} files {pattern} in {str(files[0].parent)!r}, but "
            f"HMDB51 has {NUM_CLASSES} classes; unpack all of test_train_splits.rar"
        )
    # Sorted by class name; sorted by file name, climb_stairs would come before climb.
    file_of = {re.sub(r"_test_split\d$", "", path.stem): path for path in files}
    class_names = tuple(sorted(file_of))
    entries = []
    for label, path in enumerate(file_of[name] for name in class_names):
        for number, line in read_lines(path):
            match = _LINE.fullmatch(line)
            if not match:
                raise ValueError(
                    f"{path}, line {number}: got {line!r}; a line must be a file name and 0, 1 or "
                    "2, such as 'Name_wave_f_cm_np1_ba_med_0.avi 1'"
                )
            if _SPLIT_OF[match["use"]] == split:
                entries.append(Entry(f"{class_names[label]}/{match['name']}", label))
    origin = f"{split} videos of split {list_number} in {str(files[0].parent)!r}"
    return VideoList(class_names, tuple(entries), origin, anywhere=True)


def has_hmdb51_lists(root: Path, annotations: Path | None) -> bool:
    """Returns whether list files of HMDB51 are in the annotations, or in or beside `root`."""
    bases = [annotations] if annotations else [root, root.resolve().parent]
    patterns = ("*_test_split[0-9].txt", "*/*_test_split[0-9].txt")
    return any(any(base.glob(pattern)) for base in bases for pattern in patterns)
