"""A folder of videos, one sub-folder a class: your own, or UCF101 by its official lists."""

from collections import Counter
from pathlib import Path

from afn_jax.data.source import Skipped
from afn_jax.data.sources.catalogue import EXTENSIONS, Catalogue
from afn_jax.data.sources.lists import splits
from afn_jax.data.sources.lists.video_list import Entry, VideoList
from afn_jax.data.sources.video_files import VideoFiles

UCF101_CLASSES = 101


class VideoFolder(VideoFiles):
    """The videos of `root/ClassName/`, at any depth below, of one split: a `Source`.

    Lists in the UCF101 format (`classInd.txt`, `trainlist01.txt`, `testlist01.txt`) decide the
    split if there are any; see `splits.find_lists` for where they are looked for. Otherwise
    `splits.split_by_name` does. Classes are in the order of `classInd.txt`, else sorted by name.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        list_number: int = 1,
        lists: str | Path | None = None,
        test_fraction: float = 0.2,
        **files,
    ):
        """Finds and indexes the videos.

        Args:
            root: the folder of class folders.
            split: "train" or "test".
            list_number: which of the official splits, the NN of `trainlistNN.txt`.
            lists: the folder of the list files, if they are elsewhere.
            test_fraction: part of each class that tests where there are no lists.
            **files: as in `VideoFiles`.

        Raises:
            ValueError: an argument is wrong, or the folder does not hold two classes of videos.
        """
        lists = None if lists is None else Path(lists)
        videos = read_video_folder(
            Path(root), split, lists, list_number, test_fraction=test_fraction
        )
        super().__init__(root, videos, **files)


def read_video_folder(
    root: Path,
    split: str,
    annotations: Path | None,
    list_number: int,
    *,
    test_fraction: float = 0.2,
    frames: bool = False,
) -> VideoList:
    """The videos of one split; arguments as in `VideoFolder`, `annotations` being its `lists`.

    Args:
        root: the folder of class folders.
        split: "train" or "test".
        annotations: the folder of the list files; None: looked for in and beside `root`.
        list_number: the NN of `trainlistNN.txt`.
        test_fraction: part of each class that tests where there are no lists.
        frames: without lists, look for folders of frames, `ClassName/video/img_00001.jpg`, and not
            for video files.
    """
    splits.check_split(split)
    catalogue = Catalogue(root)
    lists = splits.find_lists(root) if annotations is None else annotations
    if lists is not None:
        return read_ucf_lists(catalogue, lists, split, list_number)
    return _list_by_name(catalogue, split, test_fraction, frames)


def read_ucf101(root: Path, split: str, annotations: Path | None, list_number: int) -> VideoList:
    """UCF101 (Soomro et al. 2012), 101 classes, three official splits.

    Args:
        root: the folder of the 101 class folders, or of the videos themselves.
        split: "train" or "test".
        annotations: the folder `ucfTrainTestlist`; None: looked for in and beside `root`.
        list_number: 1, 2 or 3.

    Raises:
        ValueError: the lists are missing or are those of another dataset.
    """
    lists = splits.find_lists(root) if annotations is None else annotations
    if lists is None:
        raise ValueError(
            f"data.annotations: no trainlist01.txt and testlist01.txt in or beside {str(root)!r}; "
            "unpack UCF101TrainTestSplits-RecognitionTask.zip there, or give its folder "
            "ucfTrainTestlist with --data.annotations"
        )
    videos = read_ucf_lists(Catalogue(root), lists, split, list_number, anywhere=True)
    if len(videos.class_names) != UCF101_CLASSES:
        raise ValueError(
            f"data.annotations: {str(lists)!r} has {len(videos.class_names)} classes, but UCF101 "
            f"has {UCF101_CLASSES}; for other data with such lists use --data video-folder"
        )
    return videos


def read_ucf_lists(
    catalogue: Catalogue, lists: Path, split: str, list_number: int, *, anywhere: bool = False
) -> VideoList:
    """The videos of a list file in the UCF101 format.

    Without a `classInd.txt` the class folders, sorted, are the classes.
    """
    path = lists / f"{split}list{list_number:02d}.txt"
    if not path.is_file():
        there = sorted(p.name for p in lists.glob("*list[0-9][0-9].txt"))
        raise ValueError(
            f"list_number: there is no {path.name} in {str(lists)!r}, only {there}; give the "
            "number of one that is there"
            if there
            else f"data.annotations: {str(lists)!r} holds neither {path.name} nor any other "
            "such list; give the folder of classInd.txt, trainlist01.txt and testlist01.txt"
        )
    class_file = lists / "classInd.txt"
    if class_file.is_file():
        class_names = splits.read_class_names(class_file)
    else:
        class_names = tuple(_by_class(catalogue.videos or catalogue.frame_folders))
    entries = list(dict.fromkeys(splits.read_list(path, class_names)))
    twice = [name for name, count in Counter(name for name, _ in entries).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: {twice[0]!r} is listed with two classes; keep one")
    entries = tuple(Entry(name, label) for name, label in entries)
    return VideoList(class_names, entries, f"{split} videos of {path}", anywhere)


def _list_by_name(
    catalogue: Catalogue, split: str, test_fraction: float, frames: bool
) -> VideoList:
    """The videos of the class folders, split by `splits.split_by_name`."""
    root = str(catalogue.root)
    found = catalogue.frame_folders if frames else catalogue.videos
    by_class = _by_class(found)
    if not by_class:
        what = "folder of numbered pictures" if frames else "video"
        other = catalogue.videos if frames else catalogue.frame_folders
        raise ValueError(
            f"root: no sub-folder of {root!r} holds a {what}"
            + (f" ({len(found)} lie in the folder itself)" if found else "")
            + (f" ({len(other)} {'videos' if frames else 'folders of frames'} do)" if other else "")
            + "; put what belongs to a class in a sub-folder of its own"
            + (", as ClassName/video/img_00001.jpg" if frames else f", as {', '.join(EXTENSIONS)}")
            + (f"; or use --data {'video' if frames else 'frame'}-folder" if other else "")
        )
    if set(by_class) <= {"train", "test", "val", "valid", "validation"}:
        raise ValueError(
            f"root: the sub-folders of {root!r} are splits, {sorted(by_class)}, not classes; "
            "put all videos of a class in one folder and write trainlist01.txt and testlist01.txt, "
            "or give one of these folders as root to have it split by name"
        )
    entries = []
    for label, paths in enumerate(by_class.values()):
        chosen = splits.split_by_name(paths, split=split, test_fraction=test_fraction)
        entries += [Entry(path, label) for path in chosen]
    origin = f"{split} videos under {root!r}"
    skipped = list(catalogue.unreadable)
    for name, files in _by_class(tuple(catalogue.others)).items():
        if name not in by_class and not frames:
            reason = f"no class: no video in it, but {files[0]}; videos are {', '.join(EXTENSIONS)}"
            skipped.append(Skipped(str(catalogue.root / name), reason))
    return VideoList(tuple(by_class), tuple(entries), origin, skipped=tuple(skipped))


def _by_class(paths: tuple[str, ...]) -> dict[str, list[str]]:
    """Paths by their first folder, both sorted; those in no folder are left out."""
    by_class: dict[str, list[str]] = {}
    for path in sorted(paths):
        name, _, below = path.partition("/")
        if below:
            by_class.setdefault(name, []).append(path)
    return dict(sorted(by_class.items()))


def has_ucf101_lists(root: Path, annotations: Path | None) -> bool:
    """Returns whether the lists of `root`, or those given, have a `classInd.txt` of 101 classes."""
    lists = annotations or splits.find_lists(root)
    if lists is None or not (lists / "classInd.txt").is_file():
        return False
    try:
        return len(splits.read_class_names(lists / "classInd.txt")) == UCF101_CLASSES
    except (ValueError, OSError):
        return False
