"""A folder of videos, one sub-folder a class: UCF101, HMDB51, or your own."""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from afn_jax.data import splits
from afn_jax.data.clip import Clip, Skipped, VideoReadError
from afn_jax.data.video import VideoIndex, index_video, read_frames

EXTENSIONS = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v", ".wmv")


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """One labelled video on disk, a `Video`.

    Attributes:
        name: path relative to the root, with `/`.
        label: 0-based class.
        path: where the file is.
        index: where its frames are.
        short_side: as in `read_frames`.
    """

    name: str
    label: int
    path: str
    index: VideoIndex
    short_side: int | None = None
    has_flow: bool = False

    @property
    def num_frames(self) -> int:
        """Frames that can be asked for."""
        return self.index.num_frames

    def clip(self, indices: np.ndarray) -> Clip:
        """The frames at `indices`. Raises `VideoReadError` where the file is damaged."""
        return Clip(read_frames(self.path, self.index, indices, short_side=self.short_side))


class VideoFolder:
    """The videos of `root/ClassName/`, at any depth below, of one split.

    Lists in the UCF101 format (`classInd.txt`, `trainlist01.txt`, `testlist01.txt`) decide the
    split if there are any; see `splits.find_lists` for where they are looked for. Otherwise
    `splits.split_by_name` does. Classes are in the order of `classInd.txt`, else sorted by name.

    Every file is indexed at construction, so that damaged ones show up before training starts: they
    are left out, with the reason in `skipped`.

    Attributes:
        class_names: by label.
        skipped: files left out: unreadable, too short, or listed but missing.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        list_number: int = 1,
        lists: str | Path | None = None,
        test_fraction: float = 0.2,
        min_frames: int = 2,
        short_side: int | None = None,
        num_threads: int | None = None,
    ):
        """Finds and indexes the videos.

        Args:
            root: the folder of class folders.
            split: "train" or "test".
            list_number: which of the official splits, the NN of `trainlistNN.txt`.
            lists: the folder of the list files, if they are elsewhere.
            test_fraction: part of each class that tests where there are no lists.
            min_frames: videos with fewer frames are skipped.
            short_side: frames are resized to this shorter side, in pixels, aspect kept.
            num_threads: for indexing; the default is the number of CPU cores, 16 at most.

        Raises:
            ValueError: an argument is wrong, or the folder does not hold two classes of videos.
        """
        splits.check_split(split)
        root = Path(root)
        if not root.is_dir():
            raise ValueError(
                f"root: {str(root)!r} is not a folder; give the folder that holds one "
                "sub-folder of videos for each class"
            )
        if num_threads is None:
            num_threads = min(16, os.cpu_count() or 1)
        lists = splits.find_lists(root) if lists is None else Path(lists)
        if lists is None:
            self.class_names, entries = _from_names(root, split, test_fraction)
        else:
            self.class_names, entries = _from_lists(root, lists, split, list_number)
        if len(self.class_names) < 2:
            raise ValueError(
                f"root: {str(root)!r} holds only one class, {self.class_names[0]!r}; give the "
                "folder above, with one sub-folder of videos for each of two or more classes"
            )

        def index(entry: tuple[str, int]) -> VideoFile | Skipped:
            name, label = entry
            path = str(root / name)
            if not os.path.isfile(path):
                return Skipped(path, "listed but missing")
            try:
                found = index_video(path)
            except VideoReadError as error:
                return Skipped(path, str(error).removeprefix(f"{path}: "))
            if found.num_frames < min_frames:
                return Skipped(path, f"{found.num_frames} frames, fewer than {min_frames}")
            return VideoFile(name, label, path, found, short_side)

        with ThreadPoolExecutor(max(1, num_threads)) as pool:
            results = list(pool.map(index, entries))
        self._videos = tuple(video for video in results if isinstance(video, VideoFile))
        self.skipped = tuple(skip for skip in results if isinstance(skip, Skipped))
        if not self._videos:
            examples = "; ".join(f"{skip.path}: {skip.reason}" for skip in self.skipped[:3])
            raise ValueError(
                f"root: none of the {len(results)} {split} videos under {str(root)!r} can be read "
                f"({examples or 'every class has one video, which trains'}); give videos that a "
                "player opens"
            )

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> VideoFile:
        return self._videos[index]


def _from_names(
    root: Path, split: str, test_fraction: float
) -> tuple[tuple[str, ...], Sequence[tuple[str, int]]]:
    """Class names, and (relative path, label) of the split, from folders alone."""
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    videos = {folder.name: _videos_below(root, folder) for folder in folders}
    videos = {name: paths for name, paths in videos.items() if paths}
    if not videos:
        loose = [path for path in root.iterdir() if path.suffix.lower() in EXTENSIONS]
        raise ValueError(
            f"root: no sub-folder of {str(root)!r} holds a video"
            + (f" ({len(loose)} lie in the folder itself)" if loose else "")
            + "; put the videos of each class in a sub-folder of its own, as "
            + ", ".join(EXTENSIONS)
        )
    if set(videos) <= {"train", "test", "val", "valid", "validation"}:
        raise ValueError(
            f"root: the sub-folders of {str(root)!r} are splits, {sorted(videos)}, not classes; "
            "put all videos of a class in one folder and write trainlist01.txt and testlist01.txt, "
            "or give one of these folders as root to have it split by name"
        )
    entries = []
    for label, paths in enumerate(videos.values()):
        chosen = splits.split_by_name(paths, split=split, test_fraction=test_fraction)
        entries += [(path, label) for path in chosen]
    return tuple(videos), entries


def _from_lists(
    root: Path, lists: Path, split: str, list_number: int
) -> tuple[tuple[str, ...], Sequence[tuple[str, int]]]:
    """Class names, and (relative path, label) of the split, from list files."""
    path = lists / f"{split}list{list_number:02d}.txt"
    if not path.is_file():
        there = sorted(p.name for p in lists.glob("*list[0-9][0-9].txt")) or "no list at all"
        raise ValueError(
            f"list_number: there is no {path.name} in {str(lists)!r}, only {there}; give the "
            "number of one that is there, or the right folder as `lists`"
        )
    class_file = lists / "classInd.txt"
    if class_file.is_file():
        class_names = splits.read_class_names(class_file)
    else:
        class_names = tuple(
            sorted(f.name for f in root.iterdir() if f.is_dir() and _videos_below(root, f))
        )
    entries = list(dict.fromkeys(splits.read_list(path, class_names)))
    twice = [name for name, count in Counter(name for name, _ in entries).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: {twice[0]!r} is listed with two classes; keep one")
    if not any((root / name).is_file() for name, _ in entries):
        examples = ", ".join(name for name, _ in entries[:3])
        raise ValueError(
            f"root: none of the {len(entries)} videos in {path} is under {str(root)!r} (the first "
            f"are {examples}); give the folder that these paths start from, or as "
            "`lists` the folder of the lists that belong to it"
        )
    return class_names, entries


def _videos_below(root: Path, folder: Path) -> list[str]:
    """The videos in a folder at any depth, relative to the root, sorted."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS and path.is_file() and not path.name.startswith(".")
    )
