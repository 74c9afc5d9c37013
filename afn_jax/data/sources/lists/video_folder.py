"""A folder of videos with one subfolder per class, split by lists or by name."""

from pathlib import Path

from afn_jax.data.source import Skipped
from afn_jax.data.sources.catalog import Catalog
from afn_jax.data.sources.lists.class_folders import find_classes
from afn_jax.data.sources.lists.splits import check_split, split_by_name
from afn_jax.data.sources.lists.ucf101 import find_lists, read_ucf_lists
from afn_jax.data.sources.lists.video_list import Entry, VideoList
from afn_jax.data.sources.modalities import picture_kind
from afn_jax.data.sources.unused import unused_line


def read_video_folder(
    root: Path,
    split: str,
    annotations: Path | None,
    list_number: int,
    *,
    test_fraction: float = 0.2,
    frames: bool = False,
) -> VideoList:
    """Lists the videos of `root/ClassName/`, at any depth below.

    If there are lists in the UCF101 format, they decide the split, and `classInd.txt` the order of
    the classes. Otherwise `split_by_name` splits each class, and classes are sorted by name.

    Args:
        root: the folder of class folders.
        split: "train" or "test".
        annotations: the folder of the list files; None: searched for in and beside `root`.
        list_number: the NN of `trainlistNN.txt`.
        test_fraction: fraction of each class for testing if there are no lists.
        frames: without lists, look for folders of frames, `ClassName/video/img_00001.jpg`, instead
            of video files.

    Raises:
        ValueError: the folder holds no classes of videos, or a list is missing or malformed.
    """
    check_split(split)
    catalog = Catalog(root)
    lists = find_lists(root) if annotations is None else annotations
    if lists is not None:
        return read_ucf_lists(catalog, lists, split, list_number)
    return _list_by_name(catalog, split, test_fraction, frames)


def _list_by_name(catalog: Catalog, split: str, test_fraction: float, frames: bool) -> VideoList:
    root = str(catalog.root)
    classes, unused, doubts = find_classes(catalog, frames)
    if not classes:
        raise ValueError(_no_classes(catalog, frames))
    if set(classes) <= {"train", "test", "val", "valid", "validation"}:
        raise ValueError(
            f"root: the subfolders of {root!r} are splits, {sorted(classes)}, not classes; "
            "put all videos of a class in one folder and write trainlist01.txt and testlist01.txt, "
            "or give one of these folders as root to have it split by name"
        )
    if len({picture_kind(name) for name in classes} - {""}) > 1 and all(map(picture_kind, classes)):
        raise ValueError(
            f"root: the subfolders of {root!r} are kinds of pictures, {sorted(classes)}, not "
            "classes; give the one that holds the frames as root"
        )
    entries = []
    settled: dict[int, bool] = {}  # whether a file of an earlier class too is in this split
    for label, paths in enumerate(classes.values()):
        new = [path for path in paths if catalog.files.get(path) not in settled]
        chosen = set(
            split_by_name(new, split=split, test_fraction=test_fraction, files=catalog.files)
        )
        chosen |= {path for path in paths if settled.get(catalog.files.get(path, 0))}
        settled |= {catalog.files[path]: path in chosen for path in new if path in catalog.files}
        entries += [Entry(path, label) for path in sorted(chosen)]
    skipped = list(catalog.unreadable)
    for name, path in doubts.items():
        reason = f"not a class: it holds {path}, but no video"
        skipped.append(Skipped(str(catalog.root / name), reason))
    origin = f"{split} videos under {root!r}"
    return VideoList(tuple(classes), tuple(entries), origin, skipped=tuple(skipped), unused=unused)


def _no_classes(catalog: Catalog, frames: bool) -> str:
    """Returns the message for a folder without classes: what is there instead, and what to do."""
    wanted, others = catalog.videos, catalog.frame_folders
    if frames:
        wanted, others = others, wanted
    message = f"root: no subfolder of {str(catalog.root)!r} holds a " + (
        "folder of numbered pictures" if frames else "video"
    )
    if wanted:
        message += f" ({len(wanted)} lie in the folder itself)"
    if others:
        message += f" (but there are {len(others)} {'videos' if frames else 'folders of frames'})"
    elif not wanted and catalog.rest:
        message += f" ({unused_line(catalog.rest)})"
    message += "; put the videos of each class in a subfolder of their own, such as " + (
        "ClassName/video/img_00001.jpg" if frames else "ClassName/video.mp4"
    )
    if others:
        message += f"; or use --data {'video' if frames else 'frame'}-folder"
    return message
